from __future__ import annotations

import os
import sys
import venv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.errors import DeviceLost, EdgeCostError
from profiler.fleet.checks import Finding, board, check, examine
from profiler.fleet.checks.models import Models, check_target
from profiler.fleet.inventory.entries import DeviceEntry
from profiler.fleet.messages import Facts, Reply
from profiler.fleet.targets import Cluster, Device, Target
from profiler.fleet.transport.base import CommandResult
from profiler.fleet.transport.local import LocalTransport


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
    declared = DeviceEntry.model_validate(
        {
            "id": fresh_board.id,
            "host": "h",
            "user": "u",
            "arch": os.uname().machine,
            "targets": [{"runtime": "onnxruntime", "precision": "fp32"}],
        }
    )
    # a busy machine may start its shells slowly, which is told apart elsewhere
    findings = [f for f in check(fresh_board, declared=declared) if "login shell takes" not in f.what]
    assert {f.level for f in findings} == {"ok"}
    assert levels(findings, "ort-fp32-t1/onnxruntime-fp32-t1 runs a model correctly (onnxruntime ") == ["ok"]
    assert levels(findings, f"Python {sys.version_info[0]}.{sys.version_info[1]}.") == ["ok"]
    assert levels(findings, "logical cores") == ["ok"]
    assert levels(findings, "as declared") == ["ok"]
    assert levels(findings, "clock agrees") == ["ok"]


def test_a_board_that_cannot_be_reached_is_one_error(board: Device) -> None:
    (finding,) = check(replace(board, host_key="SHA256:" + "A" * 43))
    assert finding.level == "error"
    assert "edgecost devices trust" in finding.what


def test_a_runtime_that_is_not_installed_is_an_error_that_says_how(fresh_board: Device, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    bare = tmp_path / "bare" / "bin" / "python"
    (bad,) = [f for f in check(replace(fresh_board, python=str(bare))) if f.level == "error"]
    assert "cannot run a model" in bad.what
    assert f"install it: `edgecost devices provision {fresh_board.id}`" in bad.remedy


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


def test_an_interpreter_that_is_none_is_an_error_with_a_remedy(device: Device, tmp_path: Path) -> None:
    (bad,) = [f for f in examine(replace(device, python="/bin/ls"), LocalTransport(tmp_path)) if f.level == "error"]
    assert "runs no Python" in bad.what
    assert "`python" in bad.remedy


def test_what_was_found_before_the_link_broke_is_kept(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise DeviceLost("The link to here broke.")

    monkeypatch.setattr(board, "check_python", lost)
    findings = examine(device, LocalTransport(tmp_path))
    assert findings[-1] == Finding("error", "The link to here broke.")
    assert levels(findings, "clock agrees") == ["ok"]


def test_more_threads_than_cores_is_a_doubt(fresh_board: Device) -> None:
    target = replace(fresh_board.targets[0], threads=(os.cpu_count() or 1) + 1)
    findings = check(replace(fresh_board, targets=(target,)))
    assert levels(findings, "threads of") == ["warning"]
    assert levels(findings, "runs a model correctly") == ["ok"]


def test_a_target_that_is_bound_to_cores_runs_there(fresh_board: Device) -> None:
    target = replace(fresh_board.targets[0], cores="one")
    findings = check(replace(fresh_board, targets=(target,), clusters=(Cluster("one", (0,)),)))
    assert levels(findings, f"{target.id} runs a model correctly") == ["ok"]


def test_a_declared_emulation_is_held_against_the_machine(fresh_board: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = replace(fresh_board, targets=())
    (doubt,) = [f for f in check(replace(quick, emulation="")) if "this very machine" in f.what]
    assert (doubt.level, "`emulation: loopback`" in doubt.remedy) == ("warning", True)
    monkeypatch.setattr("profiler.agent.facts.machine_id", lambda: "another")
    (doubt,) = [f for f in check(quick) if "another machine than this one" in f.what]
    assert doubt.level == "warning"


# What a reply means


class Answering:
    """A session whose board gives one answer to everything."""

    def __init__(self, **fields: Any) -> None:
        self.reply = Reply.model_validate(
            {
                "status": "ok",
                "issues": [],
                "samples_ns": [],
                "runs_per_batch": 0,
                "load_ns": None,
                "first_run_ns": None,
                "warmup_runs": 0,
                "output_error": None,
                "energy_mj": None,
                "error": "",
                "env": {},
                **fields,
            }
        )

    def measure(self, *_: object) -> Reply:
        return self.reply


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models() as ready:
        yield ready


@pytest.mark.parametrize(
    ("fields", "level", "remedy"),
    [
        ({"samples_ns": [5], "runs_per_batch": 1, "issues": ["delegate_fallback"]}, "warning", "`allow_fallback`"),
        ({"status": "delegate_fallback", "error": "3 of 4"}, "error", "`allow_fallback: true`"),
        ({"status": "crashed", "error": "ended by SIGILL"}, "error", "provision a` looks for one"),
        ({"status": "unsupported_operator", "error": "No module named 'x'"}, "error", "devices provision a`"),
        ({"status": "unsupported_operator", "error": "libedgetpu.so.1: no such file"}, "error", "`libraries`"),
        ({"status": "wrong_output", "error": "off by 3"}, "error", "`libraries`"),
    ],
)
def test_a_failure_comes_with_what_to_do(models: Models, fields: dict[str, Any], level: str, remedy: str) -> None:
    facts = Facts(machine_id="m", cpu_model="c", arch="x", logical_cores=4)
    session: Any = Answering(**fields)
    (found,) = check_target(session, Target("a", "litert", "int8", accelerator="edgetpu"), facts, models)
    assert found.level == level
    assert remedy in found.remedy


def test_a_model_that_this_host_cannot_make_is_its_own_fault(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(*_: object) -> None:
        raise EdgeCostError("no torch here")

    monkeypatch.setattr(models, "get", unable)
    facts = Facts(machine_id="m", cpu_model="c", arch="x", logical_cores=4)
    session: Any = None
    (found,) = check_target(session, Target("a", "torch", "fp32"), facts, models)
    assert (found.level, "this host cannot build a model" in found.what) == ("error", True)
