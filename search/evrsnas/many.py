"""Many searches at once, over a space whose scores and costs are arrays.

Each run is the search that `evolve` makes of the same scores, costs, configuration and seed, draw by draw: same answer,
same number of evaluations. What is gained is time: whole studies in seconds. What is left out is what such short runs
do not need: checkpoints, and an archive of every evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.evrsnas.arrays import SpaceArrays
from search.evrsnas.breeding import Breeder
from search.evrsnas.evolution import DRAWS_PER_PLACE, EvolutionConfig

__all__ = [
    "Found",
    "Run",
    "best_among",
    "best_of",
    "draw_classes",
    "evolve_many",
    "random_search",
    "shortlist",
    "sizes_up",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_AT_ONCE = 128
"""Runs side by side; each holds two numbers an architecture."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One search to make.

    Attributes:
        scores: (n,) by position, one a class; NaN where there is none.
        costs: (n,) by position; NaN unknown, inf refused.
        config: sizes (the same of all runs made together), budget and penalty.
        seed: of numpy's generator.
    """

    scores: Floats
    costs: Floats
    config: EvolutionConfig
    seed: int | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What one search came to.

    Attributes:
        position: of the answer in the space.
        score, cost: of the answer.
        violation: how far its cost lies beyond the budget, relative to it.
        evaluations: distinct isomorphism classes scored.
        course: best score within the budget up to every generation; NaN while there is none.
        leaders: position of the best so far in every generation; -1 while there is none.
        shortlist: the fittest that it saw within the budget, one an isomorphism class, best first; as many as asked
            for, or fewer.
    """

    position: int
    score: float
    cost: float
    violation: float
    evaluations: int
    course: tuple[float, ...] = ()
    leaders: tuple[int, ...] = ()
    shortlist: tuple[int, ...] = ()

    @property
    def feasible(self) -> bool:
        """Whether the answer meets the budget."""
        return self.violation <= 0


def sizes_up(scores: Floats, costs: Floats, config: EvolutionConfig) -> tuple[Floats, Floats]:
    """(n,) fitness, -inf for what is no candidate, and (n,) relative violation, inf where there is no cost."""
    with np.errstate(invalid="ignore"):
        if config.budget_ms is None:
            violation, fitness = np.zeros(len(costs)), scores.copy()
        else:
            over = costs - config.budget_ms
            violation = np.maximum(0.0, over) / config.budget_ms
            excess = np.abs(over) if config.two_sided else np.maximum(0.0, over)
            if config.penalty_form == "relative":
                excess = excess / config.budget_ms
            fitness = scores - config.penalty_weight * excess
    known = np.isfinite(costs)
    violation[~known] = np.inf
    fitness[~(known & np.isfinite(scores))] = -np.inf
    return fitness, violation


def best_of(positions: Integers, scores: Floats, fitness: Floats, violation: Floats) -> int | None:
    """The fittest of positions that meets the budget, else the least violating (of equals the better score, then the
    first); None where none is a candidate."""
    own = fitness[positions]
    candidate = np.isfinite(own)
    if not candidate.any():
        return None
    feasible = candidate & (violation[positions] <= 0)
    if feasible.any():
        return int(positions[np.where(feasible, own, -np.inf).argmax()])
    left = positions[candidate]
    order = np.lexsort((np.arange(len(left)), -scores[left], violation[left]))
    return int(left[order[0]])


def shortlist(arrays: SpaceArrays, positions: Integers, fitness: Floats, violation: Floats, most: int) -> Integers:
    """At most `most` of the positions: the fittest that meet the budget, one an isomorphism class, best first."""
    inside = positions[np.isfinite(fitness[positions]) & (violation[positions] <= 0)]
    ordered = inside[np.argsort(-fitness[inside], kind="stable")]
    _, first = np.unique(arrays.classes[ordered], return_index=True)
    found: Integers = ordered[np.sort(first)[:most]]
    return found


def evolve_many(arrays: SpaceArrays, runs: Sequence[Run], finalists: int = 0) -> list[Found | None]:
    """Search, each run by its own seed; None for a run in which no architecture with cost and score was drawn.

    Args:
        arrays: the space.
        runs: the searches.
        finalists: how many of the best a `Found.shortlist` holds.

    Raises:
        ConfigError: for runs of different sizes, or arrays that are not of the space.
    """
    found: list[Found | None] = []
    for start in range(0, len(runs), _AT_ONCE):
        found += _together(arrays, runs[start : start + _AT_ONCE], finalists)
    return found


def _together(arrays: SpaceArrays, runs: Sequence[Run], finalists: int) -> list[Found | None]:
    config = runs[0].config
    sizes = {(c.population, c.generations, c.tournament, c.elite, c.mutation_rate) for c in (r.config for r in runs)}
    if len(sizes) != 1 or any(len(r.scores) != len(arrays) or len(r.costs) != len(arrays) for r in runs):
        raise ConfigError("searches made together have the same sizes, and a score and a cost an architecture")
    pairs = [sizes_up(r.scores, r.costs, r.config) for r in runs]
    fitness = np.stack([fitness for fitness, _ in pairs])
    rngs = [np.random.default_rng(r.seed) for r in runs]
    begun = [_initial(arrays, run, own, rng) for run, own, rng in zip(runs, fitness, rngs, strict=True)]
    live = [i for i, (first, _) in enumerate(begun) if len(first)]
    history = _generations(arrays, config, fitness[live], [rngs[i] for i in live], [begun[i][0] for i in live])
    found: list[Found | None] = [None] * len(runs)
    for row, i in enumerate(live):
        found[i] = _answer(arrays, runs[i], history[row], begun[i][1], *pairs[i], finalists)
    return found


