from __future__ import annotations

import os
import sys
import venv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.errors import DeviceLost
from profiler.fleet import provision
from profiler.fleet.devices import DeviceEntry, SensorEntry, TargetEntry, ThermalEntry, ThrottleEntry
from profiler.fleet.provision import Finding, check, examine
from profiler.fleet.targets import Device, Target
from profiler.fleet.transport.base import CommandResult
from profiler.fleet.transport.local import LocalTransport

TARGETS = (TargetEntry(runtime="onnxruntime", precision="fp32"),)


def levels(findings: list[Finding], text: str) -> list[str]:
    """Of the findings that mention it."""
    return [finding.level for finding in findings if text in finding.what]


@pytest.fixture
def device(tmp_path: Path) -> Device:
    targets = (Target("here", "onnxruntime", "fp32"),)
    return Device(id="here", host="", user="me", targets=targets, python=sys.executable, machine=str(tmp_path))


class Pretender(LocalTransport):
    """This machine, except that some commands have answers of their own."""

    def __init__(self, home: Path, answers: dict[str, CommandResult]) -> None:
        super().__init__(home)
        self.answers = answers

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> CommandResult:
        return self.answers.get(argv[0]) or super().run(argv, timeout_s=timeout_s, stdin=stdin)


def test_a_ready_board_has_nothing_but_ok(fresh_board: Device) -> None:
    findings = check(fresh_board)
    assert {f.level for f in findings} == {"ok"}
    assert levels(findings, "ort-fp32-t1/onnxruntime-fp32-t1 runs a model correctly (onnxruntime ") == ["ok"]
    assert levels(findings, f"Python {sys.version_info[0]}.{sys.version_info[1]}.") == ["ok"]
    assert levels(findings, "logical cores") == ["ok"]


def test_a_board_that_cannot_be_reached_is_one_error(board: Device) -> None:
    (finding,) = check(replace(board, host_key="SHA256:" + "A" * 43))
    assert finding.level == "error"
    assert "edgecost devices trust" in finding.what


def test_an_interpreter_that_is_none_is_an_error_with_a_remedy(device: Device, tmp_path: Path) -> None:
    findings = examine(replace(device, python="/bin/ls"), LocalTransport(tmp_path))
    (bad,) = [f for f in findings if f.level == "error"]
    assert "runs no Python" in bad.what
    assert "`python`" in bad.remedy


def test_an_interpreter_that_is_too_old_is_an_error(device: Device, tmp_path: Path) -> None:
    old = CommandResult(0, b"Welcome!\n[3, 6, 9]\n", b"")
    findings = examine(device, Pretender(tmp_path, {sys.executable: old}))
    assert levels(findings, "is Python 3.6.9") == ["error"]


def test_a_runtime_that_is_not_installed_is_an_error_that_says_how(fresh_board: Device, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    bare = tmp_path / "bare" / "bin" / "python"
    (bad,) = [f for f in check(replace(fresh_board, python=str(bare))) if f.level == "error"]
    assert "cannot run a model" in bad.what
    assert "No module named" in bad.what
    assert "pip install onnxruntime" in bad.remedy


def test_a_runtime_that_imports_and_cannot_run_is_an_error(fresh_board: Device, tmp_path: Path) -> None:
    broken = tmp_path / "site" / "onnxruntime"
    broken.mkdir(parents=True)
    broken.joinpath("__init__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path / "site"} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    # the agent is started again by its own executable, so the path must come with the environment
    findings = check(replace(fresh_board, python=str(python)))
    (bad,) = [f for f in findings if f.level == "error"]
    assert "SIGILL" in bad.what
    assert "does not suit the board's processor" in bad.remedy


@pytest.mark.parametrize(("free_kb", "level"), [(600 * 1024, "ok"), (400 * 1024, "warning"), (40 * 1024, "error")])
def test_space_is_judged(device: Device, tmp_path: Path, free_kb: int, level: str) -> None:
    table = f"Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/x 99 9 {free_kb} 9% /\n".encode()
    answers = {"df": CommandResult(0, table, b""), sys.executable: CommandResult(0, b"[2, 7, 1]", b"")}
    assert levels(examine(device, Pretender(tmp_path, answers)), "MB are free") == [level]


def test_space_that_cannot_be_read_is_a_warning(device: Device, tmp_path: Path) -> None:
    answers = {"df": CommandResult(1, b"", b"df: \x1b[31mno"), sys.executable: CommandResult(0, b"[2, 7, 1]", b"")}
    (finding,) = [f for f in examine(device, Pretender(tmp_path, answers)) if "free space is unknown" in f.what]
    assert finding.level == "warning"
    assert "\x1b" not in finding.what


def test_a_link_that_breaks_is_a_finding(device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise DeviceLost("The link to here broke.")

    monkeypatch.setattr(provision, "_python", lost)
    assert levels(examine(device, LocalTransport(tmp_path)), "The link to here broke") == ["error"]


def test_more_threads_than_cores_and_a_declared_clock_are_doubts(fresh_board: Device) -> None:
    target = replace(fresh_board.targets[0], threads=(os.cpu_count() or 1) + 1, clock="1500")
    findings = check(replace(fresh_board, targets=(target,)))
    assert levels(findings, "threads of") == ["warning"]
    assert levels(findings, "clock of 1500 MHz") == ["warning"]


def entry(**fields: Any) -> DeviceEntry:
    return DeviceEntry(id="here", host="h", user="u", targets=TARGETS, **fields)


def test_declared_sensors_are_looked_for_by_name(device: Device, tmp_path: Path) -> None:
    found = CommandResult(0, b"hwmon cpu_thermal\nhwmon ina3221\nzone gpu-thermal\ncommand vcgencmd\n", b"")
    inner = provision._sensors(
        Pretender(tmp_path, {"sh": found}),
        entry(
            sensors=(
                SensorEntry(kind="hwmon", name="ina3221", scope="module-in"),
                SensorEntry(kind="hwmon", name="ina260_u14", scope="module-in"),
                SensorEntry(kind="external", name="meter", scope="wall"),
            ),
            thermal=ThermalEntry(zones=("gpu-thermal", "tj")),
            throttle=ThrottleEntry(command=("vcgencmd", "get_throttled")),
        ),
    )
    assert [(f.level, f.what) for f in inner] == [
        ("ok", "the declared hwmon ina3221 is there"),
        ("warning", "the declared hwmon ina260_u14 is not there"),
        ("ok", "the declared zone gpu-thermal is there"),
        ("warning", "the declared zone tj is not there"),
        ("ok", "the declared command vcgencmd is there"),
    ]


def test_commands_are_really_looked_for(tmp_path: Path) -> None:
    declared = entry(
        sensors=(
            SensorEntry(kind="command", name="sh", scope="wall"),
            SensorEntry(kind="command", name="no-such-command; touch x", scope="wall"),
        )
    )
    findings = list(provision._sensors(LocalTransport(tmp_path), declared))
    assert [f.level for f in findings] == ["ok", "warning"]
    assert list(tmp_path.iterdir()) == []
