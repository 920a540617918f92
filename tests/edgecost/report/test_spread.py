"""Spread and verdicts: what rows and journals come to, by hand."""

from __future__ import annotations

from pathlib import Path

import journals
import pytest

from edgecost.report.trust import trust_section
from edgecost.report.trust_figures import boxes
from profiler.tables.table import CostTable

TARGET = "board/onnxruntime-fp32-t1"


def rounds(subject: str, means: list[int], **changes: object) -> list[journals.Measurement]:
    return [journals.job(subject, n, float(n), mean_ns=mean, **changes) for n, mean in enumerate(means)]


def test_rows_are_summed_up_by_hand(tmp_path: Path) -> None:
    lines = [*rounds("calm", [10_000, 10_010, 9_990]), *rounds("wild", [10_000, 15_000, 5_000], issues=("bimodal",))]
    lines += rounds("dead", [1], status="crashed", samples_ns=(), runs_per_batch=0, error="signal 11")
    lines.append(journals.sentinel(9.0, "reference"))
    journals.write(tmp_path, lines)
    spread = trust_section(CostTable.from_results(tmp_path), {TARGET: "board"}).spread
    (row,) = spread.rows
    assert (row["figures"], row["passed"], row["bimodal"]) == ("2", "50 %", "1")
    assert (spread.figures, spread.passed) == (2, 1)
    # deviations of 10 and 5000 of 10,000; their middle
    assert float(row["spread"]) == pytest.approx((0.1 + 50) / 2, abs=0.01)
    assert spread.boxes["spread"][0].n == 2
    assert spread.boxes["noise"][0].n == 6  # the sentinel and what crashed have none
    assert row["outliers"] == "0.0"
    counts = {found["code"]: (found["counts"], found["gate"]) for found in spread.codes}
    assert counts["bimodal"] == (["1"], True)
    assert counts["spread_high"] == (["1"], True)
    assert counts["failed: crashed"] == (["1"], False)
    assert [found["gate"] for found in spread.codes] == sorted((f["gate"] for f in spread.codes), reverse=True)
    assert spread.limits == {"spread": 2.0, "noise": 3.0}


def test_outliers_are_counted_over_all_samples(tmp_path: Path) -> None:
    samples = (1000, 1001, 1002, 1001, 1000, 1002, 1001, 1000, 1001, 9000)
    journals.write(tmp_path, [journals.job("a", n, float(n), samples_ns=samples) for n in range(3)])
    spread = trust_section(CostTable.from_results(tmp_path), {TARGET: "board"}).spread
    assert spread.rows[0]["outliers"] == "10.0"


def test_targets_without_figures_say_so_and_draw_nothing(tmp_path: Path) -> None:
    journals.write(tmp_path, rounds("dead", [1], status="crashed", samples_ns=(), runs_per_batch=0))
    spread = trust_section(CostTable.from_results(tmp_path), {TARGET: "board"}).spread
    assert (spread.rows[0]["passed"], spread.rows[0]["spread"], spread.rows[0]["outliers"]) == ("–", "–", "–")
    assert not any(spread.boxes.values())


def test_boxes_of_nothing_but_zeros_can_be_drawn(tmp_path: Path) -> None:
    journals.write(tmp_path, rounds("same", [10_000, 10_000, 10_000], samples_ns=(5, 5, 5)))
    spread = trust_section(CostTable.from_results(tmp_path), {TARGET: "board"}).spread
    assert spread.boxes["spread"][0].quantiles == (0.0,) * 5
    assert boxes(spread.boxes["spread"], "title", "axis", 2.0).x_range.start > 0
