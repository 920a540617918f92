"""Agents that nobody wants any more."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from profiler.agent import processes, stale
from profiler.agent.daemon.child import MARK

Attach = Callable[..., Any]
Until = Callable[[Callable[[], bool]], None]
Alive = Callable[[int], bool]
End = Callable[[int, str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def end(pyz: Path, workdir: Path) -> End:
    def run(pid: int, start: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(pyz), "end", str(workdir), str(pid), start]
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    return run


def test_a_stale_agent_is_ended_with_its_worker(
    attach: Attach, end: End, endless: Any, until: Until, alive: Alive
) -> None:
    agent = attach()
    hello = agent.hello()
    worker = agent.busy(endless, until)
    assert end(hello.pid, hello.start).returncode == 0
    assert not alive(hello.pid)
    assert not alive(worker)
    assert attach(session="fedcba9876543210").hello().entries == 0  # the board is free
    assert end(hello.pid, hello.start).returncode == 1  # the lease names another now


def test_an_agent_that_hangs_is_killed(attach: Attach, end: End, endless: Any, until: Until, alive: Alive) -> None:
    agent = attach()
    hello = agent.hello()
    worker = agent.busy(endless, until)
    os.kill(hello.pid, signal.SIGSTOP)
    os.kill(worker, signal.SIGSTOP)
    assert end(hello.pid, hello.start).returncode == 0
    assert not alive(hello.pid)
    until(lambda: not alive(worker))


def test_another_process_of_that_number_is_left_alone(attach: Attach, end: End, workdir: Path, alive: Alive) -> None:
    agent = attach()
    hello = agent.hello()
    refused = end(hello.pid, str(int(hello.start) + 1))
    assert refused.returncode == 1
    assert "does not name process" in refused.stderr
    assert alive(hello.pid)
    # the lease is as old as the agent that it names: its number may have been given out again since
    lease = json.loads((workdir / "lease").read_text())
    other = subprocess.Popen(["sleep", "60"])
    try:
        (workdir / "lease").write_text(json.dumps(lease | {"agent_pid": other.pid, "agent_start": "1"}))
        refused = end(other.pid, "1")
        assert refused.returncode == 1
        assert "not at 1" in refused.stderr
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_an_agent_of_another_boot_is_left_alone(attach: Attach, end: End, workdir: Path, alive: Alive) -> None:
    agent = attach()
    hello = agent.hello()
    lease = json.loads((workdir / "lease").read_text())
    (workdir / "lease").write_text(json.dumps(lease | {"boot_id": "another"}))
    assert end(hello.pid, hello.start).returncode == 1
    assert alive(hello.pid)


def test_an_agent_that_is_gone_needs_no_ending(attach: Attach, end: End, until: Until, alive: Alive) -> None:
    agent = attach()
    hello = agent.hello()
    os.kill(hello.pid, signal.SIGKILL)
    until(lambda: not alive(hello.pid))
    assert end(hello.pid, hello.start).returncode == 0


def test_nobody_is_ended_where_there_is_no_lease(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stale.end(str(workdir), os.getpid(), processes.start_of(os.getpid())) == 1
    assert "does not name process" in capsys.readouterr().err


def test_what_a_dead_agent_left_behind_is_swept_up_and_nothing_else() -> None:
    me = f"{os.getpid()}.{processes.start_of(os.getpid())}"
    marks = {"left": f"{os.getpid()}.1", "mine": me, "odd": "x.y"}
    sleepers = {
        name: subprocess.Popen(["sleep", "60"], env=os.environ | {MARK: mark}) for name, mark in marks.items()
    } | {"plain": subprocess.Popen(["sleep", "60"], env={**os.environ, "OTHER": f"{MARK}={os.getpid()}.1"})}
    try:
        stale.sweep()  # or that of another agent of this machine has been quicker
        assert sleepers["left"].wait(10) == -signal.SIGKILL
        assert all(sleepers[name].poll() is None for name in ("mine", "odd", "plain"))
    finally:
        for sleeper in sleepers.values():
            sleeper.kill()
            sleeper.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="making a namespace of processes takes root")
def test_processes_of_another_namespace_are_none_of_ours() -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "--pid", "--fork", "true"], check=False).returncode != 0:
        pytest.skip("no namespace of processes can be made here")
    mark = {MARK: f"{os.getpid()}.{processes.start_of(os.getpid())}"}  # a living agent's: nobody sweeps these up
    with subprocess.Popen([unshare, "--pid", "--fork", "--kill-child", "sleep", "60"], env=os.environ | mark) as outer:
        try:
            inner = _child_of(outer.pid)
            assert processes.namespace_of(inner) != processes.namespace_of("self")
            assert inner not in [pid for pid, _ in stale._marked()]
            assert outer.pid in [pid for pid, _ in stale._marked()]
        finally:
            outer.kill()


def _child_of(pid: int) -> int:
    """The child of a process, once it has one that has become what it was started for."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        listing = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if listing and Path(f"/proc/{listing[0]}/comm").read_text().strip() == "sleep":
            return int(listing[0])
        time.sleep(0.01)
    raise AssertionError("no child")


@pytest.fixture
def leftover() -> Iterator[subprocess.Popen[bytes]]:
    """A process of an agent that is gone, which nothing but a kill would end."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    process = subprocess.Popen(["sleep", "60"], env=os.environ | {MARK: f"{dead.pid}.1"})
    yield process
    process.kill()
    process.wait()


def test_ending_an_agent_ends_its_leftovers(workdir: Path, leftover: subprocess.Popen[bytes]) -> None:
    lease = {"agent_pid": 2**22 + 1, "agent_start": "1", "boot_id": processes.boot_id()}
    (workdir / "lease").write_text(json.dumps(lease))
    assert stale.end(str(workdir), 2**22 + 1, "1") == 0
    assert leftover.wait(10) == -signal.SIGKILL


def test_a_new_agent_begins_on_a_board_without_leftovers(attach: Attach, leftover: subprocess.Popen[bytes]) -> None:
    agent = attach()
    agent.hello()
    assert leftover.wait(10) == -signal.SIGKILL


def test_a_process_is_told_from_another_of_its_number() -> None:
    pid = os.getpid()
    assert processes.runs(pid, processes.start_of(pid))
    assert not processes.runs(pid, "1")
    assert not processes.runs(2**22 + 1, "")
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert processes.status(zombie.pid) is None
    zombie.wait()


def test_a_name_full_of_brackets_does_not_confuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "7").mkdir()
    words = ["S", "1", "7", *(["0"] * 16), "4711", "0"]
    (tmp_path / "7" / "stat").write_text(f"7 (a) b) ( R 9 ({')'} {' '.join(words)}\n")
    monkeypatch.setattr(processes, "PROC", str(tmp_path))
    assert processes.status(7) == ("S", 7, "4711")
