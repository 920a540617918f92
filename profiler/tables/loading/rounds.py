"""Statistics of many small groups at once: what `profiler.measure.rounds` says of one group, for arrays of them.

Values lie beneath each other, group after group; a group is a place to begin and a number of values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler.measure.rounds import FLOOR, MEDIAN_PENALTY, NORMAL_QUANTILE, median_quantile

__all__ = ["Groups", "Rounds", "combine_groups", "last_of_each"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_OF_ROUNDS = (NORMAL_QUANTILE, FLOOR, FLOOR * MEDIAN_PENALTY)
"""What the error within counts for with one round, two, and more."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Neighbours of the same id.

    Attributes:
        ids: of each group, rising, shape (g,).
        starts, counts: where it begins and how many values it has, shape (g,).
    """

    ids: Ints
    starts: Ints
    counts: Ints

    @classmethod
    def of(cls, sorted_ids: Ints) -> Groups:
        """Of ids that stand in order, shape (n,)."""
        starts = np.flatnonzero(np.r_[True, sorted_ids[1:] != sorted_ids[:-1]]) if len(sorted_ids) else np.arange(0)
        return cls(sorted_ids[starts], starts, np.diff(np.r_[starts, len(sorted_ids)]))

    def median(self, values: Floats) -> Floats:
        """Of each group, shape (g,); NaN where it holds one."""
        found = np.full(len(self.ids), np.nan)
        for n in np.unique(self.counts):
            chosen = self.counts == n
            found[chosen] = np.median(self._matrix(values, chosen, n), axis=1)
        return found

    def deviation(self, values: Floats) -> Floats:
        """The standard deviation of each group (n - 1 in the denominator), shape (g,); NaN for a single value."""
        found = np.full(len(self.ids), np.nan)
        for n in np.unique(self.counts[self.counts > 1]):
            chosen = self.counts == n
            found[chosen] = np.std(self._matrix(values, chosen, n), axis=1, ddof=1)
        return found

    def sum(self, values: Floats) -> Floats:
        """Of each group, shape (g,)."""
        found: Floats = np.add.reduceat(values, self.starts) if len(self.ids) else np.zeros(0)
        return found

    def least(self, values: Floats) -> Floats:
        """The lowest value of each group, shape (g,)."""
        found: Floats = np.minimum.reduceat(values, self.starts) if len(self.ids) else np.zeros(0)
        return found

    def _matrix(self, values: Floats, chosen: NDArray[np.bool_], n: int) -> Floats:
        found: Floats = values[self.starts[chosen][:, None] + np.arange(n)]
        return found


@dataclass(frozen=True, slots=True)
class Rounds:
    """Figures from rounds, all of shape (g,).

    Attributes:
        median: of each group's values; half: of its 95 % interval, NaN where nothing is known of it.
        deviation: between the rounds; NaN with one.
        counts: of rounds.
    """

    median: Floats
    half: Floats
    deviation: Floats
    counts: Ints


def combine_groups(groups: Groups, values: Floats, within: Floats) -> Rounds:
    """What `profiler.measure.rounds.combine_rounds` says of each group.

    Args:
        values, within: (n,) one value a round and its standard error, NaN where that is unknown.
    """
    known, n = np.isfinite(within), groups.counts
    squares, number = groups.sum(np.where(known, within, 0.0) ** 2), groups.sum(known.astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = np.sqrt(squares / number) * np.choose(np.minimum(n, 3) - 1, _OF_ROUNDS)
    deviation = groups.deviation(values)
    sizes, size = np.unique(n, return_inverse=True)
    quantiles = np.array([median_quantile(k) if k > 1 else np.nan for k in sizes.tolist()])
    half = np.fmax(inner, quantiles[size] * deviation) / np.sqrt(n)
    return Rounds(groups.median(values), half, deviation, n)


def last_of_each(ids: Ints, preferred: NDArray[np.bool_]) -> Ints:
    """Of each id the place of its last preferred occurrence, or of its last where none is; in the order of ids.

    Args:
        ids: (n,) not negative, in the order of time; preferred: (n,).
    """
    order = np.argsort(ids * 2 + preferred, kind="stable")
    of_order = ids[order]
    last = np.flatnonzero(np.r_[of_order[1:] != of_order[:-1], True]) if len(ids) else np.arange(0)
    found: Ints = order[last]
    return found
