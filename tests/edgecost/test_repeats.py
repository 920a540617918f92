"""The noise floor: how far a second measurement of networks is from the first; closure is held against it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgecost.stages.closing import closure
from edgecost.stages.costs import load_table
from edgecost.stages.repeats import REPEAT, family_rows, verdict
from tests.edgecost.closure_runs import HELD_OUT, TARGET_ID, measure


@pytest.fixture
def results(tmp_path: Path) -> Path:
    measure(tmp_path / "results", "first")
    return tmp_path / "results"


def test_a_board_that_got_slower_has_that_as_its_floor(results: Path) -> None:
    measure(results / REPEAT, "again", level=1.08, kernels=False)
    found = closure(load_table(results), results=results)
    floor = found["repeats"][TARGET_ID]
    assert floor["n"] == len(HELD_OUT)
    assert floor["mape"] == pytest.approx(8.0, abs=0.01)
    assert (floor["within_5"], floor["within_10"]) == (0.0, 100.0)
    assert {row["family"]: row["n"] for row in floor["families"]} == {"NB201": 2, "MBConv": 1, "classic": 2}
    (first,), (second,) = floor["first_runs"], floor["repeat_runs"]
    assert first["run"].endswith("results/fake/first")
    assert second["run"].endswith("results/repeat/fake/again")
    assert first["first"] <= first["last"] <= second["first"]
    assert floor["hours_apart"] >= 0
    told = found["verdicts"][TARGET_ID]
    assert told["limit"] == pytest.approx(12.0, abs=0.02)
    assert told["met"] is True
    points = found["points"][TARGET_ID]
    assert all(p["repeat_ms"] == pytest.approx(1.08 * p["measured_ms"], rel=1e-3) for p in points)
    assert all(p["predicted_ms"] == pytest.approx(p["measured_ms"], rel=1e-3) for p in points), "of the first run"


def test_repeats_stay_out_of_the_table_that_predictions_are_judged_by(results: Path) -> None:
    before = load_table(results)
    measure(results / REPEAT, "again", level=2.0, kernels=False)
    after = load_table(results)
    assert [row.latency_ns for row in after.all_rows] == [row.latency_ns for row in before.all_rows]


def test_overlapping_runs_are_told_apart_from_later_ones(results: Path, tmp_path: Path) -> None:
    """A repeat that began before the first run had ended is no campaign apart."""
    early = tmp_path / "early"
    measure(early / REPEAT, "again", kernels=False)
    measure(early, "first")
    floor = closure(load_table(early), results=early)["repeats"][TARGET_ID]
    assert floor["hours_apart"] < 0


def test_without_a_repeat_there_is_no_floor_by_repeats(results: Path) -> None:
    for found in (closure(load_table(results), results=results), closure(load_table(results))):
        assert found["repeats"] == {TARGET_ID: None}
        assert all(p["repeat_ms"] is None for p in found["points"][TARGET_ID])
        assert {row["family"] for row in found["families"][TARGET_ID]} == {"NB201", "MBConv", "classic"}


@pytest.mark.parametrize(
    ("mape", "floor", "limit", "met"),
    [
        (4.9, 1.0, 5.0, True),
        (5.1, 1.0, 5.0, False),
        (8.9, 6.0, 9.0, True),
        (9.1, 6.0, 9.0, False),
        (4.0, None, 5.0, True),
        (6.0, None, 5.0, None),
        (None, 1.0, 5.0, False),
    ],
)
def test_the_target_is_five_per_cent_or_the_floor_and_a_half(mape, floor, limit, met) -> None:
    row = None if floor is None else {"mape": floor}
    assert verdict(mape, row) == {"mape": mape, "limit": limit, "floor": floor, "met": met}


def test_families_are_scored_apart() -> None:
    rows = family_rows(["NB201 a", "MBConv b", "net"], np.array([1.1, 2.0, 9.0]), np.array([1.0, 2.0, 1.0]))
    assert [(r["family"], r["n"], round(r["mape"], 6)) for r in rows] == [("NB201", 1, 10.0), ("MBConv", 1, 0.0)]


def test_the_verb_writes_the_file_and_says_whether_the_target_is_met(results: Path, run) -> None:
    measure(results / REPEAT, "again", level=1.08, kernels=False)
    code, out, _ = run("validate", "--results", str(results))
    assert code == 0
    assert "noise floor 8.0 % (5 networks measured twice" in out
    assert "target 12.0 %: met" in out
    written = json.loads((results / "closure.json").read_text())
    assert written["repeats"][TARGET_ID]["mape"] == pytest.approx(8.0, abs=0.01)
    code, out, _ = run("validate", "--results", str(results), "--json")
    assert json.loads(out) == written


def test_the_report_shows_floor_and_verdict(results: Path, run) -> None:
    measure(results / REPEAT, "again", level=1.08, kernels=False)
    assert run("validate", "--results", str(results))[0] == 0
    assert run("report", "--results", str(results))[0] == 0
    page = (results / "report.html").read_text()
    assert "again: MAPE" in page
    assert ">8.0<" in page
    assert ">met<" in page
