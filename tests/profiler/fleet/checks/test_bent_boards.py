"""Real SSH boards in whose surroundings something is wrong: each is named in one sentence, with its remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from ssh_servers import BentServer

from profiler.fleet.checks import Finding, check
from profiler.fleet.checks.probe import Probe, ask
from profiler.fleet.checks.surroundings import check_clock, check_shell
from profiler.fleet.targets import Device
from profiler.fleet.transport.ssh import connect

TOOLS = ("sh", "mkdir", "df", "id", "uname", "date", "cat", "sha256sum", "getconf", "sleep")


def bad(findings: list[Finding], level: str = "error") -> list[Finding]:
    """The findings of that level; every one of them is one line and says what to do."""
    found = [finding for finding in findings if finding.level == level]
    assert all("\n" not in finding.what + finding.remedy for finding in found)
    assert all(finding.remedy or ": " in finding.what for finding in found)
    return found


def no_models(device: Device) -> Device:
    """What is tested here is found before a model would run."""
    return replace(device, targets=())


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH that holds a board's usual commands, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        folder.joinpath(name).symlink_to(str(shutil.which(name)))
    return folder


def script(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A tmpfs at `folder`, where we may mount one."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "edgecost-test", str(folder)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_board_without_python(tmp_path: Path, tools: Path) -> None:
    with BentServer(tmp_path, environment={"PATH": str(tools)}) as board:
        (found,) = bad(check(board.device(python="python3")))
        assert "'python3' runs no Python" in found.what
        assert "install Python 3.7 or later" in found.remedy
        # another one is there: it is named
        script(tools / "python3.11", f'exec {sys.executable} "$@"')
        (found,) = bad(check(board.device(python="python3")))
        assert f"`python: {tools}/python3.11`" in found.remedy


def test_a_board_with_python_3_6(tmp_path: Path, tools: Path) -> None:
    script(tools / "python3", 'case "$*" in *json*) echo "[3, 6, 9]";; *) echo 3.6.9;; esac')
    with BentServer(tmp_path, environment={"PATH": str(tools)}) as board:
        (found,) = bad(check(board.device(python="python3")))
    assert "is Python 3.6.9, older than 3.7" in found.what
    assert "install Python 3.7 or later" in found.remedy


def test_a_home_that_is_read_only(tmp_path: Path) -> None:
    with mounted(tmp_path / "home", "ro") as home, BentServer(tmp_path, home=home) as board:
        findings = check(board.device())
        (found,) = bad(findings)
    assert "Read-only file system" in found.what
    assert "make it writable" in found.what
    assert any(finding.what.startswith("Python ") for finding in findings), "the rest is looked at all the same"


def test_a_home_without_space(tmp_path: Path) -> None:
    with mounted(tmp_path / "home", "size=1m") as home, BentServer(tmp_path, home=home) as board:
        (found,) = bad(check(board.device()))
    assert "0 MB are free there" in found.what or "1 MB are free there" in found.what
    assert "free some space" in found.remedy


def test_a_clock_that_is_years_off(tmp_path: Path, tools: Path) -> None:
    script(tools / "date", "echo 86400")  # the second of January 1970, as a board without a battery has it
    with BentServer(tmp_path, environment={"PATH": f"{tools}:{os.environ['PATH']}"}) as board:
        (found,) = bad(check(no_models(board.device())), "warning")
    assert "days behind this host's" in found.what
    assert "timedatectl set-ntp true" in found.remedy
    probe = Probe()
    for apart_s, level in ((290, "ok"), (310, "warning"), (-310, "warning")):
        probe.clock_s, probe.asked_s = 1_000_000 + apart_s, 1_000_000.0
        assert check_clock(probe).level == level


@pytest.mark.parametrize(("answer", "warned"), [("b true", 1), ("b false", 0), ("nonsense", 0)])
def test_a_login_manager_that_ends_what_we_leave_running(tmp_path: Path, tools: Path, answer: str, warned: int) -> None:
    script(tools / "busctl", f"test $# = 5 && test $5 = KillUserProcesses && echo {answer}")
    with BentServer(tmp_path, environment={"PATH": f"{tools}:{os.environ['PATH']}"}) as board:
        found = bad(check(no_models(board.device())), "warning")
    assert len([finding for finding in found if "KillUserProcesses=no" in finding.remedy]) == warned


def test_a_shell_that_prints_a_banner_and_is_slow(tmp_path: Path) -> None:
    prelude = "echo '*** Welcome to \033[31mthe lab ***'; echo; sleep 0.5"
    with BentServer(tmp_path, prelude=prelude) as board:
        banner, slow = bad(check(no_models(board.device())), "warning")
    assert 'prints before every command ("*** Welcome to \\x1b[31mthe lab ***")' in banner.what
    assert "takes 0." in slow.what
    assert "~/.bashrc" in banner.remedy
    assert "~/.bashrc" in slow.remedy


def test_a_shell_that_is_quick_and_silent_is_not_mentioned(tmp_path: Path) -> None:
    with BentServer(tmp_path) as board:
        link = connect(board.device())
        try:
            assert [f for f in check_shell(link, ask(link)) if "prints" in f.what] == []
        finally:
            link.close()


def test_a_jump_host_that_is_down_or_refuses(tmp_path: Path) -> None:
    (tmp_path / "board").mkdir()
    (tmp_path / "gate").mkdir()
    with BentServer(tmp_path / "board") as board:
        with BentServer(tmp_path / "gate") as gate:
            device = board.device(jump=gate.jump())
            (found,) = check(device)
            assert found.level == "error"
            assert "AllowTcpForwarding" in found.what
        (found,) = check(device)
    assert found.level == "error"
    assert "Cannot reach the jump host of bent" in found.what


def test_libraries_of_accelerators_are_looked_for_and_loaded(tmp_path: Path) -> None:
    (tmp_path / "not.so").write_text("no library")
    found = subprocess.run(
        [sys.executable, "-c", "import _ctypes; print(_ctypes.__file__)"], capture_output=True, text=True, check=True
    )
    library = found.stdout.strip()
    libraries = (("edgetpu", "/no/such.so"), ("gpu", str(tmp_path / "not.so")), ("cuda", library))
    with BentServer(tmp_path) as board:
        findings = check(no_models(board.device(libraries=libraries)))
    missing, broken = bad(findings)
    assert "the library /no/such.so of the accelerator edgetpu is not there" in missing.what
    assert "`libraries` of bent" in missing.remedy
    assert "not.so" in broken.what
    assert "cannot be loaded (OSError" in broken.what
    assert any(f"{library} of the accelerator cuda can be loaded" in f.what for f in findings)
