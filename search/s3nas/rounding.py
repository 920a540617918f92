"""The roundings of compound scaling, and where each of them jumps.

Every rounding is a step function of its multiplier, so that a scaled network changes at known places only: the solver
of budgets enumerates the distinct networks between them instead of trying values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

__all__ = [
    "KEPT_WIDTH",
    "depth_jumps",
    "resolution_jumps",
    "round_depth",
    "round_resolution",
    "round_width",
    "width_jumps",
]

KEPT_WIDTH = 0.9
"""[V] Rounding never takes more than a tenth of the width that was asked for."""


def round_width(filters: int, multiplier: float, divisor: int) -> int:
    """[V] Filters times the multiplier, to the nearest multiple of the divisor (halves up, one at least), and one more
    where that is below `KEPT_WIDTH` of what was asked for."""
    wanted = filters * multiplier
    rounded = max(1, _half_up(wanted / divisor)) * divisor
    return rounded + divisor if rounded < KEPT_WIDTH * wanted else rounded


def round_depth(blocks: int, multiplier: float) -> int:
    """[V] Blocks times the multiplier, to the nearest integer; ours: halves up, and one at least where there is one."""
    return max(1, _half_up(blocks * multiplier)) if blocks else 0


def round_resolution(resolution: int, multiplier: float, step: int) -> int:
    """[V] Pixels times the multiplier, to the nearest multiple of the step; ours: halves up, one step at least."""
    return max(1, _half_up(resolution * multiplier / step)) * step


def width_jumps(filters: int, divisor: int, low: float, high: float) -> Iterator[float]:
    """The multipliers in (low, high) at which `round_width` may jump."""
    yield from _halves(divisor / filters, low, high)
    kept = divisor / filters / KEPT_WIDTH
    # a multiple k is raised where it is below 0.9 of the width and yet the nearest: k / 0.9 < k + 0.5, so k < 4.5
    yield from (k * kept for k in range(1, 5) if low < k * kept < high)


def depth_jumps(blocks: int, low: float, high: float) -> Iterator[float]:
    """The multipliers in (low, high) at which `round_depth` may jump."""
    return _halves(1.0 / blocks, low, high) if blocks else iter(())


def resolution_jumps(resolution: int, step: int, low: float, high: float) -> Iterator[float]:
    """The multipliers in (low, high) at which `round_resolution` may jump."""
    return _halves(step / resolution, low, high)


def _halves(unit: float, low: float, high: float) -> Iterator[float]:
    """(k + 0.5) * unit between low and high, k at least 1: below it the least value stays."""
    first = max(1, math.floor(low / unit - 0.5))
    for k in range(first, math.ceil(high / unit) + 1):
        if low < (k + 0.5) * unit < high:
            yield (k + 0.5) * unit


def _half_up(value: float) -> int:
    return math.floor(value + 0.5)
