"""How fast a board is at its best, by the sentinels of a whole campaign, and whether it is far from it.

A sentinel's reference (`profiler.measure.watch`) is the first of its process: a round that begins while a neighbour
holds the machine up is watched well, and is slow throughout. Over the whole campaign the sentinels tell.
"""

from __future__ import annotations

from bisect import insort

__all__ = ["BEST", "GROSS", "LEAST_SENTINELS", "Level"]

GROSS = 1.2
"""So many times the best is more than processes, heat and drift explain, and as little as a busy neighbour costs."""

BEST = 0.1
"""The best is what this share of the sentinels did not exceed: one that came out low by chance says nothing."""

LEAST_SENTINELS = 5
"""From fewer nobody can tell what a board is at its best."""


class Level:
    """Sentinels so far.

    Args:
        gross: so many times the best is far from it; 0: nothing is.
    """

    def __init__(self, gross: float = GROSS) -> None:
        self._gross = gross
        self._sorted: list[float] = []

    def add(self, median_ns: float) -> None:
        """A sentinel that succeeded."""
        insort(self._sorted, median_ns)

    @property
    def best_ns(self) -> float | None:
        """None as long as there are too few sentinels."""
        if len(self._sorted) < LEAST_SENTINELS:
            return None
        return self._sorted[int(BEST * (len(self._sorted) - 1))]

    def is_gross(self, median_ns: float) -> bool:
        """Whether a sentinel is so far from the best that what was measured beside it is of no use."""
        best = self.best_ns
        return best is not None and self._gross > 0 and median_ns > self._gross * best
