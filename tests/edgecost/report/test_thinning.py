"""Thinned courses and clouds."""

from __future__ import annotations

import math

import numpy as np

from edgecost.report.thinning import band, one_a_cell, spread_out


def test_nothing_known_is_nothing_drawn() -> None:
    unknown = np.full(3, np.nan)
    assert band(np.arange(3.0), unknown, unknown) is None
    assert band(np.zeros(0), np.zeros(0), np.zeros(0)) is None
    assert spread_out(unknown, 5) == []


def test_points_are_put_in_order_and_kept_where_they_are_few() -> None:
    found = band(np.array([2.0, 0.0, 1.0]), np.array([5.0, 3.0, 4.0]), np.array([6.0, 3.5, np.nan]))
    assert found is not None
    assert (found.times, found.low, found.high) == ([0.0, 2.0], [3.0, 5.0], [3.5, 6.0])


def test_every_spell_keeps_its_extremes() -> None:
    times = np.arange(1000.0)
    found = band(times, -times, times % 7, most=10)
    assert found is not None
    assert len(found.times) == 10
    assert found.low == [-(100.0 * k + 99) for k in range(10)]
    assert set(found.high) == {6.0}
    still = band(np.zeros(1000), times, times, most=10)
    assert still is not None
    assert (still.low, still.high) == ([0.0], [999.0])


def test_no_line_is_drawn_where_nobody_looked() -> None:
    times = np.r_[np.arange(50.0), 500.0 + np.arange(50.0)]
    found = band(times, times, times)
    assert found is not None
    (gap,) = [i for i, value in enumerate(found.low) if math.isnan(value)]
    assert (found.times[gap - 1], found.times[gap + 1]) == (49.0, 500.0)
    assert math.isnan(found.high[gap])


def test_marks_are_spread_out() -> None:
    found = spread_out(np.r_[np.linspace(0, 1, 1000), 50.0, np.nan], 10)
    assert len(found) <= 10
    assert (found[0], found[-1]) == (0.0, 50.0)


def test_of_points_in_one_cell_the_first_is_kept() -> None:
    xs, ys = np.array([0.0, 10.0, 0.9, 9.9, 5.0]), np.array([0.0, 10.0, 0.9, 0.0, 5.0])
    assert one_a_cell(xs, ys, (10, 10)).tolist() == [0, 1, 3, 4]
    assert one_a_cell(xs, ys, (1000, 1000)).tolist() == [0, 1, 2, 3, 4]
    # equal values span nothing
    assert one_a_cell(np.ones(3), np.ones(3), (10, 10)).tolist() == [0]
    assert one_a_cell(np.zeros(0), np.zeros(0), (10, 10)).tolist() == []
