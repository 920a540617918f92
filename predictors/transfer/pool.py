"""The pool: architectures that could be measured or are to be predicted, and all that is known of them beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from predictors.transfer.elimination import LEVELS
from predictors.transfer.features import PopulationFeatures
from profiler.errors import ConfigError

__all__ = ["Pool", "choice_counts"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """n architectures of one space.

    Attributes:
        space: the name of the space.
        names: how each is written down, all different.
        classes: a name of each one's isomorphism class; copies have one and the same.
        choices: (n, edges) indices of operators.
        edge_groups: for every edge the group of like edges that it belongs to.
        features: what each runs.
    """

    space: str
    names: tuple[str, ...]
    classes: tuple[str, ...]
    choices: NDArray[np.int64]
    edge_groups: tuple[int, ...]
    features: PopulationFeatures

    def __post_init__(self) -> None:
        n = len(self.names)
        if len(set(self.names)) != n:
            raise ConfigError(f"{n - len(set(self.names))} architectures of the pool stand there twice; give each once")
        if len(self.classes) != n or len(self.choices) != n or len(self.features) != n:
            raise ConfigError(
                f"a pool of {n} names has {len(self.classes)} classes, {len(self.choices)} choices and "
                f"{len(self.features)} rows of features; give one of each an architecture"
            )
        if self.choices.ndim != 2 or self.choices.shape[1] != len(self.edge_groups):
            raise ConfigError(f"choices of shape {self.choices.shape} do not fit {len(self.edge_groups)} edges")

    def __len__(self) -> int:
        return len(self.names)

    def index(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The positions of architectures in the pool.

        Raises:
            ConfigError: for one that is not in it.
        """
        where = {name: position for position, name in enumerate(self.names)}
        strangers = [name for name in names if name not in where]
        if strangers:
            raise ConfigError(
                f"{strangers[0]!r} ({len(strangers)} such) is not among the {len(self)} architectures of the pool of "
                f"{self.space}; measure those that `edgecost transfer suggest` names"
            )
        return np.array([where[name] for name in names], dtype=np.int64)

    def parts(self) -> FloatArray:
        """(n, p): how often each operator stands at each group of like edges."""
        return choice_counts(self.choices, self.edge_groups)

    def edges(self) -> FloatArray:
        """(n, edges * ops): which operator stands at each edge."""
        return choice_counts(self.choices, tuple(range(self.choices.shape[1])))

    @cached_property
    def structure(self) -> FloatArray:
        """(n, d): operators by place, edge and level of elimination, mean 0, as an orthogonal basis: all that a latency
        that is a sum over operators can depend on."""
        blocks = [self.parts(), *(self.features.counts[level] for level in self.levels())]
        if len(set(self.edge_groups)) == 1:
            blocks.append(self.edges())
        features = np.concatenate(blocks, axis=1)
        left, sizes, _ = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
        there = sizes > sizes[0] * 1e-9
        basis: FloatArray = left[:, there] * sizes[there]
        return basis

    def levels(self) -> tuple[str, ...]:
        """The levels of elimination that differ from those before them for some architecture of the pool."""
        distinct: list[str] = []
        for level in LEVELS:
            counts = self.features.counts[level]
            if not any(np.array_equal(counts, self.features.counts[d]) for d in distinct):
                distinct.append(level)
        return tuple(distinct)


def choice_counts(choices: NDArray[np.int64], groups: Sequence[int]) -> FloatArray:
    """(n, groups * ops): how often each choice is made among the edges of each group."""
    ops = int(choices.max(initial=0)) + 1
    counts = np.zeros((len(choices), (max(groups) + 1) * ops))
    rows = np.arange(len(choices))
    for edge, group in enumerate(groups):
        np.add.at(counts, (rows, group * ops + choices[:, edge]), 1.0)
    return counts
