"""From rounds to one figure: their median, and an interval that holds the truth as often as it says.

The methods that were compared, and how often each covers a known truth, are in benchmarks/interval_coverage.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, nan, pi, sqrt
from statistics import median as plain_median

__all__ = ["Combined", "combine_rounds", "median_quantile", "relative_spread", "rounds_needed"]

CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959963984540054

MEDIAN_PENALTY = sqrt(pi / 2)
"""How much wider the median of many normal values scatters than their mean: an upper bound for few."""

_QUANTILES = (
    12.706, 4.414, 3.278, 3.026, 2.755, 2.766, 2.614, 2.664, 2.554, 2.613, 2.521, 2.580, 2.502, 2.561, 2.491, 2.545,
    2.485, 2.533, 2.476,
)  # fmt: skip
"""For 2, 3, ... normal values: |median - truth| / (deviation / sqrt(R)) stays below this 95 times of 100. By drawing
4,000,000 sets of each size; for two values it is Student's t, and one more value than an even number helps little."""

FLOOR = 0.5
"""Of the standard error from within rounds: what an interval's half-width never falls below."""

MOST_ROUNDS = 1000
"""More are never recommended."""


@dataclass(frozen=True, slots=True)
class Combined:
    """One figure from several rounds.

    Attributes:
        median, low, high: median of the rounds' values and its 95 % interval.
        spread: standard deviation between the rounds relative to the median; NaN with one round.
        n_rounds: how many rounds entered.
    """

    median: float
    low: float
    high: float
    spread: float
    n_rounds: int


def _deviation(values: Sequence[float]) -> float:
    """Standard deviation of a few values: numpy's takes ten times as long for three, and tables have 100,000 rows."""
    mean = sum(values) / len(values)
    return sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def relative_spread(values: Sequence[float]) -> float:
    """Standard deviation between rounds relative to their median; NaN with fewer than two."""
    if len(values) < 2:
        return nan
    centre = plain_median(values)
    return _deviation(values) / abs(centre) if centre else nan


@lru_cache(maxsize=64)
def _t_quantile(degrees: int) -> float:
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))


def median_quantile(rounds: int) -> float:
    """What Student's t is for the mean, for the median of so many normal values, at least two: its 95 % interval is
    +- this x deviation / sqrt(rounds). Beyond the table it is an upper bound."""
    place = rounds - 2
    return _QUANTILES[place] if place < len(_QUANTILES) else MEDIAN_PENALTY * _t_quantile(rounds - 1)


def combine_rounds(values: Sequence[float], within_errors: Sequence[float]) -> Combined:
    """One figure from rounds: their median, with an interval from between the rounds.

    The scatter between rounds holds the scatter within them, so the two are not added: the interval is the median's
    own kind of Student interval of the R values [measurement.md, 1.5], and never narrower than half the standard error
    from within the rounds, which keeps three rounds that agree by luck from looking exact. (A floor of 1.96 of them,
    as safe as it looks, lets intervals of quiet boards cover 99 % instead of 95 %.) With one round only the error
    within is left, which is optimistic: such a figure is to be flagged by its number of rounds.

    Args:
        values: (R,) one value a round, R >= 1.
        within_errors: (R,) the standard error of each; NaN where unknown.
    """
    if not values or len(values) != len(within_errors):
        raise ValueError("combining rounds needs at least one value and an error for each")
    rounds = len(values)
    centre = plain_median(values)
    known = [error for error in within_errors if isfinite(error)]
    within = sqrt(sum(error * error for error in known) / len(known)) if known else nan
    if rounds == 1:
        half = NORMAL_QUANTILE * within
    else:
        floor = FLOOR * (MEDIAN_PENALTY if rounds > 2 else 1.0) * within
        between = median_quantile(rounds) * _deviation(values)
        half = (max(between, floor) if isfinite(floor) else between) / sqrt(rounds)
    return Combined(centre, centre - half, centre + half, relative_spread(values), rounds)


def rounds_needed(found: Combined, half_width: float) -> int | None:
    """How many rounds more would bring the interval's half-width down to `half_width`, relative to the median.

    It goes by the spread between the rounds so far, so a few rounds give a rough answer. None where that is unknown
    (one round), or where even a thousand would not do.
    """
    if not isfinite(found.spread):
        return None
    for rounds in range(max(2, found.n_rounds), MOST_ROUNDS + 1):
        if median_quantile(rounds) * found.spread / sqrt(rounds) <= half_width:
            return rounds - found.n_rounds
    return None
