"""How shares are counted, and when a target is met."""

from __future__ import annotations

import math

import pytest

from profiler.validation.lines import Line, rows_of, share


def test_a_share_is_counted_over_all_cases_and_doubted_by_boards() -> None:
    found = share([[True, True], [False], [], [True]])
    assert (found.value, found.count, found.boards) == (0.75, 4, 3)
    assert found.low < 0.75 < found.high
    # a hundred cases that all come from one board say as little as one
    few = share([[True] * 100, [False] * 100])
    many = share([[True], [False]] * 100)
    assert few.value == many.value == 0.5
    assert few.high - few.low > 3 * (many.high - many.low)


def test_a_share_of_nothing_is_no_share_and_meets_nothing() -> None:
    found = share([[], []])
    assert math.isnan(found.value)
    assert Line.of_share("a", "at most 1 %", found, most=0.01).met is False


@pytest.mark.parametrize(("seen", "met"), [(0.929, False), (0.93, True), (0.97, True), (0.971, False)])
def test_a_line_is_met_within_its_target(seen: float, met: bool) -> None:
    assert Line("a", "93 to 97 %", seen, least=0.93, most=0.97).met is met
    assert Line("a", "", seen, least=0.93, most=0.97).met is None


def test_figures_that_failed_a_gate_are_not_shown() -> None:
    row = {"latency_ns": 1.0, "status": "ok", "gated": False, "kind": "model"}
    rows = [row, {**row, "gated": True}, {**row, "latency_ns": None}, {**row, "kind": "kernel"}]
    assert len(rows_of({"rows": rows})) == 2
    assert rows_of({"rows": rows}, "model") == [row]
