"""The space's own variation as pymoo's operators: one integer an edge, rows crossed uniformly, rows re-drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import ElementwiseDuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.sampling import Sampling

from search.spaces.base import Architecture, SearchSpace

__all__ = ["GivenSampling", "RowCrossover", "RowMutation", "SameRows", "decoded", "encoded"]

Rows = NDArray[np.int64]


def encoded(architectures: list[Architecture]) -> Rows:
    """Choices as integers, (n, n_edges)."""
    return np.array([a.choices for a in architectures], dtype=np.int64)


def decoded(space: SearchSpace, row: Any) -> Architecture:
    """The architecture of one row of integers."""
    return Architecture(space.name, tuple(int(choice) for choice in row))


class GivenSampling(Sampling):  # type: ignore[misc]
    """An initial population that was drawn before."""

    def __init__(self, architectures: list[Architecture]) -> None:
        super().__init__()
        self._rows = encoded(architectures)

    def _do(self, problem: Any, n_samples: int, *args: Any, random_state: Any = None, **kwargs: Any) -> Rows:
        return self._rows[:n_samples]


class RowCrossover(Crossover):  # type: ignore[misc]
    """`SearchSpace.crossover`: every edge from either of two parents with probability one half; one child a pair."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(n_parents=2, n_offsprings=1, prob=1.0)
        self._space = space

    def _do(self, problem: Any, X: Rows, *args: Any, random_state: Any = None, **kwargs: Any) -> Rows:
        first, second = X
        pairs = [(decoded(self._space, a), decoded(self._space, b)) for a, b in zip(first, second, strict=True)]
        return encoded([self._space.crossover(a, b, random_state) for a, b in pairs])[None]


class RowMutation(Mutation):  # type: ignore[misc]
    """`SearchSpace.mutate`: every row drawn anew with the mutation rate."""

    def __init__(self, space: SearchSpace, rate: float) -> None:
        super().__init__(prob=1.0)
        self._space, self._rate = space, rate

    def _do(self, problem: Any, X: Rows, *args: Any, random_state: Any = None, **kwargs: Any) -> Rows:
        return encoded([self._space.mutate(decoded(self._space, row), random_state, self._rate) for row in X])


class SameRows(ElementwiseDuplicateElimination):  # type: ignore[misc]
    """Drops architectures that were written down before; isomorphic ones stay, for they may cost differently."""

    def is_equal(self, a: Any, b: Any) -> bool:
        """Whether two individuals are the same architecture."""
        return bool(np.array_equal(a.X, b.X))