def _initial(arrays: SpaceArrays, run: Run, fitness: Floats, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """The first population (empty where none is found), and all that was drawn, as `initial_population` draws it."""
    size, space = run.config.population, arrays.space
    ops = np.array([space.ops_of(edge) for edge in range(space.n_edges)])
    beyond = np.arange(space.n_ops) >= ops[:, None]
    found, drawn = np.empty(0, dtype=np.int64), [np.empty(0, dtype=np.int64)]
    for _ in range(DRAWS_PER_PLACE):
        alpha = np.where(beyond, -1.0, rng.random((size - len(found), space.n_edges, space.n_ops)))
        drawn.append(alpha.argmax(axis=-1) @ arrays.weights)
        found = np.concatenate([found, drawn[-1][np.isfinite(fitness[drawn[-1]])]])
        if len(found) == size:
            break
    everything = np.concatenate(drawn)
    return (found[np.arange(size) % len(found)] if len(found) else found), everything


def _generations(
    arrays: SpaceArrays,
    config: EvolutionConfig,
    fitness: Floats,
    rngs: Sequence[np.random.Generator],
    first: Sequence[Integers],
) -> Integers:
    """(runs, generations + 1, population) positions in the order in which they were bred."""
    if not rngs:
        return np.empty((0, config.generations + 1, config.population), dtype=np.int64)
    breeder = Breeder.of(arrays.space, config.population, config.tournament, config.elite, config.mutation_rate)
    weights = arrays.weights
    history = np.empty((len(rngs), config.generations + 1, config.population), dtype=np.int64)
    population = np.stack(first)
    for generation in range(config.generations + 1):
        if generation:
            uniform = np.stack([rng.random(breeder.draws) for rng in rngs])
            children = breeder.children(arrays.choices[population], uniform) @ weights
            population = np.concatenate([population[:, : config.elite], children], axis=1)
        history[:, generation] = population
        order = np.argsort(-np.take_along_axis(fitness, population, axis=1), axis=1, kind="stable")
        population = np.take_along_axis(population, order, axis=1)
    return history


def _answer(
    arrays: SpaceArrays,
    run: Run,
    history: Integers,
    drawn: Integers,
    fitness: Floats,
    violation: Floats,
    finalists: int,
) -> Found:
    flat = history.ravel()
    best = best_of(flat, run.scores, fitness, violation)
    assert best is not None  # the first population holds candidates only
    seen = np.concatenate([drawn, flat])
    evaluations = len(np.unique(arrays.classes[seen[np.isfinite(run.costs[seen])]]))
    inside = np.isfinite(fitness[history]) & (violation[history] <= 0)
    scores = np.where(inside, run.scores[history], -np.inf)
    at = scores.argmax(axis=1)
    tops = np.take_along_axis(scores, at[:, None], axis=1)[:, 0]
    course = np.maximum.accumulate(tops)
    # the generation in which the best so far was first met
    since = np.maximum.accumulate(np.where(tops > np.concatenate([[-np.inf], course[:-1]]), np.arange(len(tops)), 0))
    leaders = np.where(np.isinf(course), -1, np.take_along_axis(history, at[:, None], axis=1)[:, 0][since])
    course[np.isinf(course)] = np.nan
    few = shortlist(arrays, flat, fitness, violation, finalists) if finalists else np.empty(0, dtype=np.int64)
    score, cost = float(run.scores[best]), float(run.costs[best])
    found = Found(best, score, cost, float(violation[best]), evaluations, tuple(course.tolist()))
    return replace(found, leaders=tuple(leaders.tolist()), shortlist=tuple(few.tolist()))


def draw_classes(arrays: SpaceArrays, costs: Floats, seed: int | tuple[int, ...], evaluations: int) -> Integers:
    """Positions of uniformly drawn architectures with a cost, up to where so many isomorphism classes are met."""
    rng = np.random.default_rng(seed)
    priced = np.isfinite(costs)
    wanted = min(evaluations, len(np.unique(arrays.classes[priced])))
    drawn = np.empty(0, dtype=np.int64)
    while True:
        fresh = rng.integers(len(arrays), size=2 * evaluations + 64)
        drawn = np.concatenate([drawn, fresh[priced[fresh]]])
        _, at = np.unique(arrays.classes[drawn], return_index=True)
        if len(at) >= wanted:
            return drawn[: int(np.sort(at)[wanted - 1]) + 1] if wanted else drawn[:0]


def random_search(arrays: SpaceArrays, run: Run, evaluations: int) -> Found | None:
    """Uniformly drawn architectures until so many isomorphism classes with a cost are scored; the best of them."""
    return best_among(arrays, run, draw_classes(arrays, run.costs, run.seed, evaluations))


def best_among(arrays: SpaceArrays, run: Run, seen: Integers, finalists: int = 0) -> Found | None:
    """The answer of a search that has seen these positions; None where none of them is a candidate."""
    fitness, violation = sizes_up(run.scores, run.costs, run.config)
    best = best_of(seen, run.scores, fitness, violation)
    if best is None:
        return None
    scored = len(np.unique(arrays.classes[seen[np.isfinite(run.costs[seen])]]))
    few = shortlist(arrays, seen, fitness, violation, finalists) if finalists else np.empty(0, dtype=np.int64)
    found = Found(best, float(run.scores[best]), float(run.costs[best]), float(violation[best]), scored)
    return replace(found, shortlist=tuple(few.tolist()))
