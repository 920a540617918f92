import math

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.evrsnas.beyond.several import SharedBudget
from search.evrsnas.evolution import EvolutionConfig, evolve


def wide(archs):
    return np.array([1.0 + sum(a.choices) for a in archs])


def steep(archs):
    return np.array([100.0 + 40.0 * a.choices[0] ** 2 for a in archs])


def score(archs):
    return np.array([sum(a.choices) + 2.0 * a.choices[0] for a in archs])


def test_the_cost_is_the_largest_share(space):
    both = SharedBudget({"a": wide, "b": steep}, {"a": 10.0, "b": 200.0})
    archs = [space.at(i) for i in (0, 777, 15624)]
    np.testing.assert_array_equal(both(archs), np.maximum(wide(archs) / 10, steep(archs) / 200))
    np.testing.assert_array_equal(both.each(archs)["b"], steep(archs))


def test_unknown_on_one_device_is_unknown(space):
    def holes(archs):
        return np.where([a.choices[0] == 1 for a in archs], np.nan, 1.0)

    both = SharedBudget({"a": wide, "b": holes}, {"a": 10.0, "b": 10.0})
    known, unknown = space.architecture((0,) * 6), space.architecture((1, 0, 0, 0, 0, 0))
    assert math.isfinite(both([known])[0])
    assert math.isnan(both([unknown])[0])


def test_the_winner_meets_every_budget_where_one_alone_breaks_the_other(space):
    budgets = {"a": 18.0, "b": 300.0}
    both = SharedBudget({"a": wide, "b": steep}, budgets)
    best = evolve(space, score, both, EvolutionConfig(both.budget, 20, 60), np.random.default_rng(0))
    assert best.feasible
    assert all(costs[0] <= budgets[target] for target, costs in both.each([best.best.architecture]).items())
    alone = evolve(space, score, wide, EvolutionConfig(18.0, 20, 60), np.random.default_rng(0))
    assert steep([alone.best.architecture])[0] > 300.0
    assert best.best.score == score([space.representative(best.best.architecture)])[0]


@pytest.mark.parametrize(
    ("costs", "budgets", "word"),
    [({}, {}, "no target"), ({"a": wide}, {"b": 1.0}, "a, b"), ({"a": wide}, {"a": 0.0}, "budget on a"),
     ({"a": wide}, {"a": math.nan}, "positive number")],
)  # fmt: skip
def test_what_cannot_be_a_budget_is_refused(costs, budgets, word):
    with pytest.raises(ConfigError, match=word):
        SharedBudget(costs, budgets)
