"""Roundings, and that they jump exactly where the solver thinks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from search.s3nas.rounding import (
    KEPT_WIDTH,
    depth_jumps,
    resolution_jumps,
    round_depth,
    round_resolution,
    round_width,
    width_jumps,
)


@pytest.mark.parametrize(
    ("filters", "multiplier", "expected"),
    [(32, 1.1, 32), (64, 1.1, 64), (128, 1.1, 144), (160, 1.1, 176), (256, 1.1, 288), (1280, 1.1, 1408), (64, 1.0, 64)],
)
def test_the_published_widths(filters: int, multiplier: float, expected: int) -> None:
    assert round_width(filters, multiplier, 16) == expected


def test_width_is_never_below_ninety_per_cent_nor_one_divisor() -> None:
    assert round_width(32, 23 / 32, 16) == 32  # 16 is the nearest multiple of 16 and below 0.9 x 23
    assert round_width(8, 0.1, 4) == 4
    for filters in (8, 30, 64, 250):
        for step in range(30, 400):
            multiplier = step / 100
            assert round_width(filters, multiplier, 8) >= KEPT_WIDTH * filters * multiplier


def test_depth_and_resolution_round_to_the_nearest() -> None:
    assert [round_depth(n, 1.1) for n in (0, 1, 3, 4, 5, 7, 11)] == [0, 1, 3, 4, 6, 8, 12]
    assert round_depth(3, 0.01) == 1
    assert [round_resolution(224, r, 4) for r in (1.0, 1.2, 1.2**2)] == [224, 268, 324]
    assert round_resolution(32, 0.01, 4) == 4


@pytest.mark.parametrize("filters", [8, 24, 100])
def test_jumps_are_where_the_roundings_jump(filters: int) -> None:
    low, high = 0.3, 4.0
    families: list[tuple[Callable[[float], int], list[float]]] = [
        (lambda m: round_width(filters, m, 8), list(width_jumps(filters, 8, low, high))),
        (lambda m: round_depth(filters, m), list(depth_jumps(filters, low, high))),
        (lambda m: round_resolution(filters, m, 4), list(resolution_jumps(filters, 4, low, high))),
    ]
    for rounded, jumps in families:
        edges = [low, *sorted(jumps), high]
        for before, after in pairwise(edges):
            inside = {rounded(before + (after - before) * part / 20) for part in range(1, 20)}
            assert len(inside) == 1, (before, after, inside)


def test_a_stage_without_blocks_has_no_depth() -> None:
    assert list(depth_jumps(0, 0.1, 10.0)) == []
