"""What other programs take from the processor while something is timed."""

from __future__ import annotations

from typing import List, NamedTuple, Optional

from ..leaf import Leaf

LEAST_TICKS = 40
"""The kernel counts in hundredths of a second: over fewer of them, summed over all cores, shares say nothing."""

PRESSURE_WIDTH = 0.05
"""Share of the time in which some program waited for a core, above which the board counts as loaded."""

OTHERS_WIDTH = 0.10
STEAL_WIDTH = 0.05
"""Shares of all cores' time: what other programs, and what other virtual machines, may take."""


class Load(NamedTuple):
    """Counters at one moment; None where the board has them not.

    Attributes:
        at_ns: when.
        waited_us: for how long some program has waited for a core so far (PSI).
        ticks, busy, stolen: of all cores: in all, at work, and taken by other virtual machines.
        own: ticks that this process has used.
    """

    at_ns: int
    waited_us: Optional[int]
    ticks: Optional[int]
    busy: Optional[int]
    stolen: Optional[int]
    own: Optional[int]


class Shares(NamedTuple):
    """What became of the time between two moments, each from 0 to 1; None where nobody can tell."""

    pressure: Optional[float]
    others: Optional[float]
    stolen: Optional[float]

    @property
    def is_high(self) -> bool:
        """Whether any of them is above its width."""
        widths = ((self.pressure, PRESSURE_WIDTH), (self.others, OTHERS_WIDTH), (self.stolen, STEAL_WIDTH))
        return any(share is not None and share > width for share, width in widths)


def waited_us(board: Leaf) -> Optional[int]:
    """For how long some program has waited for a core, since the board was switched on."""
    for line in (board.read("/proc/pressure/cpu") or "").splitlines():
        if line.startswith("some "):
            last = line.rpartition("total=")[2]
            return int(last) if last.isdigit() else None
    return None


def read(board: Leaf) -> Load:
    """The counters now."""
    cores = _numbers((board.read("/proc/stat") or "").split("\n", 1)[0].partition("cpu ")[2])
    own = _numbers(" ".join((board.read("/proc/self/stat") or "").rpartition(")")[2].split()[11:13]))
    known = len(cores) >= 8  # user, nice, system, idle, iowait, irq, softirq, steal
    return Load(
        board.clock_ns(),
        waited_us(board),
        sum(cores[:8]) if known else None,
        sum(cores[:3]) + sum(cores[5:7]) if known else None,
        cores[7] if known else None,
        sum(own) if len(own) == 2 else None,
    )


def _numbers(text: str) -> List[int]:
    words = text.split()
    return [int(word) for word in words] if all(word.isdigit() for word in words) else []


def between(before: Load, after: Load) -> Shares:
    """What became of the time between these two."""
    pressure = others = stolen = None
    passed_us = (after.at_ns - before.at_ns) / 1000
    if before.waited_us is not None and after.waited_us is not None and passed_us > 0:
        pressure = _share(after.waited_us - before.waited_us, passed_us)
    if before.ticks is not None and after.ticks is not None:
        ticks = after.ticks - before.ticks
        if ticks >= LEAST_TICKS:
            stolen = _share(after.stolen or 0, ticks, before.stolen or 0)
            if before.own is not None and after.own is not None:
                others = _share((after.busy or 0) - after.own, ticks, (before.busy or 0) - before.own)
    return Shares(pressure, others, stolen)


def _share(end: float, whole: float, begin: float = 0.0) -> float:
    return min(1.0, max(0.0, (end - begin) / whole))
