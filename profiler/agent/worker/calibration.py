"""What the board's clock can tell, measured with the clock itself, and how long a sample has to last for it."""

from __future__ import annotations

from typing import Callable, NamedTuple

from .interval import median
from .settings import Settings

EMPTY_PAIRS = 10000
"""Readings from which the clock's own cost is taken."""

MOST_READINGS = 10000000
"""So often a clock may show one and the same time before it counts as standing still."""

RESOLUTIONS = 1000
OVERHEADS = 200
"""A batch lasts at least so many ticks of the clock, and so many times what reading it costs."""

Clock = Callable[[], int]


class ClockUnusable(Exception):
    """The clock stands still, or there is no batch in which it went forwards."""


class ClockFacts(NamedTuple):
    """What the clock can tell.

    Attributes:
        resolution_ns: the smallest step seen between two readings.
        overhead_ns: the median of what an empty pair of readings lasts.
    """

    resolution_ns: int
    overhead_ns: int


def calibrate(clock: Clock) -> ClockFacts:
    """Measure the clock with empty pairs of readings.

    The smallest step seen is an upper bound of the true resolution where reading takes longer than a tick, which is
    the safe side: batches come out longer, never shorter.

    Raises:
        ClockUnusable: it stands still.
    """
    pairs = []
    for _ in range(EMPTY_PAIRS):
        start = clock()
        pairs.append(clock() - start)
    steps = [pair for pair in pairs if pair > 0]
    if not steps:  # a tick outlasts all of these readings: wait for whole ones
        edges = [_next_tick(clock) for _ in range(3)]
        steps = [after - before for before, after in zip(edges, edges[1:])]
    return ClockFacts(min(steps), max(0, int(median(pairs))))


def _next_tick(clock: Clock) -> int:
    start = clock()
    for _ in range(MOST_READINGS):
        now = clock()
        if now > start:
            return now
        start = min(start, now)  # should it have been set back
    raise ClockUnusable("the board's clock stands still")


def least_batch_ns(settings: Settings, clock_facts: ClockFacts) -> int:
    """How long a sample must last for the clock not to matter."""
    least = max(RESOLUTIONS * clock_facts.resolution_ns, OVERHEADS * clock_facts.overhead_ns)
    return max(int(settings.min_batch_s * 1e9), least)
