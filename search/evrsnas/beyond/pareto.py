"""The multi-objective form: one run for the whole front of score against cost, on pymoo's NSGA-II.

From MO-HDNAS (the follow-up of the same group, verified): NSGA-II that maximises phi, minimises Psi and maximises the
hardware-cost diversity chi(a, P) = sum over b in P of (Psi(a) - Psi(b))^2; population 20, 100 generations, an archive.
Ours: the variation is that of the single-objective search (rows crossed uniformly and re-drawn) in place of the first
author's SBX and polynomial mutation; chi is taken over parents and children together, anew in every generation, so
that all are compared by the same P; and the front that is reported is that of phi and Psi over everything seen: chi
helps the search to spread and is no property of an architecture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.evrsnas.evolution import CostFunction, Evaluator, EvolutionConfig, ScoreFunction, initial_population
from search.evrsnas.records import Evaluation
from search.spaces.base import SearchSpace

__all__ = ["ParetoConfig", "ParetoResult", "best_within", "diversity", "front_of", "hypervolume", "search_front"]


@dataclass(frozen=True, slots=True)
class ParetoConfig:
    """The parameters of the search.

    Attributes:
        population, generations: sizes; `generations` follow the initial population.
        mutation_rate: probability with which a row of a child is drawn anew.
        diversity: whether chi is the third objective.
    """

    population: int = 20
    generations: int = 100
    mutation_rate: float = 0.1
    diversity: bool = True

    def __post_init__(self) -> None:
        if self.population < 2 or self.generations < 0:
            raise ConfigError("the search needs a population of at least 2 and no negative number of generations")
        if not 0 <= self.mutation_rate <= 1:
            raise ConfigError(f"the mutation rate must lie between 0 and 1, not {self.mutation_rate}")


@dataclass(frozen=True, slots=True)
class ParetoResult:
    """The outcome of one run.

    Attributes:
        front: what nothing seen beats in both score and cost, from the cheapest to the dearest.
        archive: every architecture seen, in order of appearance, each once.
        evaluations: distinct architectures scored, isomorphic ones counted once.
        hypervolumes: of the front after every generation, the initial population first, see `hypervolume`; the
            reference point is the dearest cost and the worst score of the initial population.
        reference: that point: cost, score.
    """

    front: tuple[Evaluation, ...]
    archive: tuple[Evaluation, ...]
    evaluations: int
    hypervolumes: tuple[float, ...]
    reference: tuple[float, float]


def diversity(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """chi of every member of a population: its summed squared distances in cost from all members, (n,) -> (n,)."""
    centred = costs - costs.mean()
    # the sum over b of (a - b)^2 = n a^2 + sum b^2 where the mean is zero
    result: NDArray[np.float64] = len(costs) * centred**2 + (centred**2).sum()
    return result


def front_of(evaluations: Iterable[Evaluation]) -> tuple[Evaluation, ...]:
    """The candidates that none beats in score without costing more, from the cheapest to the dearest.

    Of equals in both, the first stays.
    """
    front: list[Evaluation] = []
    for e in sorted((e for e in evaluations if e.candidate), key=lambda e: (e.cost_ms, -e.score)):
        if not front or e.score > front[-1].score:
            front.append(e)
    return tuple(front)


def best_within(front: Sequence[Evaluation], budget: float) -> Evaluation | None:
    """The best of a front within a budget, or None: a whole run answers every budget at once."""
    return max((e for e in front if e.cost_ms <= budget), key=lambda e: e.score, default=None)


def hypervolume(front: Sequence[Evaluation], cost: float, score: float) -> float:
    """The area between a front and a reference point, in units of score times cost.

    Args:
        front: evaluations; those that are not better than the point in both count nothing.
        cost, score: the reference point, both worse than what is of interest.
    """
    from pymoo.indicators.hv import HV

    points = np.array([(e.cost_ms, -e.score) for e in front if e.cost_ms < cost and e.score > score])
    return float(HV(ref_point=np.array([cost, -score]))(points)) if len(points) else 0.0


def search_front(
    space: SearchSpace, score_fn: ScoreFunction, cost_fn: CostFunction, config: ParetoConfig, seed: int
) -> ParetoResult:
    """Search for the whole front; the same arguments and seed give the same result.

    Args:
        space: what is searched.
        score_fn, cost_fn: as of `evolution.evolve`.
        config: parameters.
        seed: of everything random.

    Raises:
        ConfigError: where no architecture has both a cost and a score, or pymoo is not installed.
    """
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
    except ImportError:
        raise ConfigError("fronts are searched by pymoo: pip install 'edgecost[pareto]'") from None
    from search.evrsnas.beyond.nsga import CostAndScore, DiverseSurvival
    from search.evrsnas.beyond.operators import GivenSampling, RowCrossover, RowMutation, SameRows

    unbounded = EvolutionConfig(None, population=config.population, tournament=2)
    evaluate = Evaluator(space, score_fn, cost_fn, unbounded)
    drawn = initial_population(space, evaluate, unbounded, np.random.default_rng(seed))
    reference = max(e.cost_ms for e in drawn), min(e.score for e in drawn)
    algorithm = NSGA2(
        pop_size=config.population,
        sampling=GivenSampling(list(dict.fromkeys(e.architecture for e in drawn))),
        crossover=RowCrossover(space),
        mutation=RowMutation(space, config.mutation_rate),
        survival=DiverseSurvival(config.diversity),
        eliminate_duplicates=SameRows(),
    )
    problem = CostAndScore(space, evaluate, config.diversity)
    algorithm.setup(problem, termination=("n_gen", config.generations + 1), seed=seed, verbose=False)
    volumes: list[float] = []
    while algorithm.has_next():
        algorithm.next()
        volumes.append(hypervolume(front_of(evaluate.archive.values()), *reference))
    archive = tuple(evaluate.archive.values())
    return ParetoResult(front_of(archive), archive, evaluate.evaluations, tuple(volumes), reference)
