"""Many searches at once give what `evolve` gives, run by run."""

import math

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.evrsnas.arrays import arrays_of
from search.evrsnas.evolution import EvolutionConfig, evolve
from search.evrsnas.many import Run, evolve_many, random_search
from search.spaces.base import Architecture, SearchSpace


class ToySpace(SearchSpace):
    """Reversals are isomorphic; the last two edges hold three operators only."""

    name, n_edges, n_ops = "toy-many", 4, 4

    def assemble(self, arch, **macro):
        raise NotImplementedError

    def canonical(self, arch):
        return min(str(arch.choices), str(arch.choices[::-1]))

    def representative(self, arch):
        return min(arch, Architecture(self.name, arch.choices[::-1]))


class UnevenSpace(ToySpace):
    name = "toy-uneven"

    def ops_of(self, edge):
        return 4 if edge in (0, 3) else 2


SIZES = {"population": 8, "generations": 12, "tournament": 3, "elite": 1, "mutation_rate": 0.2}


def world(space):
    arrays = arrays_of(space)
    rng = np.random.default_rng(5)
    own = rng.random(len(arrays)) * 3
    own[arrays.representatives[rng.random(len(arrays)) < 0.05]] = np.nan
    scores = own[arrays.representatives]
    costs = 1 + arrays.choices.sum(axis=1) + rng.random(len(arrays))
    costs[rng.random(len(arrays)) < 0.1] = np.nan
    costs[rng.random(len(arrays)) < 0.1] = np.inf
    return arrays, scores, costs


@pytest.mark.parametrize("space", [ToySpace(), UnevenSpace()], ids=lambda s: s.name)
@pytest.mark.parametrize(
    "settings",
    [
        {"budget_ms": 5.0},
        {"budget_ms": 1.01},
        {"budget_ms": None},
        {"budget_ms": 6.0, "penalty_form": "absolute", "penalty_weight": 0.3},
        {"budget_ms": 6.0, "two_sided": True, "elite": 3},
    ],
)
def test_each_run_is_that_of_evolve(space, settings):
    arrays, scores, costs = world(space)
    config = EvolutionConfig(**{**SIZES, **settings})
    found = evolve_many(arrays, [Run(scores, costs, config, (seed, 9)) for seed in range(6)])
    for seed, one in enumerate(found):
        whole = evolve(
            space,
            lambda archs: scores[arrays.positions(archs)],
            lambda archs: costs[arrays.positions(archs)],
            config,
            np.random.default_rng((seed, 9)),
        )
        assert space.at(one.position) == whole.best.architecture
        assert (one.score, one.cost, one.violation) == (whole.best.score, whole.best.cost_ms, whole.best.violation)
        assert one.evaluations == whole.evaluations
        assert one.feasible == whole.feasible
        course = [None if math.isnan(s) else s for s in one.course]
        assert course == [g.best_feasible_score for g in whole.history]


def test_runs_do_not_depend_on_those_beside_them():
    arrays, scores, costs = world(ToySpace())
    runs = [Run(scores, costs, EvolutionConfig(budget, **SIZES), 3) for budget in (2.0, 5.0, 9.0)]
    together = evolve_many(arrays, runs)
    for run, one in zip(runs, together, strict=True):
        assert repr(evolve_many(arrays, [run])) == repr([one])


def test_a_run_without_any_candidate_finds_nothing_and_stops_no_other():
    arrays, scores, costs = world(ToySpace())
    config = EvolutionConfig(5.0, **SIZES)
    none, some = evolve_many(
        arrays, [Run(scores, np.full(len(costs), np.nan), config, 0), Run(scores, costs, config, 0)]
    )
    assert none is None
    assert some is not None


def test_runs_of_different_sizes_or_spaces_are_refused():
    arrays, scores, costs = world(ToySpace())
    one = Run(scores, costs, EvolutionConfig(5.0, **SIZES), 0)
    other = Run(scores, costs, EvolutionConfig(5.0, **{**SIZES, "population": 9}), 0)
    with pytest.raises(ConfigError, match="same sizes"):
        evolve_many(arrays, [one, other])
    with pytest.raises(ConfigError, match="an architecture"):
        evolve_many(arrays, [Run(scores[:-1], costs, EvolutionConfig(5.0, **SIZES), 0)])


def test_random_search_scores_as_many_classes_as_asked():
    arrays, scores, costs = world(ToySpace())
    run = Run(scores, costs, EvolutionConfig(8.0, **SIZES), 4)
    found = random_search(arrays, run, 30)
    assert found.evaluations == 30
    assert found.feasible
    classes = len(np.unique(arrays.classes[np.isfinite(costs)]))
    everything = random_search(arrays, run, 10_000)
    assert everything.evaluations == classes
    # all classes are seen, though not all members
    allowed = np.isfinite(costs) & (costs <= 8.0)
    assert everything.score <= np.nanmax(scores[allowed])
