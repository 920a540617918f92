"""Whether samples fall into two groups: then their median may lie in either, and a thousand more would not settle it.

The statistic is a dip like Hartigan's [The dip test of unimodality, Annals of Statistics 1985]: the distance between
the samples' distribution and the nearest one with a single peak, whose two sides are fitted apart from each other here,
so that a bisection finds it. No shape is assumed; its critical values are those of uniform samples, the single peak
that is hardest to tell from two. Samples follow each other in time, so n is how many independent ones they are worth.
A board that changes its state once in a while makes of many samples few independent ones. There the groups have to lie
so far apart that no slow noise passes for them.

A figure that had two groups is measured again, and the second time all samples may lie in one of them. That makes the
other no less true: `modes_of` keeps what the groups were, and `still_bimodal` when they may be forgotten.

How often series without groups are flagged (at most 1 %) and series with them is shown by
benchmarks/interval_coverage.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from profiler.measure.stats import effective_n

__all__ = ["FAR", "FEWEST", "LEAST_GAP", "LEAST_SHARE", "MODES", "dip", "is_bimodal", "modes_of", "still_bimodal"]

Floats = NDArray[np.float64]

LEAST_GAP = 0.01
"""Groups closer to each other than this, relative to the median, move no median by more than what is asked of it."""

LEAST_SHARE = 0.1
"""A smaller group is a handful of outliers, and the median lies in the other one."""

FEWEST = 12
"""Of fewer independent samples nothing is said, unless groups are FAR apart."""

FAR = 10.0
"""Groups are far apart by so many times the standard deviation of a sample within its own. Fewer than 1 of 100 series
of slow noise alone come to that."""

MANY = 30
"""Of fewer samples, that groups are far apart means nothing: 3 % of series of 12 have such groups by chance."""

SPELL = 3
"""Such groups are spells of so many samples in a row or more, on average; outliers come one by one."""

USUALLY = 2 / 3
"""In the faster group of a job's samples lie so many before the slower one is forgotten."""

MODES = "modes"
"""Where in a measurement's `env` its two groups are."""

_POINTS = 256
"""Longer series are taken at so many quantiles, which moves the dip by 1 / 512 at most."""

_CRITICAL = 0.54
"""sqrt(n) x dip of n uniform samples exceeds 0.52 1 time of 100 for n from 20 to 256 (0.51 for 12), and this 1 time of
200; the rest is left to a twentieth of outliers that all lie at one place."""

_LEAST_DIP = 0.03
"""What a group of LEAST_SHARE well apart from the rest comes to; in long series even less would be significant."""


def dip(samples: ArrayLike) -> float:
    """How far the samples' distribution is from the nearest with one peak: half the largest distance, 0 to 1/4.

    Args:
        samples: (n,) in any order and unit, n >= 1.
    """
    x, counts = np.unique(np.asarray(samples, dtype=np.float64), return_counts=True)
    steps = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    mirrored, mirrored_steps = -x[::-1], 1 - steps[::-1]
    # the further right the peak, the worse a convex rise fits before it, and the better a concave one behind it
    low, high = 0, x.size - 1
    while low < high:
        middle = (low + high) // 2
        rise = _misfit(x[: middle + 1], steps[: middle + 2])
        fall = _misfit(mirrored[: x.size - middle], mirrored_steps[: x.size - middle + 1])
        if rise >= fall:
            high = middle
        else:
            low = middle + 1
    best = 1.0
    for peak in {max(0, low - 1), low}:
        rise = _misfit(x[: peak + 1], steps[: peak + 2])
        fall = _misfit(mirrored[: x.size - peak], mirrored_steps[: x.size - peak + 1])
        best = min(best, max(rise, fall))
    return best / 2


def _misfit(x: Floats, steps: Floats) -> float:
    """How far a distribution rises above the greatest convex curve below it, before its peak at the end of x.

    Args:
        x: (k,) where it rises, ascending.
        steps: (k + 1,) its value before, between and behind them.
    """
    from scipy.optimize import isotonic_regression

    if x.size < 2:
        return 0.0
    widths = np.diff(x)
    # the slopes of that curve are the nearest ascending ones
    slopes = isotonic_regression(np.diff(steps[:-1]) / widths, weights=widths).x
    convex = steps[0] + np.concatenate([[0.0], np.cumsum(slopes * widths)])
    return float(np.max(steps[1:-1] - convex[:-1]))


