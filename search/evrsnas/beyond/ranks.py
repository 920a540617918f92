"""Several scores as one: the mean of their ranks.

Ranks and not values, for scores have no common unit; the plain mean and no fitted weights, for nothing here may see
the accuracies that the result is judged by. `mean_ranks` ranks a given set, exactly. A search meets its candidates a
few at a time, and their worth must not depend on the company in which they come: `RankedScores` takes the ranks
within a sample of the space that is drawn once, by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.evrsnas.evolution import ScoreFunction
from search.spaces.base import Architecture, SearchSpace

__all__ = ["RankScale", "RankedScores", "draw_sample", "mean_ranks"]

_LEAST = 10
"""Scores that a scale needs at least."""
_TAIL = 0.9


def mean_ranks(scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean rank of every item over several scores, in (0, 1], the best near 1.

    Args:
        scores: one array (n,) a score, higher is better; NaN where there is none.

    Returns:
        (n,) float64; NaN for an item that lacks any of the scores. Ranks are among items that have all of them, equal
        scores share the mean of their ranks.

    Raises:
        ConfigError: for no scores, or arrays of several lengths.
    """
    from scipy.stats import rankdata

    if not scores or any(s.ndim != 1 or s.shape != scores[0].shape for s in scores):
        raise ConfigError("ranks are combined of one or more scores of the same items")
    table = np.stack([np.asarray(s, dtype=np.float64) for s in scores])
    whole = np.isfinite(table).all(axis=0)
    result = np.full(table.shape[1], np.nan)
    if whole.any():
        result[whole] = np.mean([rankdata(row[whole]) for row in table], axis=0) / whole.sum()
    return result


class RankScale:
    """Where a score stands among those of a sample: a strictly increasing function of the score.

    Between two scores of the sample it is linear, equal scores of the sample have their mean rank, and beyond either
    end it goes on as steeply as in the last tenth: better than everything in the sample is still told from better yet.

    Raises:
        ConfigError: for fewer than 10 known scores, or scores that are all the same.
    """

    def __init__(self, scores: NDArray[np.float64], name: str = "score") -> None:
        from scipy.stats import rankdata

        known = np.asarray(scores, dtype=np.float64)
        known = known[np.isfinite(known)]
        if len(known) < _LEAST or known.min() == known.max():
            raise ConfigError(
                f"ranks by {name} need a sample of at least {_LEAST} architectures with scores that differ, "
                f"not {len(known)} with {len(np.unique(known))} different ones; draw a larger sample"
            )
        self._at, places = np.unique(known, return_index=True)
        self._rank = rankdata(known)[places] / len(known)
        self._low = self._slope(float(np.quantile(known, 1 - _TAIL)), float(self._at[0]))
        self._high = self._slope(float(self._at[-1]), float(np.quantile(known, _TAIL)))

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Ranks (n,) as shares of the sample, below 0 and above 1 beyond its ends; NaN stays NaN."""
        x = np.asarray(scores, dtype=np.float64)
        inside = np.interp(x, self._at, self._rank)  # NaN gives NaN
        below, above = np.minimum(x - self._at[0], 0.0), np.maximum(x - self._at[-1], 0.0)
        result: NDArray[np.float64] = inside + self._low * below + self._high * above
        return result

    def _slope(self, upper: float, lower: float) -> float:
        whole = float(self._at[-1] - self._at[0])
        return (1 - _TAIL) / (upper - lower) if upper > lower else 1.0 / whole


class RankedScores:
    """The mean rank over several scores as one score, for a search.

    Args:
        parts: score functions by name, higher is better.
        sample: architectures among which ranks are taken (`draw_sample`); all parts score them at once, here.

    Attributes:
        sampled: how many of the sample have all of the scores.

    Raises:
        ConfigError: as `RankScale`, or for no parts.
    """

    def __init__(self, parts: Mapping[str, ScoreFunction], sample: Sequence[Architecture]) -> None:
        if not parts:
            raise ConfigError("a combined score needs at least one score")
        self._parts = dict(parts)
        table = np.array([part(sample) for part in self._parts.values()])
        whole = np.isfinite(table).all(axis=0)
        self.sampled = int(whole.sum())
        self._scales = [RankScale(row[whole], name) for name, row in zip(self._parts, table, strict=True)]

    def __call__(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Mean ranks (n,); NaN where any part has no score."""
        ranks = [scale(part(architectures)) for part, scale in zip(self._parts.values(), self._scales, strict=True)]
        result: NDArray[np.float64] = np.mean(ranks, axis=0)
        return result


def draw_sample(space: SearchSpace, size: int, seed: int) -> list[Architecture]:
    """At most `size` random architectures whose output depends on their input, one an isomorphism class, in order."""
    rng = np.random.default_rng([seed, 13])
    found: dict[str, Architecture] = {}
    for _ in range(20 * size):  # a small space has fewer than were asked for
        if len(found) == size:
            break
        arch = space.sample(rng)
        if space.connected(arch):
            found.setdefault(space.canonical(arch), space.representative(arch))
    return list(found.values())
