"""Simulated boards from the command line to a report: over real SSH, and flagged at every step on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecost.report.collect import DISCLAIMERS
from profiler.fleet.virtual.background import stop
from profiler.measure.journal import encode, iter_journal
from profiler.measure.record import Measurement
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.builders.onnx import build_onnx

from .conftest import Run

SIX = {"sim-rpi5", "sim-rpi4", "sim-jetson-orin-nano", "sim-coral-devboard", "sim-rock5b", "sim-kv260"}


@pytest.fixture
def up(run: Run, tmp_path: Path) -> Iterator[dict[str, int]]:
    """The six of them; gives their ports."""
    code, out, err = run("fleet", "up", "--simulated", "--json")
    try:
        assert code == 0, err
        yield json.loads(out)["ports"]
    finally:
        stop(tmp_path / ".edgecost" / "fleet" / "simulated")


def network() -> bytes:
    b = WorkloadBuilder("network")
    x = b.relu(b.conv2d(b.input((1, 3, 16, 16)), 8, kernel=3, bias=True))
    return build_onnx(b.build(b.linear(b.flatten(b.global_avg_pool(x)), 10)))


def as_if_measured(entry: Any) -> bytes:
    return encode(replace(entry, issues=tuple(issue for issue in entry.issues if issue != "simulated")))


@pytest.mark.slow
def test_six_boards_are_checked_profiled_and_reported_and_every_figure_says_what_it_is(
    run: Run, up: dict[str, int], tmp_path: Path
) -> None:
    assert set(up) == SIX
    code, out, err = run("devices", "check", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert set(found) == SIX
    assert {finding["level"] for findings in found.values() for finding in findings} == {"ok"}
    (tmp_path / "network.onnx").write_bytes(network())
    chosen = [word for board in sorted(SIX) for word in ("-t", f"{board}/simulated-fp32-t1")]
    code, _, err = run("profile", *chosen, "--model", "network.onnx", "--effort", "quick", "--rounds", "2")
    assert code == 0, err
    journals = list(Path("results").glob("*/*/journal.jsonl"))
    assert {journal.parts[-3] for journal in journals} == SIX
    for journal in journals:
        found = list(iter_journal(journal))
        assert found
        for each in found:
            assert isinstance(each, Measurement)
            assert (each.status, "simulated" in each.issues) == ("ok", True), each.error
        assert json.loads(journal.with_name("run.json").read_text())["device"]["emulation"] == "simulated"
    code, out, err = run("table", "show", "--all-rows", "--json")
    rows = json.loads(out)["rows"]
    assert {row["target"].split("/")[0] for row in rows} == SIX
    assert all("simulated" in row["issues"] for row in rows)
    assert run("report")[0] == 0
    assert DISCLAIMERS["simulated"] in Path("results/report.html").read_text(encoding="utf-8")

    # the same once more, as if it had been measured: nothing may be read beside it
    shutil.copytree("results/sim-kv260", "results/kv260", ignore=shutil.ignore_patterns("*.arrow"))
    for path in Path("results/kv260").glob("*/run.json"):
        path.write_text(path.read_text(encoding="utf-8").replace('"emulation": "simulated"', '"emulation": ""'))
        lines = [as_if_measured(each) for each in iter_journal(path.with_name("journal.jsonl"))]
        path.with_name("journal.jsonl").write_bytes(b"".join(lines))
    for command in (("table", "show"), ("report",), ("validate",)):
        code, _, err = run(*command)
        assert code == 2
        assert "simulated runs" in err


def test_two_fleets_at_once_are_refused(run: Run) -> None:
    code, _, err = run("fleet", "up", "--simulated", "--aarch64")
    assert code == 2
    assert "two fleets" in err
