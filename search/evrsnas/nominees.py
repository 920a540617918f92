"""Which architectures are worth a dear score: the best of every budget by a cheap one. Ours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.evrsnas.arrays import SpaceArrays
from search.evrsnas.study import Cell

__all__ = ["nominees", "sample_of_larger"]


_SMALLEST = 0.3
"""The share of classes, the smallest in MACs, that no dear score is spent on: hardly one of them is the best of any
budget by any score that goes with size."""


def sample_of_larger(arrays: SpaceArrays, count: int, seed: int) -> list[int]:
    """So many classes, drawn by the seed among all but the smallest: positions of representatives.

    The first of a larger sample are a smaller one.

    Args:
        arrays: the space.
        count: how many; fewer where there are no more.
        seed: of the draw.

    Raises:
        ConfigError: for a count below one.
    """
    from search.evrsnas.surrogate import live_macs

    if count < 1:
        raise ConfigError(f"at least one class is drawn, not {count}")
    macs = live_macs(arrays)
    firsts = np.unique(arrays.representatives[arrays.connected])
    larger = firsts[macs[firsts] > np.quantile(macs[firsts], _SMALLEST)]
    return [int(place) for place in np.random.default_rng(seed).permutation(larger)[:count]]


def nominees(cells: Sequence[Cell], score: NDArray[np.float64], count: int) -> list[int]:
    """The `count` best isomorphism classes within every budget, without repetition: positions of representatives.

    The best of all budgets come first, then all second ones, and so on, so that the first part of the list is the
    list of a smaller count.

    Args:
        cells: devices and budgets.
        score: (n,) by position, higher is better; NaN where there is none.
        count: how many a budget; fewer where fewer meet it.

    Raises:
        ConfigError: for a count below one.
    """
    if count < 1:
        raise ConfigError(f"at least one architecture a budget is nominated, not {count}")
    ranked = [_best(cell, score, count) for cell in cells]
    found: dict[int, None] = {}
    for place in range(count):
        for own in ranked:
            if place < len(own):
                found.setdefault(int(own[place]))
    return list(found)


def _best(cell: Cell, score: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    arrays = cell.costs.arrays
    inside = np.flatnonzero(np.isfinite(score) & cell.costs.within(cell.budget))
    ordered = inside[np.argsort(-score[inside], kind="stable")]
    _, first = np.unique(arrays.classes[ordered], return_index=True)
    best: NDArray[np.int64] = arrays.representatives[ordered[np.sort(first)[:count]]]
    return best
