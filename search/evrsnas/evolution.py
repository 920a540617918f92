"""The penalised evolutionary search of HW-EvRSNAS over any `SearchSpace`.

    maximise phi(a) subject to Psi(a) <= T, as one objective   F(a) = phi(a) - penalty(Psi(a))

From the paper and its verified relatives: the encoding, elitism, tournaments drawn without replacement, uniform
crossover by row, mutation by re-drawing rows, a penalty in proportion to the excess instead of rejection,
population 20, 100 generations. Ours, where the sources leave it open: the penalty's formula
lambda * max(0, Psi - T) / T with lambda = 1, and its variants; tournament 5, elite 1 and mutation 0.1 (taken over
from the first author's pEvoNAS); that an architecture without a cost is no candidate; and that, where nothing
meets the budget, the answer is the architecture that misses it least, flagged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.evrsnas.breeding import Breeder
from search.evrsnas.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from search.evrsnas.records import Evaluation, EvolutionResult, Generation
from search.spaces.base import Architecture, SearchSpace

__all__ = [
    "DRAWS_PER_PLACE",
    "CostFunction",
    "Evaluator",
    "EvolutionConfig",
    "ScoreFunction",
    "breed",
    "evolve",
    "initial_population",
    "penalty",
    "pick_best",
]

ScoreFunction = Callable[[Sequence[Architecture]], NDArray[np.float64]]
"""phi of every architecture, higher is better; NaN where it could not be had."""
CostFunction = Callable[[Sequence[Architecture]], NDArray[np.float64]]
"""Psi of every architecture in milliseconds; NaN where it is unknown, infinite where the device refuses it."""
Observer = Callable[[Generation], None]

DRAWS_PER_PLACE = 200
"""How many architectures are drawn at most for one place of the initial population, in search of one with a cost."""


@dataclass(frozen=True, slots=True)
class EvolutionConfig:
    """The parameters of the search.

    Attributes:
        budget_ms: T, in the unit of the costs (mJ where they are energies); None searches without a constraint.
        population, generations, tournament, elite: sizes; `generations` follow the initial population.
        mutation_rate: probability with which a row of a child is drawn anew.
        penalty_weight: lambda, in score units per relative excess (per millisecond in the absolute form).
        penalty_form: "relative" (|excess| / T) or "absolute" (in ms).
        two_sided: penalise |Psi - T| instead of max(0, Psi - T); whether the budget is met does not change.
    """

    budget_ms: float | None
    population: int = 20
    generations: int = 100
    tournament: int = 5
    elite: int = 1
    mutation_rate: float = 0.1
    penalty_weight: float = 1.0
    penalty_form: Literal["relative", "absolute"] = "relative"
    two_sided: bool = False

    def __post_init__(self) -> None:
        if self.budget_ms is not None and not (math.isfinite(self.budget_ms) and self.budget_ms > 0):
            raise ConfigError(f"the budget must be a positive number of milliseconds, not {self.budget_ms}")
        if self.population < 2 or self.generations < 0:
            raise ConfigError("the search needs a population of at least 2 and no negative number of generations")
        if not 1 <= self.tournament <= self.population:
            raise ConfigError(f"the tournament must lie between 1 and the population, not {self.tournament}")
        if not 0 <= self.elite < self.population:
            raise ConfigError(f"the elite must be smaller than the population, not {self.elite}")
        if not 0 <= self.mutation_rate <= 1:
            raise ConfigError(f"the mutation rate must lie between 0 and 1, not {self.mutation_rate}")
        if not (math.isfinite(self.penalty_weight) and self.penalty_weight >= 0):
            raise ConfigError(f"the penalty weight must be zero or positive, not {self.penalty_weight}")
        if self.penalty_form not in ("relative", "absolute"):
            raise ConfigError(f"the penalty form is 'relative' or 'absolute', not {self.penalty_form!r}")


def penalty(cost_ms: float, config: EvolutionConfig) -> float:
    """What is taken off the score of an architecture of this cost; 0 without a budget."""
    if config.budget_ms is None:
        return 0.0
    excess = cost_ms - config.budget_ms
    excess = abs(excess) if config.two_sided else max(0.0, excess)
    if config.penalty_form == "relative":
        excess /= config.budget_ms
    return config.penalty_weight * excess


class Evaluator:
    """Prices and scores architectures, each architecture priced once and each isomorphism class scored once.

    Attributes:
        archive: every evaluation made, by architecture, in order of appearance.
    """

    def __init__(
        self, space: SearchSpace, score_fn: ScoreFunction, cost_fn: CostFunction, config: EvolutionConfig
    ) -> None:
        self.archive: dict[Architecture, Evaluation] = {}
        self._space, self._score_fn, self._cost_fn, self._config = space, score_fn, cost_fn, config
        self._scores: dict[str, float] = {}

    @property
    def evaluations(self) -> int:
        """Distinct isomorphism classes scored."""
        return len(self._scores)

    def restore(self, archive: Iterable[Evaluation]) -> None:
        """Take over the evaluations of an earlier run."""
        for evaluation in archive:
            self.archive[evaluation.architecture] = evaluation
            if math.isfinite(evaluation.cost_ms):
                self._scores[self._space.canonical(evaluation.architecture)] = evaluation.score

    def __call__(self, architectures: Sequence[Architecture]) -> list[Evaluation]:
        """Evaluations in the order asked for. What has no cost is not scored."""
        new = [a for a in dict.fromkeys(architectures) if a not in self.archive]
        costs = _checked(self._cost_fn(new), len(new), "cost") if new else np.empty(0)
        if (costs < 0).any():
            raise ConfigError(f"the cost function returned {costs.min():g} ms; an unknown cost is NaN, never negative")
        names = {a: self._space.canonical(a) for a, c in zip(new, costs, strict=True) if math.isfinite(c)}
        unscored: dict[str, Architecture] = {}
        for arch, name in names.items():
            if name not in self._scores:
                unscored.setdefault(name, self._space.representative(arch))
        if unscored:
            scores = _checked(self._score_fn(list(unscored.values())), len(unscored), "score")
            self._scores.update(zip(unscored, scores.tolist(), strict=True))
        for arch, cost_ms in zip(new, costs.tolist(), strict=True):
            score = self._scores[names[arch]] if arch in names else math.nan
            self.archive[arch] = self._evaluation(arch, score, cost_ms)
        return [self.archive[a] for a in architectures]

    def _evaluation(self, arch: Architecture, score: float, cost_ms: float) -> Evaluation:
        if not math.isfinite(cost_ms):
            return Evaluation(arch, math.nan, cost_ms, math.inf, -math.inf)
        budget_ms = self._config.budget_ms
        violation = 0.0 if budget_ms is None else max(0.0, cost_ms - budget_ms) / budget_ms
        fitness = score - penalty(cost_ms, self._config) if math.isfinite(score) else -math.inf
        return Evaluation(arch, score, cost_ms, violation, fitness)


def evolve(
    space: SearchSpace,
    score_fn: ScoreFunction,
    cost_fn: CostFunction,
    config: EvolutionConfig,
    rng: np.random.Generator,
    *,
    checkpoint: Path | None = None,
    identity: str = "",
    observer: Observer | None = None,
) -> EvolutionResult:
    """Search; the same arguments and seed give the same result, also when it was killed and resumed.

    Args:
        space: what is searched.
        score_fn, cost_fn: phi and Psi of a sequence of architectures; see `ScoreFunction` and `CostFunction`.
        config: budget and parameters.
        rng: the only source of randomness.
        checkpoint: where the state is kept after every generation; an existing one is continued.
        identity: anything else that the outcome depends on (data, table, score settings); stored with the
            checkpoint and compared when it is continued.
        observer: is called after every generation.

    Raises:
        ConfigError: where no architecture has both a cost and a score, or the checkpoint is of another search.
    """
    evaluate = Evaluator(space, score_fn, cost_fn, config)
    marks = {"space": space.name, "config": asdict(config), "rng": _plain(rng.bit_generator.state), "other": identity}
    state = read_checkpoint(checkpoint, marks) if checkpoint else None
    if state is not None:
        evaluate.restore(state.archive)
        population, history = list(state.population), list(state.history)
        rng.bit_generator.state = state.rng_state
    else:
        population, history = initial_population(space, evaluate, config, rng), []
    while len(history) <= config.generations:
        if history:
            population = evaluate(breed(space, population, config, rng))
        population.sort(key=lambda e: -e.fitness)  # stable: equals stay in order of appearance
        history.append(_summary(len(history), population, evaluate))
        if checkpoint:
            archive = tuple(evaluate.archive.values())
            rng_state = _plain(rng.bit_generator.state)
            write_checkpoint(checkpoint, Checkpoint(marks, tuple(population), archive, tuple(history), rng_state))
        if observer:
            observer(history[-1])
    best = pick_best(evaluate.archive.values())
    return EvolutionResult(tuple(history), tuple(evaluate.archive.values()), best, best.feasible, evaluate.evaluations)


def initial_population(
    space: SearchSpace, evaluate: Evaluator, config: EvolutionConfig, rng: np.random.Generator
) -> list[Evaluation]:
    """`config.population` random candidates; draws without a cost are repeated.

    Where fewer candidates than that are found within 200 draws a place, those found fill it by turns.

    Raises:
        ConfigError: where none is found.
    """
    found: list[Evaluation] = []
    for _ in range(DRAWS_PER_PLACE):
        drawn = [space.sample(rng) for _ in range(config.population - len(found))]
        found += [e for e in evaluate(drawn) if e.candidate]
        if len(found) == config.population:
            return found
    if not found:
        reason = "has a cost on this target" if evaluate.evaluations == 0 else "could be scored"
        raise ConfigError(
            f"none of {len(evaluate.archive)} random architectures of {space.name} {reason}: "
            "check that the cost table covers the space and the target is the one meant"
        )
    return [found[i % len(found)] for i in range(config.population)]


def breed(
    space: SearchSpace, population: Sequence[Evaluation], config: EvolutionConfig, rng: np.random.Generator
) -> list[Architecture]:
    """The next generation's architectures from a population sorted by falling fitness: the elite, then children."""

    breeder = Breeder.of(space, len(population), config.tournament, config.elite, config.mutation_rate)
    choices = np.array([e.architecture.choices for e in population], dtype=np.int64)
    rows = breeder.children(choices, rng.random(breeder.draws)).tolist()
    elite = [e.architecture for e in population[: config.elite]]
    return elite + [Architecture(space.name, tuple(row)) for row in rows]


