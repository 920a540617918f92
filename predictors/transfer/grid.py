"""All the ways of weighing blocks and noise against each other that are averaged over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

__all__ = ["AMOUNTS", "NOISES", "SOURCE_BLOCKS", "Grid", "weighings"]

FloatArray = NDArray[np.float64]

AMOUNTS: Mapping[str, tuple[float, ...]] = {
    "shared": (0.0, 1.0, 4.0, 16.0),
    "devices": (0.0, 0.5, 2.0),
    "analytic": (0.0, 0.5, 2.0),
    "operators": (0.0, 1.0),
    "parts": (0.0, 0.5),
}
"""How much variance each block may explain, relative to the others; 0 leaves it out. All sources' blocks at 0 is no
transfer at all."""

SOURCE_BLOCKS = ("shared", "devices")
"""The blocks that other devices make."""

NOISES = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
"""Variance of the noise relative to that of the signal: from a table's exact sums to more noise than signal."""


@dataclass(frozen=True)
class Grid:
    """Every combination of s ways to share the signal's variance among the blocks and l relative noises.

    Attributes:
        shares: (s, blocks) variance of each block; rows sum to 1.
        noises: (l,) variance of the noise, relative to that sum.
        log_prior: (s, l) logarithm of the prior probability.
    """

    shares: FloatArray
    noises: FloatArray
    log_prior: FloatArray


def weighings(
    blocks: Sequence[str],
    amounts: Mapping[str, Sequence[float]] = AMOUNTS,
    noises: Sequence[float] = NOISES,
) -> Grid:
    """Every combination of the amounts of the blocks there are, scaled to sum 1, with every noise, each once.

    The prior is even between using the sources and not, where both can be, and within either uniform over the
    combinations as enumerated: those that are alike once scaled share theirs. (Uniform over all, no transfer would be
    one in twelve; on source devices as each other's targets even odds rank better where the sources are unlike.)

    Args:
        blocks: their names.
        amounts: by name, 0 among them where a block may be left out.
        noises: relative variances.
    """
    raw = np.array(list(product(*(amounts[name] for name in blocks))), dtype=np.float64)
    raw = raw[raw.sum(axis=1) > 0.0]
    shares, inverse = np.unique(np.round(raw / raw.sum(axis=1, keepdims=True), 9), axis=0, return_inverse=True)
    prior = np.bincount(inverse.ravel()) / len(raw)
    of_sources = [i for i, name in enumerate(blocks) if name in SOURCE_BLOCKS]
    bare = shares[:, of_sources].sum(axis=1) == 0.0
    if 0 < bare.sum() < len(bare):
        prior = 0.5 * np.where(bare, prior / prior[bare].sum(), prior / prior[~bare].sum())
    log_prior = np.repeat(np.log(prior / len(noises))[:, None], len(noises), axis=1)
    return Grid(shares, np.array(noises, dtype=np.float64), log_prior)
