"""Intervals that hold, on top of any predictor."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from predictors.additive import AdditiveModel
from predictors.base import CostModel
from predictors.baselines import MacsModel
from predictors.conformal import ConformalModel
from predictors.lookup import TableModel
from predictors.measured import Measurements, model_points
from profiler.errors import ConfigError, UnknownWorkload
from profiler.workloads.build import WorkloadBuilder
from tests.contracts.simulated_target import TARGET, simulated_table


def test_a_recipe_is_a_parameter_and_is_stored() -> None:
    model = ConformalModel(MacsModel(), folds=4)
    assert model.set_params(model__level=0.7).get_params()["model__level"] == 0.7
    data = simulated_table(n_fit=12, n_held=3)
    fitted = model.fit(data, TARGET.id)
    again = ConformalModel.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    assert isinstance(again.model, MacsModel)
    assert (again.model.level, again.folds) == (0.7, 4)
    unseen = [m.workload for m in model_points(data, TARGET.id, "held_out")]
    assert again.estimate_many(unseen) == fitted.estimate_many(unseen)


@pytest.mark.parametrize("inner", [MacsModel(), TableModel()])
def test_any_predictors_intervals_hold_as_many_as_they_say(inner: CostModel) -> None:
    data = simulated_table(n_fit=50, n_held=60, noise=0.03, overhead_ms=0.05)
    model = ConformalModel(inner, folds=5, level=0.8).fit(data, TARGET.id)
    unseen = model_points(data, TARGET.id, "held_out")
    found = model.estimate_many([m.workload for m in unseen])
    covered = np.mean([p.low_ms <= m.latency_ms <= p.high_ms for p, m in zip(found, unseen, strict=True)])
    assert 0.65 <= covered <= 0.95
    values = type(inner)(**inner.get_params(deep=False)).fit(data, TARGET.id).predict([m.workload for m in unseen])
    np.testing.assert_array_equal([p.latency_ms for p in found], values)
    assert all("conformal" in p.interval for p in found)


def test_where_the_predictor_is_unsure_the_interval_stays_wider() -> None:
    data = simulated_table(n_fit=30, n_held=10, noise=0.02)
    model = ConformalModel(AdditiveModel(), folds=3).fit(data, TARGET.id)
    plain = AdditiveModel().fit(data, TARGET.id)
    unseen = [m.workload for m in model_points(data, TARGET.id, "held_out")]
    ours = [p.high_ms - p.latency_ms for p in model.estimate_many(unseen)]
    theirs = [p.high_ms - p.latency_ms for p in plain.estimate_many(unseen)]
    ratio = np.array(ours) / np.array(theirs)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)


def test_too_few_networks_and_folds_are_named() -> None:
    few = simulated_table(n_fit=3, n_held=2)
    with pytest.raises(UnknownWorkload, match="conformal model needs"):
        ConformalModel(MacsModel()).fit(few, TARGET.id)
    with pytest.raises(ConfigError, match="2 folds"):
        ConformalModel(MacsModel(), folds=1).fit(simulated_table(), TARGET.id)


def test_what_is_missing_stays_open_above() -> None:
    data = simulated_table(n_fit=12, n_held=2)
    model = ConformalModel(TableModel(), folds=3).fit_measurements(Measurements.from_table(data, TARGET.id))
    b = WorkloadBuilder("stranger")
    x = b.input((1, 5, 9, 9))
    found = model.estimate(b.build(b.conv2d(x, 7, 3)))
    assert found.missing
    assert found.high_ms == math.inf
