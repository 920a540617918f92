"""Outliers of many measurements at once: how many `profiler.measure.stats.outlier_labels` labels, for arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler.tables.loading.rounds import Floats, Ints

__all__ = ["outliers_of"]

_VALUES_AT_A_TIME = 1 << 18
_FENCE = 1.5  # interquartile ranges beyond the quartiles


def outliers_of(samples: Sequence[Floats | None]) -> Ints:
    """(n, 2) how many samples of each measurement lie beyond Tukey's fences, and how many samples it has.

    Args:
        samples: of each measurement, at least one and all of them finite; or None, which has none.
    """
    sizes = np.array([0 if values is None else len(values) for values in samples], dtype=np.int64)
    found = np.stack([np.zeros_like(sizes), sizes], axis=1)
    for size in np.unique(sizes[sizes > 0]).tolist():
        places = np.flatnonzero(sizes == size)
        step = max(1, _VALUES_AT_A_TIME // size)
        for begin in range(0, len(places), step):
            some = places[begin : begin + step]
            found[some, 0] = _beyond(np.array([samples[place] for place in some.tolist()]))
    return found


def _beyond(values: Floats) -> Ints:
    """Of measurements of equally many samples, (g, n): how many lie beyond, (g,)."""
    ordered = np.sort(values, axis=1)
    n = ordered.shape[1]
    first, third = (_quantile(ordered, share * (n - 1)) for share in (0.25, 0.75))
    reach = _FENCE * (third - first)
    beyond = (values < (first - reach)[:, None]) | (values > (third + reach)[:, None])
    found: Ints = beyond.sum(axis=1)
    return found


def _quantile(ordered: Floats, rank: float) -> Floats:
    """Between two neighbours, in proportion."""
    below = int(rank)
    above = min(below + 1, ordered.shape[1] - 1)
    found: Floats = ordered[:, below] + (rank - below) * (ordered[:, above] - ordered[:, below])
    return found