def pick_best(archive: Iterable[Evaluation]) -> Evaluation:
    """The fittest that meets the budget; where none does, the least violating (of equals, the better score).

    Raises:
        ConfigError: where the archive holds no candidate at all.
    """
    candidates = [e for e in archive if e.candidate]
    if not candidates:
        raise ConfigError("no architecture has both a cost and a score: check the cost table and the target")
    feasible = [e for e in candidates if e.feasible]
    if feasible:
        return max(feasible, key=lambda e: e.fitness)
    return min(candidates, key=lambda e: (e.violation, -e.score))


def _summary(index: int, population: Sequence[Evaluation], evaluate: Evaluator) -> Generation:
    candidates = [e for e in population if e.candidate]
    feasible = [e.score for e in evaluate.archive.values() if e.feasible]
    return Generation(
        index=index,
        best_fitness=candidates[0].fitness if candidates else None,
        best_cost_ms=candidates[0].cost_ms if candidates else None,
        best_feasible_score=max(feasible, default=None),
        mean_fitness=float(np.mean([e.fitness for e in candidates])) if candidates else None,
        n_feasible=sum(e.feasible for e in population),
        evaluations=evaluate.evaluations,
    )


def _checked(values: Any, size: int, what: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (size,):
        raise ConfigError(f"the {what} function returned shape {array.shape} for {size} architectures")
    return array


def _plain(state: Any) -> Any:
    """A bit generator's state with arrays as lists and numpy scalars as numbers."""
    if isinstance(state, dict):
        return {str(k): _plain(v) for k, v in state.items()}
    return state.tolist() if isinstance(state, np.ndarray | np.generic) else state
