"""The census of a board's worker processes: whether they fall into two states, and which of them most are in.

On some boards a process is faster or slower for all its life, by where its memory came to lie or by the cores that it
was given. Three rounds cannot show that: where three of ten processes are 5 % slower, all three rounds agree in 37
campaigns of 100, three of these 37 on the wrong state, and whatever they have measured looks fine. So the sentinel is
asked in some fresh processes before the first round, at some seconds each. Where two groups show, it is asked in more
of them until one group leads; from then on a round is measured in a process of that group only, and rounds that were
measured in the other are measured again.

That a group leads by five is wrong once in seventy times where three of ten processes are in the other state (Wald's
sequential test: (3/7)^5). Where no group leads after `MOST` processes nobody knows which state is the usual one.
Groups that follow each other in time are no states: there the board has moved, and the earlier ones count no more.

How often the figures of such boards hold the truth with and without a census, and why the variance between rounds is
not pooled over the jobs of a campaign (they share their processes), is in benchmarks/process_states.py.
"""

from __future__ import annotations

from itertools import pairwise
from math import log
from operator import sub
from statistics import fmean
from typing import NamedTuple

from profiler.measure.record import Measurement
from profiler.measure.watch import BEGINS, estimate_of

__all__ = ["LEAD", "LEAST_GAP", "MOST", "Census", "States"]

LEAST_GAP = 0.02
"""States closer to each other than this, in logarithms, are part of the spread between processes."""

APART = 3.0
"""The gap between two states is at least so many deviations within them."""

LEAD = 5
"""By so many processes one state has to lead to count as the usual one."""

MOST = 30
"""So many processes are asked at most to find that out."""


class States(NamedTuple):
    """Two groups of processes.

    Attributes:
        cut: the logarithm of the sentinel's latency in ns that lies between them.
        fast, slow: how many processes are in each.
        gap: from the one's mean to the other's, in logarithms.
    """

    cut: float
    fast: int
    slow: int
    gap: float

    @property
    def leads(self) -> bool:
        """Whether one of them is known to be the usual one."""
        return abs(self.fast - self.slow) >= LEAD

    def sentence(self) -> str:
        """For people."""
        told = (
            f"worker processes fall into two states, {100 * self.gap:.1f} % apart: "
            f"{self.fast} were in the faster one and {self.slow} in the slower"
        )
        which = "faster" if self.fast > self.slow else "slower"
        return f"{told}; figures are of the {which}" if self.leads else f"{told}; which is the usual one is not known"


class Census:
    """What the sentinel showed in each fresh process of a campaign, and which process measured what.

    Args:
        probes: so many processes are asked beside those of the rounds; 0: there is no census.
    """

    def __init__(self, probes: int) -> None:
        self._probes = probes
        self._levels: list[float] = []
        self._since = 0  # processes before it were asked before the board moved
        self._process_of: dict[str, int] = {}  # by job key

    @property
    def wanted(self) -> bool:
        """Whether there is one."""
        return self._probes > 0

    @property
    def states(self) -> States | None:
        """Two groups, where there are two."""
        return _split(self._levels[self._since :])

    @property
    def complete(self) -> bool:
        """Whether enough processes were asked, the one at work among them."""
        asked, states = len(self._levels), self.states
        return asked > self._probes and (states is None or states.leads or asked >= MOST)

    @property
    def undecided(self) -> bool:
        """Whether there are two states and nobody knows which is the usual one."""
        states = self.states
        return states is not None and not states.leads

    def is_usual(self) -> bool:
        """Whether the process at work, the last that was asked, is in the usual state or in the only one."""
        return not self._levels or self._in_usual(len(self._levels) - 1)

    def is_off(self, key: str) -> bool:
        """Whether a job's last figure is from a process of the unusual state."""
        process = self._process_of.get(key)
        return process is not None and not self._in_usual(process)

    def replay(self, measurement: Measurement) -> None:
        """Take in a line of the journal."""
        if not self.wanted:
            return
        if measurement.role.kind != "sentinel":
            kept = "drifted" in measurement.issues  # an earlier figure, journaled anew
            if measurement.status == "ok" and self._levels and not kept:
                self._process_of[measurement.job_key] = len(self._levels) - 1
            return
        found = estimate_of(measurement) if measurement.env.get(BEGINS) is True else None
        if found is not None and found.median > 0:
            self._levels.append(log(found.median))
            self._forget_what_has_passed()

    def _in_usual(self, process: int) -> bool:
        states = self.states
        if states is None or not states.leads or process < self._since:
            return True
        return (self._levels[process] < states.cut) == (states.fast > states.slow)

    def _forget_what_has_passed(self) -> None:
        """Where one state has wholly taken the place of the other, the board has moved."""
        states = self.states
        if states is None or min(states.fast, states.slow) < LEAD:
            return
        fast = [level < states.cut for level in self._levels[self._since :]]
        first = fast.count(fast[0])
        if all(each == fast[0] for each in fast[:first]):
            self._since += first


def _split(levels: list[float]) -> States | None:
    """The two groups on both sides of the widest gap, where that is one that noise does not explain."""
    x = sorted(levels)
    if len(x) < 2:
        return None
    gap, last = max(zip(map(sub, x[1:], x), x, strict=False))
    cut = last + gap / 2
    groups = [level for level in levels if level < cut], [level for level in levels if level > cut]
    # from one to the next of a group, so that a drift of both counts for little
    steps = [b - a for group in groups for a, b in pairwise(group)]
    within = (sum(step * step for step in steps) / (2 * max(1, len(steps)))) ** 0.5
    if gap <= max(LEAST_GAP, APART * within):
        return None
    return States(cut, len(groups[0]), len(groups[1]), fmean(groups[1]) - fmean(groups[0]))
