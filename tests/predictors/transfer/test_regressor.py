import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_val_score

from predictors.transfer.design import Design
from predictors.transfer.regressor import TransferRegressor
from predictors.transfer.selection import most_informative
from predictors.transfer.surrogates import fit_sources
from profiler.errors import ConfigError, UnknownWorkload


@pytest.fixture(scope="module")
def designs(pool, devices):
    where = np.random.default_rng(0).permutation(len(pool))[:200]

    def of(*names):
        if not names:
            return Design.of(pool)
        return Design.of(pool, fit_sources(pool, {n: (where, devices[n][where]) for n in names}))

    return {"kin": of("kin", "flat"), "odd": of("odd"), "none": of()}


def relative(model, design, truth):
    return float(np.mean(np.abs(model.predict(design.matrix) - truth) / truth))


def test_sums_of_a_table_are_found_from_few(designs, devices):
    chosen = most_informative(designs["none"], 12)
    model = TransferRegressor(designs["none"].blocks).fit(designs["none"].matrix[chosen], devices["target"][chosen])
    assert relative(model, designs["none"], devices["target"]) < 0.02
    assert model.transfer_share_ == 0.0


def test_a_kin_helps_and_a_stranger_does_no_harm(designs, devices):
    rng = np.random.default_rng(1)
    truth = devices["target"]
    noisy = truth * (1 + 0.02 * rng.standard_normal(len(truth)))
    errors = {}
    for name, design in designs.items():
        chosen = most_informative(design, 6)
        errors[name] = relative(
            TransferRegressor(design.blocks).fit(design.matrix[chosen], noisy[chosen]), design, truth
        )
    assert errors["kin"] < 0.6 * errors["none"]
    assert errors["odd"] < 1.5 * errors["none"]


def test_an_outlier_is_believed_less(designs, devices):
    design = designs["kin"]
    chosen = most_informative(design, 20)
    latency_ms = devices["target"][chosen] * (1 + 0.02 * np.random.default_rng(2).standard_normal(20))
    latency_ms[3] *= 8.0
    model = TransferRegressor(design.blocks).fit(design.matrix[chosen], latency_ms)
    assert model.precision_.argmin() == 3
    assert relative(model, design, devices["target"]) < 0.1


def test_nothing_depends_on_the_unit(designs, devices):
    design = designs["kin"]
    chosen = most_informative(design, 10)
    ms = TransferRegressor(design.blocks).fit(design.matrix[chosen], devices["target"][chosen])
    us = TransferRegressor(design.blocks).fit(design.matrix[chosen], 1e3 * devices["target"][chosen])
    assert us.predict(design.matrix) == pytest.approx(1e3 * ms.predict(design.matrix))
    assert us.spread(design.matrix) == pytest.approx(1e3 * ms.spread(design.matrix), rel=1e-4)
    assert us.interval_factor_ == pytest.approx(ms.interval_factor_, rel=1e-4)


NOISES = {
    "two percent": lambda ms, rng: ms * (1 + 0.02 * rng.standard_normal(len(ms))),
    "ten percent": lambda ms, rng: ms * (1 + 0.1 * rng.standard_normal(len(ms))),
    "a fixed one": lambda ms, rng: ms + 0.3 * rng.standard_normal(len(ms)),
    "heavy tails": lambda ms, rng: ms * np.exp(0.05 * rng.standard_t(3, len(ms))),
    "whole milliseconds": lambda ms, rng: np.maximum(np.round(ms + 0.3 * rng.standard_normal(len(ms))), 1.0),
}


def covered(designs, truth, noise, seeds, n=20):
    """Share of hidden measurements inside their intervals, one figure a seed."""
    design, found = designs["kin"], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        noisy = NOISES[noise](truth, rng)
        chosen = rng.permutation(len(truth))[:n]
        model = TransferRegressor(design.blocks).fit(design.matrix[chosen], noisy[chosen])
        predicted, half = model.predict_with_interval(design.matrix)
        rest = np.setdiff1d(np.arange(len(truth)), chosen)
        found.append(np.mean(np.abs(predicted - noisy)[rest] <= half[rest]))
    return found


def test_intervals_cover_nine_in_ten_whatever_the_noise(designs, devices):
    means = {noise: np.mean(covered(designs, devices["target"], noise, 12)) for noise in NOISES}
    assert 0.87 < np.mean(list(means.values())) < 0.93
    assert all(0.84 < mean < 0.96 for mean in means.values()), means


def test_intervals_from_ten_measurements_cover_too(designs, devices):
    assert 0.83 < np.mean(covered(designs, devices["target"], "ten percent", 20, n=10)) < 0.96


