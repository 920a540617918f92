"""How well the samples at hand tell their median: by the host's own rules, without its libraries.

The host judges every journal anew (profiler/measure/stats.py), and finds what the board found when it stopped.
"""

from __future__ import annotations

import math
import operator
from typing import Optional, Sequence

ONE_SIDE = 0.025

MEANINGFUL = 6
"""Fewer independent samples can exclude nothing at 95 %."""

ROUNDING = 1e-9
"""What is that small is 0: the host, who sums up otherwise, cuts and rounds there as well."""


def median(values: Sequence[float]) -> float:
    """The median of at least one value."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def effective_n(samples: Sequence[float]) -> int:
    """How many independent samples these are worth for their median: 1..n.

    n / (1 + 2 sum of the autocorrelations of the signs of (sample - median), which outliers do not move), the sum being
    cut by Geyer's initial positive sequence, as the host does it. Once they are worth fewer than MEANINGFUL, how many
    fewer is not looked for: the interval is their whole range then.
    """
    n = len(samples)
    if n < 4:
        return n
    centre = median(samples)
    signs = [float((value > centre) - (value < centre)) for value in samples]
    mean = sum(signs) / n
    signs = [sign - mean for sign in signs]
    variance = sum(map(operator.mul, signs, signs))
    if variance == 0:
        return n
    inefficiency = -1.0
    for lag in range(0, n - n % 2, 2):
        pair = sum(map(operator.mul, signs, signs[lag:])) + sum(map(operator.mul, signs, signs[lag + 1 :]))
        if pair <= ROUNDING * variance:
            break
        inefficiency += 2 * pair / variance
        if inefficiency > n / (MEANINGFUL - 1):
            break
    return max(1, round(n / max(inefficiency, 1.0) - ROUNDING))


def half_width(samples: Sequence[float], independent: Optional[int] = None) -> float:
    """Half of the 95 % interval of the median, relative to the median.

    The interval ends at order statistics, so no distribution of the samples is assumed. Infinite where the median is 0.

    Args:
        samples: at least one.
        independent: how many they are worth; by default `effective_n(samples)`.
    """
    n, worth = len(samples), effective_n(samples) if independent is None else independent
    ordered, rank = sorted(samples), lower_rank(worth)
    low = ordered[int(max(rank - 1, 0) / worth * n)]
    high = ordered[min(n, math.ceil(min(worth - rank + 1, worth) / worth * n)) - 1]
    centre = median(ordered)
    return (high - low) / 2 / centre if centre > 0 else math.inf


def lower_rank(n: int) -> int:
    """The smallest k for which a binomial of n and 1/2 is at most k with a chance of 2.5 % or more."""
    k = max(0, int(n / 2 - 4 * math.sqrt(n)))  # what lies below is eight deviations away
    chance = math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))
    below = chance
    while below < ONE_SIDE:
        k += 1
        chance *= (n - k + 1) / k
        below += chance
    return k
