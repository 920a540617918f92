"""The grid that values stand on: what rounding, a counter's step or a sum of few readings leaves behind."""

from __future__ import annotations

import numpy as np

from profiler.tables.audit.figures import Floats

__all__ = ["coincidences_expected", "grid_of", "readings_behind", "significant_digits"]

_DECIMALS = (1000.0, 100.0, 10.0, 1.0, 0.5, 0.1, 0.05, 0.01, 0.005, 1e-3, 1e-4, 1e-5, 1e-6)
_MOST_READINGS = 10
_MOST_DIGITS = 9
_NEARLY_ALL = 0.99


def grid_of(values: Floats) -> float | None:
    """The widest decimal grid that all values stand on; None where there is none down to 1e-6, or nothing to see."""
    if values.size < 2:
        return None
    for step in _DECIMALS:
        scaled = values / step
        if np.all(np.abs(scaled - np.round(scaled)) <= 1e-6):
            return step
    return None


def significant_digits(values: Floats) -> int | None:
    """The fewest significant digits, up to 9, that all values are written with; None where they have more."""
    positive = np.abs(values[values != 0])
    if not positive.size:
        return None
    exponents = np.floor(np.log10(positive))
    for digits in range(1, _MOST_DIGITS + 1):
        scaled = positive * 10.0 ** (digits - 1 - exponents)
        if np.all(np.abs(scaled - np.round(scaled)) <= 1e-6):
            return digits
    return None


def coincidences_expected(values: Floats) -> float:
    """How many pairs of equal values chance makes, were values spread smoothly and then rounded as they are.

    They are rounded to a decimal grid, or to significant digits; where neither shows, the distance of the closest two
    distinct values is the widest that the rounding can be.
    """
    if values.size < 2:
        return 0.0
    counts, edges = np.histogram(values, bins=max(10, int(np.sqrt(values.size))))
    width = float(edges[1] - edges[0])
    if width == 0:
        return 0.0
    pairs = counts.astype(np.float64) * (counts - 1) / 2
    chance = np.minimum(1.0, _steps(values, (edges[1:] + edges[:-1]) / 2) / width)
    return float(np.sum(pairs * chance))


def _steps(values: Floats, near: Floats) -> Floats:
    """The distance of neighbouring values that the rounding leaves, near each of some values."""
    grid = grid_of(values)
    digits = significant_digits(values)
    distinct = np.unique(values)
    step = grid or (float(np.min(np.diff(distinct))) if distinct.size > 1 else 0.0)
    steps = np.full(near.size, step)
    if digits is not None:
        exponents = np.floor(np.log10(np.maximum(np.abs(near), np.finfo(np.float64).tiny)))
        steps = np.maximum(steps, 10.0 ** (exponents - digits + 1))
    return steps


def readings_behind(power_w: Floats) -> tuple[int, float] | None:
    """How many readings of a sensor with a step of 1 mW an average power is made of, where its digits tell.

    A mean of k such readings is a whole number of mW when it is taken k times.

    Returns:
        The most readings that nearly all rows need, at most 10, and the share of rows that need just one; None where
        digits tell nothing.
    """
    if power_w.size < 10:
        return None
    left = power_w
    for readings in range(1, _MOST_READINGS + 1):
        scaled = left * 1000 * readings
        left = left[np.abs(scaled - np.round(scaled)) > 1e-4]
        if readings == 1:
            single = 1 - left.size / power_w.size
        if left.size <= (1 - _NEARLY_ALL) * power_w.size:
            return readings, single
    return None
