import sys

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.evrsnas.beyond.pareto import (
    ParetoConfig,
    best_within,
    diversity,
    front_of,
    hypervolume,
    search_front,
)
from search.evrsnas.records import Evaluation
from search.spaces.base import Architecture

QUICK = ParetoConfig(population=12, generations=25)


def score(archs):
    return np.array([sum(a.choices) + 0.01 * a.choices[1] for a in archs])


def cost(archs):
    return np.array([1.0 + sum(c * c for c in a.choices) for a in archs])


def point(cost_ms, score_):
    return Evaluation(Architecture("toy", (int(cost_ms),)), score_, cost_ms, 0.0, score_)


def test_diversity_is_the_sum_of_squared_distances():
    costs = np.random.default_rng(0).normal(5, 2, 9)
    direct = [sum((a - b) ** 2 for b in costs) for a in costs]
    np.testing.assert_allclose(diversity(costs), direct)


def test_front_keeps_what_nothing_beats():
    good = [point(1, 1.0), point(3, 2.0), point(4, 5.0)]
    worse = [point(2, 1.0), point(3, 1.5), point(9, 5.0), Evaluation(Architecture("toy", (0,)), 9, 9, 0, -np.inf)]
    assert front_of([*worse, *reversed(good)]) == tuple(good)
    assert best_within(good, 3.5) == good[1]
    assert best_within(good, 0.5) is None


def test_hypervolume_is_the_area():
    front = [point(1, 1.0), point(3, 2.0)]
    # from 1 to 3 one high, from 3 to 5 two high
    assert hypervolume(front, cost=5.0, score=0.0) == pytest.approx(2 * 1 + 2 * 2)
    assert hypervolume(front, cost=0.5, score=0.0) == 0.0
    assert hypervolume([], 5.0, 0.0) == 0.0


def test_a_run_is_a_function_of_its_seed(space):
    first = search_front(space, score, cost, QUICK, 1)
    np.random.seed(0)  # whatever the global generator was used for
    assert search_front(space, score, cost, QUICK, 1) == first
    assert search_front(space, score, cost, QUICK, 2).archive != first.archive


def test_the_front_grows_and_is_near_the_exhaustive_one(space):
    found = search_front(space, score, cost, ParetoConfig(generations=60), 0)
    assert len(found.hypervolumes) == 61
    assert (np.diff(found.hypervolumes) >= 0).all()
    everything = list(space.all())
    s, c = score([space.representative(a) for a in everything]), cost(everything)  # isomorphic ones share a score
    whole = front_of(Evaluation(a, x, y, 0.0, x) for a, x, y in zip(everything, s, c, strict=True))
    best = hypervolume(whole, *found.reference)
    assert found.hypervolumes[-1] == hypervolume(found.front, *found.reference)
    assert 0.95 * best < found.hypervolumes[-1] <= best
    assert len(found.front) > 5


def test_one_run_beats_as_many_random_architectures(space):
    found = search_front(space, score, cost, ParetoConfig(generations=60), 0)
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(len(found.archive))]
    s = score([space.representative(a) for a in drawn])
    random = [Evaluation(a, x, y, 0, x) for a, x, y in zip(drawn, s, cost(drawn), strict=True)]
    assert hypervolume(front_of(random), *found.reference) < found.hypervolumes[-1]


def test_what_has_no_cost_or_score_is_never_in_the_front(space):
    def holes(archs):
        return np.where([a.choices[0] == 4 for a in archs], np.nan, cost(archs))

    def gaps(archs):
        return np.where([a.choices[1] == 4 for a in archs], np.nan, score(archs))

    found = search_front(space, gaps, holes, QUICK, 0)
    assert all(e.architecture.choices[0] != 4 and e.architecture.choices[1] != 4 for e in found.front)
    assert any(not e.candidate for e in found.archive)


def test_isomorphic_architectures_are_scored_once(space):
    asked = []

    def counting(archs):
        asked.extend(space.canonical(a) for a in archs)
        return score(archs)

    found = search_front(space, counting, cost, QUICK, 0)
    assert len(asked) == len(set(asked)) == found.evaluations


def test_diversity_can_be_left_out(space):
    with_, without = (search_front(space, score, cost, ParetoConfig(12, 25, diversity=d), 0) for d in (True, False))
    assert with_.archive != without.archive


def test_all_unknown_costs_are_one_sentence(space):
    with pytest.raises(ConfigError, match="has a cost on this target"):
        search_front(space, score, lambda archs: np.full(len(archs), np.nan), QUICK, 0)


def test_without_pymoo_it_says_how_to_get_it(space, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymoo.algorithms.moo.nsga2", None)
    with pytest.raises(ConfigError, match=r"pip install 'edgecost\[pareto\]'"):
        search_front(space, score, cost, QUICK, 0)


@pytest.mark.parametrize("bad", [{"population": 1}, {"generations": -1}, {"mutation_rate": 2.0}])
def test_parameters_that_cannot_be_are_refused(bad):
    with pytest.raises(ConfigError):
        ParetoConfig(**bad)