def is_bimodal(samples: ArrayLike) -> bool:
    """Whether samples fall into two groups, each of a tenth of them or more and a percent of the median apart.

    Args:
        samples: (n,) in the order measured, in any unit, positive.
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.size < FEWEST:
        return False
    ordered = np.sort(values)
    cut = _cut(ordered)
    if not _groups_matter(ordered, cut):
        return False
    independent = effective_n(values)
    if independent < FEWEST:
        return values.size >= MANY and _far_apart(ordered, cut) and _in_spells(values > ordered[cut - 1])
    ordered = _without_ticks(ordered)
    if ordered.size > _POINTS:
        ordered = ordered[((np.arange(_POINTS) + 0.5) * ordered.size / _POINTS).astype(int)]
    return dip(ordered) > max(_CRITICAL / sqrt(independent), _LEAST_DIP)


def modes_of(samples: ArrayLike) -> dict[str, float | int]:
    """The two groups of samples that have two.

    Returns:
        "fast_ns", "slow_ns": their medians, in the unit of the samples; "fast_share": of the samples; "batches": all.
    """
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    cut = _cut(ordered)
    fast, slow = float(np.median(ordered[:cut])), float(np.median(ordered[cut:]))
    return {"fast_ns": fast, "slow_ns": slow, "fast_share": cut / ordered.size, "batches": ordered.size}


def still_bimodal(earlier: Mapping[str, Any], samples: ArrayLike) -> dict[str, float | int] | None:
    """What a job's groups are now that it was measured once more, and all its samples lie in one of them.

    Returns:
        The groups, with their shares of all samples so far; None where they may be forgotten: the new samples are in
        the faster group and most of all samples are. For then the slower one was something beside the measurement that
        has passed: others make a board slower, never faster. Where the new ones are slower, or the board has been
        slow for much of the time, nobody knows which of the two a network will meet.
    """
    values = np.asarray(samples, dtype=np.float64)
    fast = bool(np.median(values) < (earlier["fast_ns"] + earlier["slow_ns"]) / 2)
    batches = earlier["batches"] + values.size
    share = (earlier["fast_share"] * earlier["batches"] + fast * values.size) / batches
    if fast and share > USUALLY:
        return None
    return {**earlier, "fast_share": share, "batches": batches}


def _without_ticks(ordered: Floats) -> Floats:
    """Sorted samples with equal ones spread over a tick: a coarse clock puts them into groups that are its own."""
    x, first, counts = np.unique(ordered, return_index=True, return_counts=True)
    if x.size == ordered.size or x.size < 2:
        return ordered
    tick = float(np.min(np.diff(x)))
    places = np.arange(ordered.size) - np.repeat(first, counts)
    return ordered + tick * ((places + 0.5) / np.repeat(counts, counts) - 0.5)


def _cut(ordered: Floats) -> int:
    """Where sorted samples are cut in two so that this explains most of their variance.

    Outliers would draw that cut to themselves, so neither part may be less than a tenth.
    """
    n = ordered.size
    least = max(1, int(np.ceil(LEAST_SHARE * n)))
    sums = np.cumsum(ordered)
    cuts = np.arange(least, n - least + 1)
    left, right = sums[cuts - 1] / cuts, (sums[-1] - sums[cuts - 1]) / np.maximum(n - cuts, 1)
    return int(cuts[np.argmax(cuts * (n - cuts) * (right - left) ** 2)])


def _groups_matter(ordered: Floats, cut: int) -> bool:
    """Whether the medians of both parts are so far apart that it matters which one is reported."""
    gap = np.median(ordered[cut:]) - np.median(ordered[:cut])
    return bool(gap > LEAST_GAP * np.median(ordered))


def _far_apart(ordered: Floats, cut: int) -> bool:
    """Whether both parts are much narrower than the gap between them, by quartiles, which outliers do not move."""
    low, high = ordered[:cut], ordered[cut:]
    widths = [float(np.subtract(*np.percentile(part, [75, 25]))) / 1.349 for part in (low, high)]
    within = sqrt((widths[0] ** 2 * low.size + widths[1] ** 2 * high.size) / ordered.size)
    return bool(np.median(high) - np.median(low) > FAR * within)


def _in_spells(high: NDArray[np.bool_]) -> bool:
    """Whether samples stay in their group for a while before they change to the other, both ways.

    Args:
        high: (n,) which samples are in the slower group, in the order measured.
    """
    changes = np.flatnonzero(high[1:] != high[:-1])
    spells = changes.size + 1
    fewer = min(int(np.count_nonzero(high)), int(np.count_nonzero(~high)))
    return bool(2 * fewer >= SPELL * spells)
