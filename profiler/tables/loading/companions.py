"""Taking companions off: what stands beside every repetition of a kernel or block has a marginal cost of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler.tables.loading.rounds import Floats, Ints

__all__ = ["Companions", "Costs", "take_off"]


@dataclass(slots=True)
class Costs:
    """Of kernels and blocks, to be changed in place; all of shape (n,), NaN where there is nothing.

    Attributes:
        latency, half: and half of its interval, in ns.
        net, u, gross: energies in mJ.
    """

    latency: Floats
    half: Floats
    net: Floats
    u: Floats
    gross: Floats


@dataclass(frozen=True, slots=True)
class Companions:
    """Which kernels stand beside which kernels and blocks, as often as it says; all of shape (e,).

    Attributes:
        owner: of what they are companions.
        kernel: their places among the costs; -1 where one is not known.
        count: how often it occurs beside every repetition.
        keys: of the kernels.
    """

    owner: Ints
    kernel: Ints
    count: Ints
    keys: Sequence[str]

    @classmethod
    def of(cls, lists: Mapping[int, Sequence[str]], places: Mapping[int, Mapping[str, int]]) -> Companions:
        """From the companions of each owner, and of each owner where the kernels of its target stand."""
        found = [(owner, key, n) for owner, keys in lists.items() for key, n in Counter(keys).items()]
        owners, keys = [owner for owner, _, _ in found], [key for _, key, _ in found]
        kernels = [places[owner].get(key, -1) for owner, key, _ in found]
        counts = [n for _, _, n in found]
        return cls(_integers(owners), _integers(kernels), _integers(counts), keys)


def _integers(values: list[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def take_off(costs: Costs, companions: Companions) -> dict[int, int]:
    """Take the costs of companions off the slopes that hold them, those of companions' companions first.

    Returns:
        Owners of which there is no cost, and for each the first companion (a place in `companions`) that has none:
        a slope that holds a companion of unknown cost is not the cost of the kernel or block. Companions in a circle
        have none.
    """
    n = len(costs.latency)
    open_: NDArray[np.bool_] = np.zeros(n, dtype=bool)
    open_[companions.owner] = True
    lost: dict[int, int] = {}
    while True:
        waiting = np.zeros(n, dtype=bool)
        inside = companions.kernel >= 0
        blocked = inside & open_[np.where(inside, companions.kernel, 0)] & open_[companions.owner]
        waiting[companions.owner[blocked]] = True
        ready = open_ & ~waiting
        if not ready.any():
            break
        _take_off(costs, companions, ready, lost)
        open_ &= ~ready
    for place in np.flatnonzero(open_[companions.owner]).tolist():
        # what is left waits for itself
        owner, kernel = int(companions.owner[place]), int(companions.kernel[place])
        if owner not in lost and (kernel < 0 or open_[kernel] or not np.isfinite(costs.latency[kernel])):
            lost[owner] = place
    costs.latency[open_] = np.nan
    return lost


def _take_off(costs: Costs, companions: Companions, ready: NDArray[np.bool_], lost: dict[int, int]) -> None:
    """Take companions off those owners whose companions all have their final cost."""
    chosen = np.flatnonzero(ready[companions.owner])
    owner, kernel, count = companions.owner[chosen], companions.kernel[chosen], companions.count[chosen]
    known = (kernel >= 0) & np.isfinite(costs.latency[kernel])
    for place in chosen[~known].tolist():
        lost.setdefault(int(companions.owner[place]), place)

    def off(values: Floats) -> None:
        np.subtract.at(values, owner, np.where(known, count * values[kernel], np.nan))

    def wider(values: Floats) -> None:
        # one companion's error is the same in all its occurrences; different companions err apart
        squares = np.zeros(len(values))
        np.add.at(squares, owner, np.where(known, (count * values[kernel]) ** 2, np.nan))
        values[ready] = np.hypot(values, np.sqrt(squares))[ready]

    off(costs.latency)
    off(costs.net)
    off(costs.gross)
    wider(costs.half)
    wider(costs.u)
