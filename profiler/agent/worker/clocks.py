"""The frequency of the cores that a job uses, and at which it ought to be."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Sequence

from ..cpus import CPUFREQ
from ..leaf import Leaf

MOST_POLICIES = 16
"""So many are looked at: on a large machine, every core has one of its own."""

TOLERANCE = 0.01
"""A frequency that far off is another one: what is read back is rounded."""

SELF_WILLED = ("intel_pstate", "amd-pstate", "amd-pstate-epp", "intel_cpufreq")
"""Drivers whose processors take their highest clock for a wish, which other cores' work and heat decide about."""


def policies(board: Leaf, cpus: Sequence[int]) -> List[int]:
    """One CPU of each of the cpufreq policies that these CPUs belong to; none where there is no cpufreq."""
    found: Dict[str, int] = {}
    for cpu in cpus:
        if board.read(CPUFREQ % (cpu, "scaling_governor")) is None:
            continue
        related = board.read(CPUFREQ % (cpu, "related_cpus")) or str(cpu)
        found.setdefault(related, cpu)
    return list(found.values())


def held_at(board: Leaf, cpu: int, clock: str) -> Optional[int]:
    """The frequency in kHz that a core's policy is held at; None where it may move.

    Args:
        board: where.
        cpu: one of the policy's.
        clock: the target's, in MHz, or "unpinned".
    """
    low, high = (board.number(CPUFREQ % (cpu, "scaling_%s_freq" % name)) for name in ("min", "max"))
    if high is None:
        return None
    if low == high:
        return high
    if clock != "unpinned":
        return min(high, int(float(clock) * 1000))
    driver = board.read(CPUFREQ % (cpu, "scaling_driver"))
    governor = board.read(CPUFREQ % (cpu, "scaling_governor"))
    return high if governor == "performance" and driver not in SELF_WILLED else None


class Frequency(NamedTuple):
    """What the cores run at: the highest of their frequencies, and whether any of them is below what it is held at."""

    mhz: float
    dips: bool


class Clocks:
    """Reads the frequency of the cores that a job uses.

    Args:
        board: where.
        cpus: those.
        clock: the target's, in MHz, or "unpinned".
    """

    def __init__(self, board: Leaf, cpus: Sequence[int], clock: str) -> None:
        self._board = board
        some = policies(board, cpus)[:MOST_POLICIES]
        self._policies = [(CPUFREQ % (cpu, "scaling_cur_freq"), held_at(board, cpu, clock)) for cpu in some]

    def read(self) -> Optional[Frequency]:
        """The frequency now; None where none can be read."""
        highest, dips = 0, False
        for path, reference_khz in self._policies:
            khz = self._board.number(path)
            if not khz:
                continue
            highest = max(highest, khz)
            dips = dips or (reference_khz is not None and khz < reference_khz * (1 - TOLERANCE))
        return Frequency(highest / 1000, dips) if highest else None
