"""One generation's children as arrays: tournaments, uniform crossover by row, mutation.

The arithmetic is that of one population or of many at once; the randomness is drawn beforehand, as one flat row of
uniform numbers a population, so that a run is the same whether it is bred alone or beside others.

From EvNAS (verified): parents by tournaments drawn without replacement, crossover of every row from either parent with
probability one half, then every row of a child drawn anew with the mutation rate. Ours: the winner's rank is drawn
directly from its distribution, P(rank <= i) = 1 - C(n - 1 - i, k) / C(n, k), which is the same random process.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from search.spaces.base import SearchSpace

__all__ = ["Breeder"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Breeder:
    """Breeds populations of `population` architectures of one space.

    Attributes:
        population, tournament, elite, mutation_rate: as in `EvolutionConfig`.
        ops: how many operators every edge may hold.
        n_ops: the most that any of them may.
    """

    population: int
    tournament: int
    elite: int
    mutation_rate: float
    ops: tuple[int, ...]
    n_ops: int

    @classmethod
    def of(cls, space: SearchSpace, population: int, tournament: int, elite: int, mutation_rate: float) -> Breeder:
        """For a space."""
        ops = tuple(space.ops_of(edge) for edge in range(space.n_edges))
        return cls(population, tournament, elite, mutation_rate, ops, space.n_ops)

    @property
    def draws(self) -> int:
        """Uniform numbers that one generation takes."""
        return (self.population - self.elite) * (2 + len(self.ops) * (2 + self.n_ops))

    def children(self, choices: Integers, uniform: Floats) -> Integers:
        """The children of populations sorted by falling fitness.

        Args:
            choices: (..., population, edges) operators.
            uniform: (..., draws) numbers from U[0, 1).

        Returns:
            (..., population - elite, edges) operators.
        """
        edges, lead = len(self.ops), choices.shape[:-2]
        parts = uniform.reshape(*lead, self.population - self.elite, -1)
        ranks = np.searchsorted(self._winner_cdf(), parts[..., :2], side="right")
        first = np.take_along_axis(choices, ranks[..., 0][..., None], axis=-2)
        second = np.take_along_axis(choices, ranks[..., 1][..., None], axis=-2)
        child = np.where(parts[..., 2 : 2 + edges] < 0.5, first, second)
        hit = parts[..., 2 + edges : 2 + 2 * edges] < self.mutation_rate
        alpha = parts[..., 2 + 2 * edges :].reshape(*parts.shape[:-1], edges, self.n_ops)
        beyond = np.arange(self.n_ops) >= np.array(self.ops)[:, None]
        fresh = np.where(beyond, -1.0, alpha).argmax(axis=-1) if beyond.any() else alpha.argmax(axis=-1)
        found: Integers = np.where(hit, fresh, child)
        return found

    def _winner_cdf(self) -> Floats:
        n, k = self.population, self.tournament
        return np.array([1 - comb(n - 1 - i, k) / comb(n, k) for i in range(n)])
