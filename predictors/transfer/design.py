"""The design matrix of a transfer: everything that is known of an architecture beforehand, in blocks, standardised.

Blocks are what the regressor weighs against each other:

    shared     the mean of the sources' standardised surrogates
    devices    how each source deviates from that mean
    analytic   totals such as MACs and traffic, at every level of dead-code elimination
    operators  how often each operator runs, at every level
    parts      each operator at each place, on its own; like edges count as one

Every block is centred and scaled so that the mean squared length of its rows is one; what a weight of a block means
does not depend on how many columns it has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictors.transfer.pool import Pool
from predictors.transfer.surrogates import SourceDevices
from profiler.errors import ConfigError

__all__ = ["Blocks", "Design", "unit_rows"]

FloatArray = NDArray[np.float64]
Blocks = tuple[tuple[str, int], ...]
"""Names and numbers of columns of the blocks, in the order in which they stand."""


@dataclass(frozen=True)
class Design:
    """Features of n architectures.

    Attributes:
        matrix: (n, d).
        blocks: its columns.
    """

    matrix: FloatArray
    blocks: Blocks

    @classmethod
    def of(cls, pool: Pool, sources: SourceDevices | None = None) -> Design:
        """The design of a pool, with or without other devices.

        Raises:
            ConfigError: where the sources are of another pool.
        """
        found: dict[str, FloatArray] = {}
        if sources is not None and sources.names:
            scores = sources.scores
            if len(scores) != len(pool):
                raise ConfigError(f"sources of {len(scores)} architectures do not fit a pool of {len(pool)}")
            shared = scores.mean(axis=1, keepdims=True)
            found["shared"] = shared
            if len(sources.names) > 1:
                found["devices"] = scores - shared
        levels = pool.levels()
        found["analytic"] = np.concatenate([_scaled(pool.features.totals[level]) for level in levels], axis=1)
        found["operators"] = np.concatenate([_scaled(pool.features.counts[level]) for level in levels], axis=1)
        found["parts"] = pool.parts()
        scaled = {name: unit_rows(columns) for name, columns in found.items()}
        return cls(np.concatenate(list(scaled.values()), axis=1), tuple((k, v.shape[1]) for k, v in scaled.items()))


def unit_rows(columns: FloatArray) -> FloatArray:
    """Columns centred, and all scaled alike so that rows have mean squared length 1; constant ones stay 0."""
    centred = columns - columns.mean(axis=0)
    size = float(np.sqrt(np.square(centred).sum(axis=1).mean()))
    return np.asarray(centred / size if size > 0.0 else centred)


def _scaled(columns: FloatArray) -> FloatArray:
    """Columns centred, each with standard deviation 1; constant ones left out."""
    spread = columns.std(axis=0)
    varying = spread > 1e-9 * np.maximum(np.abs(columns).max(axis=0), 1e-300)
    return np.asarray((columns[:, varying] - columns[:, varying].mean(axis=0)) / spread[varying])