def test_intervals_of_exact_sums_are_as_narrow_as_the_rounding(designs, devices):
    design, truth = designs["none"], devices["target"]
    chosen = most_informative(design, 20)
    model = TransferRegressor(design.blocks).fit(design.matrix[chosen], truth[chosen])
    predicted, half = model.predict_with_interval(design.matrix)
    assert np.mean(np.abs(predicted - truth) <= half) > 0.8
    assert np.max(half / truth) < 0.02


def test_scikit_learn_takes_it(designs, devices):
    design = designs["kin"]
    chosen = most_informative(design, 20)
    x, y = design.matrix[chosen], devices["target"][chosen]
    model = TransferRegressor(design.blocks, level=0.8)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert cross_val_score(twin, x, y, cv=KFold(4, shuffle=True, random_state=0)).min() > 0.9
    again = clone(model).fit(x, y).predict(design.matrix)
    assert np.array_equal(model.fit(x, y).predict(design.matrix), again)


def test_it_is_refitted_from_its_state_to_the_same(designs, devices):
    design = designs["kin"]
    chosen = most_informative(design, 10)
    model = TransferRegressor(design.blocks).fit(design.matrix[chosen], devices["target"][chosen])
    state = json.loads(json.dumps(model.state()))
    again = TransferRegressor(design.blocks).fit(state["rows"], state["latency_ms"])
    assert np.array_equal(again.predict(design.matrix), model.predict(design.matrix))


@pytest.mark.parametrize(
    ("spoil", "error", "match"),
    [
        (lambda x, y: (x[:4], y[:4]), UnknownWorkload, "4 measured architectures are too few .* transfer suggest"),
        (lambda x, y: (x, np.where(np.arange(len(y)) == 2, np.nan, y)), ConfigError, "not a positive number"),
        (lambda x, y: (x, -y), ConfigError, "not a positive number"),
        (lambda x, y: (x, np.ones(len(y))), ConfigError, "nothing to learn"),
        (lambda x, y: (x[:, 1:], y), ConfigError, "do not fit"),
    ],
)
def test_bad_input_is_refused(designs, devices, spoil, error, match):
    design = designs["none"]
    x, y = spoil(design.matrix[:10], devices["target"][:10])
    with pytest.raises(error, match=match):
        TransferRegressor(design.blocks).fit(x, y)


def test_predicting_before_fit_is_refused(designs):
    with pytest.raises(ConfigError, match="not fitted yet"):
        TransferRegressor(designs["none"].blocks).predict(designs["none"].matrix)


def test_a_source_that_is_the_target_is_no_trouble(pool, devices):
    truth = devices["target"]
    design = Design.of(pool, fit_sources(pool, {"twin": (np.arange(len(pool)), truth)}))
    chosen = most_informative(design, 10)
    model = TransferRegressor(design.blocks).fit(design.matrix[chosen], truth[chosen])
    assert relative(model, design, truth) < 0.01


def test_ties_of_a_coarse_clock_are_no_trouble(designs, devices):
    design = designs["kin"]
    coarse = np.round(devices["target"] / 4.0) * 4.0 + 4.0  # three values
    chosen = most_informative(design, 20)
    model = TransferRegressor(design.blocks).fit(design.matrix[chosen], coarse[chosen])
    predicted, half = model.predict_with_interval(design.matrix)
    assert np.isfinite(predicted).all()
    assert np.isfinite(half).all()
    assert np.corrcoef(predicted, coarse)[0, 1] > 0.7


def test_most_latencies_being_one_and_the_same_does_not_hide_the_rest(designs, devices):
    design, truth = designs["kin"], devices["target"]
    chosen = most_informative(design, 20)
    coarse = np.where(truth > np.quantile(truth[chosen], 0.7), 2.0, 1.0)
    model = TransferRegressor(design.blocks).fit(design.matrix[chosen], coarse[chosen])
    assert np.all(model.precision_ == 1.0)
    predicted = model.predict(design.matrix)
    assert predicted[coarse == 2.0].mean() > predicted[coarse == 1.0].mean() + 0.1


def test_all_equal_but_one_is_no_trouble(designs, devices):
    design = designs["kin"]
    chosen = most_informative(design, 10)
    model = TransferRegressor(design.blocks).fit(design.matrix[chosen], np.where(np.arange(10) == 3, 2.0, 1.0))
    predicted, half = model.predict_with_interval(design.matrix)
    assert np.isfinite(predicted).all()
    assert np.isfinite(half).all()
