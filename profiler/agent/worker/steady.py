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
SURE = 2.58
"""A warm-up's trend is seen at the 5 % level, one of samples at the 1 % level: the first costs a little time, the other
is a doubt about a figure."""

GONE = 1.0
"""One that was seen counts as gone only when there is hardly a sign of it: else a test that is repeated passes sooner
or later by chance, whatever the trend."""

LATELY = 2
"""Of a warm-up the last half is looked at: by a few batches, noise hides a drift of many per cent a second."""


class Drift(NamedTuple):
    """What a trend test found: how sure, in standard deviations, and how far it carries, relative to the median."""

    sure: float
    carries: float


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
        return Drift(0.0, 0.0)
    score = sum((groups[j] > groups[i]) - (groups[j] < groups[i]) for i, j in pairs)
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    slope = median([(groups[j] - groups[i]) / (j - i) for i, j in pairs]) / size
    centre = median(groups)
    carries = abs(slope) * max(ahead, len(times) - 1) / centre if centre > 0 else 0.0
    return Drift(max(0.0, abs(score) - 1) / deviation, carries)


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
        window = batches[-max(LEAST, len(batches) // LATELY) :]
        if len(window) < LEAST:
            return False
        found = drift(window, self._ahead)
        if found.carries <= self._tolerance or found.sure <= self._limit:
            return True
        self._limit = GONE
        return False


def drifts(samples: Sequence[float], tolerance: float) -> bool:
    """Whether samples have a trend that carried them by more than `tolerance` of their median from first to last."""
    found = drift(samples)
    return len(samples) >= LEAST and found.sure > SURE and found.carries > tolerance
