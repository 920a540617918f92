import math

import numpy as np
import pytest

from predictors.base import Prediction
from predictors.energy import EnergyPrediction
from profiler.errors import ConfigError
from search.evrsnas.beyond.certain import ProbableCost, upper_bound
from search.evrsnas.evolution import EvolutionConfig, evolve


class Model:
    """Costs a millisecond a choice, its error 10 % for one standard deviation; counts how often it was asked."""

    asked = 0

    def __init__(self, level=0.9, high=None, missing=()):
        self.level, self.high, self.missing = level, high, missing

    def estimate(self, workload):
        self.asked += 1
        value = 1.0 + workload.macs / 1e8
        high = value * (1 + 0.1 * 1.6448536269514722) if self.high is None else self.high
        return Prediction(value, 0.0, high, missing=self.missing, level=self.level)


def test_the_normal_bound_is_the_quantile():
    # a 90 % interval ends 1.645 standard deviations above the value
    high = 10 + 2 * 1.6448536269514722
    assert upper_bound(10, high, 0.9, 0.5, "normal") == 10
    assert upper_bound(10, high, 0.9, 0.95, "normal") == pytest.approx(high)
    assert upper_bound(10, high, 0.9, 0.99, "normal") == pytest.approx(10 + 2 * 2.3263478740408408)


@pytest.mark.parametrize("probability", [0.8, 0.95])
@pytest.mark.parametrize("form", ["normal", "conformal"])
def test_the_bound_holds_as_often_as_it_says(form, probability):
    rng = np.random.default_rng(0)
    errors = rng.normal(0, 2, 20000) if form == "normal" else rng.standard_t(2, 20000)
    level = 0.9 if form == "normal" else probability
    high = np.quantile(np.abs(errors), level)  # the two-sided interval of that level around zero
    share = float(np.mean(errors <= upper_bound(0.0, float(high), level, probability, form)))
    assert share >= probability - 0.01
    if form == "normal":
        assert share == pytest.approx(probability, abs=0.01)


def test_a_conformal_bound_needs_an_interval_of_that_level():
    assert upper_bound(10, 12, 0.9, 0.9, "conformal") == 12
    with pytest.raises(ConfigError, match=r"level 0.9 .* not 0.95; fit the predictor with a higher level"):
        upper_bound(10, 12, 0.9, 0.95, "conformal")


@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0, math.nan])
def test_a_probability_that_is_none_is_refused(probability, space):
    with pytest.raises(ConfigError, match="probability of meeting a budget"):
        ProbableCost(space, Model(), probability)


def test_no_upper_end_is_an_unknown_cost(space):
    assert math.isnan(upper_bound(1.0, math.inf, 0.9, 0.9, "normal"))
    arch = space.at(5000)
    assert math.isnan(ProbableCost(space, Model(high=math.inf), 0.9)([arch])[0])
    lacking = ProbableCost(space, Model(missing=("conv",)), 0.9)
    assert math.isnan(lacking([arch])[0])
    assert math.isnan(lacking.expected([arch])[0])  # only a lower bound is known


def test_the_search_keeps_a_distance_from_the_budget(space):
    model = Model()
    cost = ProbableCost(space, model, 0.95)

    def score(archs):
        return np.array([float(sum(a.choices)) for a in archs])

    config = EvolutionConfig(1.5, 10, 10, 3)
    found = evolve(space, score, cost, config, np.random.default_rng(0))
    best = found.best.architecture
    assert found.feasible
    assert found.best.cost_ms == cost([best])[0] <= 1.5
    np.testing.assert_allclose(cost([best]), 1.1644853626951472 * cost.expected([best]))
    assert model.asked == len(found.archive)  # each was priced once


def test_energies_have_bounds_too(space):
    class Energy:
        def estimate(self, workload):
            return EnergyPrediction(10.0, 8.0, 12.0, "wall", (), 0.9)

    assert ProbableCost(space, Energy(), 0.95)([space.at(3)])[0] == pytest.approx(12.0)
