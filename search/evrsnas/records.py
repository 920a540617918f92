"""What a search leaves behind: evaluations, generations, results; and their plain form, in which NaN is null."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from profiler.errors import StorageError
from search.spaces.base import Architecture

__all__ = ["Evaluation", "EvolutionResult", "Generation", "null_if_not_finite"]


def null_if_not_finite(value: float | None) -> float | None:
    """A float as JSON can hold it."""
    return None if value is None or not math.isfinite(value) else float(value)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One architecture under one budget.

    Attributes:
        architecture: the architecture.
        score: phi, higher is better; NaN where the architecture was not or could not be scored.
        cost_ms: Psi; NaN where the architecture has no cost, infinite where the device refuses it.
        violation: how far the cost lies beyond the budget, relative to it; 0 within it, inf without a cost.
        fitness: score minus penalty; -inf where it is no candidate (no cost or no score).
    """

    architecture: Architecture
    score: float
    cost_ms: float
    violation: float
    fitness: float

    @property
    def candidate(self) -> bool:
        """Whether both a score and a cost exist."""
        return math.isfinite(self.fitness)

    @property
    def feasible(self) -> bool:
        """Whether it is a candidate and meets the budget."""
        return self.candidate and self.violation <= 0

    @property
    def refused(self) -> bool:
        """Whether the device is known not to run it, so that it meets no budget."""
        return math.isinf(self.cost_ms)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {
            **({"refused": True} if self.refused else {}),
            "space": self.architecture.space,
            "choices": list(self.architecture.choices),
            "score": null_if_not_finite(self.score),
            "cost_ms": null_if_not_finite(self.cost_ms),
            "violation": null_if_not_finite(self.violation),
            "fitness": null_if_not_finite(self.fitness),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evaluation:
        """Read what `to_dict` wrote (StorageError where the data is not such a form)."""
        try:
            return cls(
                Architecture(str(data["space"]), tuple(int(c) for c in data["choices"])),
                _number(data["score"], math.nan),
                _number(data["cost_ms"], math.inf if data.get("refused") else math.nan),
                _number(data["violation"], math.inf),
                _number(data["fitness"], -math.inf),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(f"not an evaluation: {error!r}") from None


@dataclass(frozen=True, slots=True)
class Generation:
    """The state of a search after one generation; generation 0 is the initial population.

    Attributes:
        index: the generation.
        best_fitness, best_cost_ms: of the fittest architecture of the population; None where it has no candidate.
        best_feasible_score: the best score within the budget over everything seen so far; None while there is none.
        mean_fitness: over the population's candidates.
        n_feasible: how many of the population meet the budget.
        evaluations: distinct architectures (isomorphic ones counted once) scored so far.
    """

    index: int
    best_fitness: float | None
    best_cost_ms: float | None
    best_feasible_score: float | None
    mean_fitness: float | None
    n_feasible: int
    evaluations: int


@dataclass(frozen=True, slots=True)
class EvolutionResult:
    """The outcome of one search.

    Attributes:
        history: one entry a generation.
        archive: every architecture seen, in order of appearance, each once.
        best: the fittest that meets the budget; where none does, the least violating.
        feasible: whether `best` meets the budget.
        evaluations: distinct architectures scored, isomorphic ones counted once.
    """

    history: tuple[Generation, ...]
    archive: tuple[Evaluation, ...]
    best: Evaluation
    feasible: bool
    evaluations: int


def _number(value: Any, missing: float) -> float:
    return missing if value is None else float(value)
