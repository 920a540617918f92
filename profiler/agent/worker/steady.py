"""Whether times still drift: the test that ends a warm-up, and that samples are put to when they are there."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple, Sequence

from .interval import median

GROUPS = 16
"""Times are compared as the medians of at most so many groups: noise moves these less, and they are less correlated."""

LEAST = 6
"""Times of which no order is significant are fewer than this."""

SIGNIFICANT = 1.96
"""A warm-up goes on where a trend is seen at the 5 % level of independent times: a false alarm costs a little time."""

IN_ORDER = 0.8
"""A doubt about a figure takes more: Kendall's tau. The noise of a board is slow, and where it takes as long to forget
as the samples last, it passes for a trend at the 1 % level of independent times (a tau of 0.5) in up to a third of the
series; beyond 0.8 it does in 0.8 of 100 on average, and in 4 of 100 at the worst. A trend several times as large as the
noise is still found. Tests that estimate the correlation were not better at the same number of false alarms: what they
take for noise is the trend itself (benchmarks/trends.py)."""

GONE = 1.0
"""One that was seen counts as gone only when there is hardly a sign of it: else a test that is repeated passes sooner
or later by chance, whatever the trend."""

LATELY = 2
"""Of a warm-up the last half is looked at: by a few batches, noise hides a drift of many per cent a second."""


class Drift(NamedTuple):
    """What a trend test found.

    Attributes:
        sure: how sure it is, in standard deviations, were the times independent.
        carries: how far it carries, relative to the median.
        in_order: the share of pairs in the trend's order less that of the others, 0 to 1 (Kendall's tau).
    """

    sure: float
    carries: float
    in_order: float


def drift(times: Sequence[float], ahead: int = 0) -> Drift:
    """Mann and Kendall's test for a trend, and Theil and Sen's slope.

    Args:
        times: at least one, in the order measured.
        ahead: the slope is followed over so many times, or over those that it was found in, if they are more.
    """
    size = max(1, math.ceil(len(times) / GROUPS))
    rest = len(times) % size
    groups = [median(times[begin : begin + size]) for begin in range(rest, len(times), size)]
    n = len(groups)
    pairs = list(itertools.combinations(range(n), 2))
    if not pairs:
        return Drift(0.0, 0.0, 0.0)
    score = sum((groups[j] > groups[i]) - (groups[j] < groups[i]) for i, j in pairs)
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    slope = median([(groups[j] - groups[i]) / (j - i) for i, j in pairs]) / size
    centre = median(groups)
    carries = abs(slope) * max(ahead, len(times) - 1) / centre if centre > 0 else 0.0
    return Drift(max(0.0, abs(score) - 1) / deviation, carries, abs(score) / len(pairs))


class SteadyTest:
    """Whether no trend is left in a warm-up that goes on.

    Neither chance nor a drift too small to matter prolongs it: a trend counts when it is significant *and* would carry
    the times too far while they are sampled.

    Args:
        tolerance: how far, relative to the median.
        ahead: the batches that are to be sampled at the least.
    """

    def __init__(self, tolerance: float, ahead: int) -> None:
        self._tolerance = tolerance
        self._ahead = ahead
        self._limit = SIGNIFICANT

    def passed(self, batches: Sequence[float]) -> bool:
        """Whether the times of the batches so far have settled; False of too few to tell."""
        window = self._window(batches)
        if len(window) < LEAST:
            return False
        found = drift(window, self._ahead)
        if found.carries <= self._tolerance or found.sure <= self._limit:
            return True
        self._limit = GONE
        return False

    def still_moving(self, batches: Sequence[float]) -> bool:
        """Whether there is a trend beyond doubt, in a warm-up that has gone on for as long as it may."""
        window = self._window(batches)
        if len(window) < LEAST:
            return True
        found = drift(window, self._ahead)
        return found.carries > self._tolerance and found.in_order > IN_ORDER

    @staticmethod
    def _window(batches: Sequence[float]) -> Sequence[float]:
        return batches[-max(LEAST, len(batches) // LATELY) :]


def drifts(samples: Sequence[float], tolerance: float) -> bool:
    """Whether samples have a trend that carried them by more than `tolerance` of their median from first to last."""
    found = drift(samples)
    return len(samples) >= LEAST and found.in_order > IN_ORDER and found.carries > tolerance
