from __future__ import annotations

import math

import numpy as np
import pytest

from predictors.additive import AdditiveModel, Sums, choose_overhead, fit_overhead
from predictors.base import Prediction
from predictors.population import count_matrix
from profiler.errors import ConfigError, UnknownWorkload
from profiler.tables.table import CostTable
from profiler.workloads.fusion import cut
from profiler.workloads.graph import Workload
from tests.contracts.simulated_target import TARGET, changed, networks, simulated_table, true_model_ms, without


def split(table: CostTable, name: str) -> list[Workload]:
    return [table.workloads[row.key] for row in table.rows(TARGET.id, "model") if row.split == name]


def kernel_keys(workload: Workload) -> set[str]:
    return {k.key for k in cut(workload, TARGET.runtime, TARGET.precision)}


def test_exact_measurements_are_predicted_exactly() -> None:
    table = simulated_table(overhead_ms=0.3)
    model = AdditiveModel().fit(table, TARGET.id)
    assert model.overhead_.form == "constant"
    assert model.overhead_.constant_ms == pytest.approx(0.3)
    for net in split(table, "held_out"):
        found = model.estimate(net)
        assert found.latency_ms == pytest.approx(true_model_ms(net, 0.3))
        assert {p.source for p in found.by_op} == {"table", "overhead"}


def test_kernels_that_cost_less_inside_a_model_are_scaled() -> None:
    table = simulated_table(overhead_ms=0.1, scale=0.8)
    model = AdditiveModel().fit(table, TARGET.id)
    assert model.overhead_.form == "scaled"
    assert model.overhead_.scale == pytest.approx(0.8)
    found = model.estimate(split(table, "held_out")[0])
    assert [p.label for p in found.by_op if p.source == "overhead"] == [
        "fixed overhead of a run",
        "kernels inside a model cost x0.800",
    ]
    constant = AdditiveModel(overhead="constant").fit(table, TARGET.id)
    assert constant.overhead_.scale == 1.0
    assert constant.overhead_.residuals.rms > 10.0 * model.overhead_.residuals.rms


def test_dispatch_is_found() -> None:
    rng = np.random.default_rng(0)
    sums, counts = rng.uniform(1.0, 5.0, 12), rng.integers(5, 50, 12).astype(float)
    latency = 0.2 + 0.01 * counts + sums
    fitted = fit_overhead("dispatch", Sums(sums, counts, latency, 1.0 / latency))
    assert (fitted.constant_ms, fitted.dispatch_ms, fitted.scale) == (pytest.approx(0.2), pytest.approx(0.01), 1.0)
    assert [p.latency_ms for p in fitted.parts(3.0, 10)] == [pytest.approx(0.2), pytest.approx(0.1)]


def test_few_models_stay_with_the_constant() -> None:
    table = simulated_table(n_fit=5, scale=0.8)
    assert AdditiveModel().fit(table, TARGET.id).overhead_.form == "constant"
    assert AdditiveModel(overhead="scaled").fit(table, TARGET.id).overhead_.form == "scaled"


def lacking(table: CostTable) -> tuple[CostTable, Workload, str]:
    """The table without one kernel, a held-out network that runs it, and its key; most fit networks do not run it."""
    fit = [kernel_keys(w) for w in split(table, "fit")]
    for net in split(table, "held_out"):
        for kernel in cut(net, TARGET.runtime, TARGET.precision):
            conv = kernel.kind.startswith("conv2d")
            if conv and 0 < sum(kernel.key in keys for keys in fit) <= len(fit) // 2:
                return without(table, [kernel.key]), net, kernel.key
    raise AssertionError("no such kernel")


def test_a_kernel_without_a_row_is_estimated_with_a_wider_interval() -> None:
    table = simulated_table(noise=0.01)
    less, net, key = lacking(table)
    full = AdditiveModel().fit(table, TARGET.id).estimate(net)
    found = AdditiveModel().fit(less, TARGET.id).estimate(net)
    assert found.complete
    estimated = [p for p in found.by_op if p.source == "regressor"]
    assert {p.label for p in estimated} == {table.lookup(TARGET.id, key).label}
    measured = next(p for p in full.by_op if p.label == estimated[0].label)
    assert estimated[0].half_width_ms > measured.half_width_ms
    assert found.high_ms - found.low_ms > full.high_ms - full.low_ms
    assert found.low_ms <= true_model_ms(net) <= found.high_ms


def test_without_regressors_it_is_missing_and_the_rest_a_lower_bound() -> None:
    less, net, key = lacking(simulated_table())
    model = AdditiveModel(regressors=False).fit(less, TARGET.id)
    found = model.estimate(net)
    assert not found.complete
    assert found.latency_ms < true_model_ms(net)
    assert found.latency_ms > 0.5 * true_model_ms(net) - model.overhead_.constant_ms
    assert found.high_ms == math.inf
    assert math.isnan(model.predict([net])[0])
    assert set(model.skipped_) == {
        row.label
        for row in less.rows(TARGET.id, "model")
        if row.split == "fit" and key in kernel_keys(less.workloads[row.key])
    }


def test_models_whose_kernels_are_unknown_cannot_be_fitted_on() -> None:
    table = simulated_table(n_fit=4)
    everywhere = set.intersection(*(kernel_keys(w) for w in split(table, "fit")))
    label = table.lookup(TARGET.id, next(iter(everywhere))).label
    with pytest.raises(UnknownWorkload, match=r"only 0 of 4 .*edgecost profile"):
        AdditiveModel(regressors=False).fit(without(table, everywhere), TARGET.id)
    assert label


def test_too_few_models_and_unknown_overheads_are_refused() -> None:
    with pytest.raises(UnknownWorkload, match=r"needs 3 .* has 2"):
        AdditiveModel().fit(simulated_table(n_fit=2), TARGET.id)
    with pytest.raises(ConfigError, match="cubic"):
        AdditiveModel(overhead="cubic").fit(simulated_table(n_fit=4), TARGET.id)


def covered(found: Prediction, truth: float) -> bool:
    return found.low_ms <= truth <= found.high_ms


@pytest.mark.parametrize("n_fit", [8, 25])
def test_intervals_cover_about_what_they_say(n_fit: int) -> None:
    hits: list[bool] = []
    widths: list[float] = []
    for seed in range(6):
        table = simulated_table(n_fit=n_fit, n_held=20, noise=0.03, seed=seed)
        model = AdditiveModel().fit(table, TARGET.id)
        for net in split(table, "held_out"):
            measured = table.lookup(TARGET.id, net.key, "model").latency_ns / 1e6
            found = model.estimate(net)
            hits.append(covered(found, measured))
            widths.append((found.high_ms - found.low_ms) / found.latency_ms)
    assert 0.85 <= np.mean(hits) <= 1.0
    # not by being useless: measuring has 3 % of noise, and +-1.64 x 3 % is a tenth
    assert np.median(widths) < 0.3


def test_the_interval_says_what_it_is_made_of() -> None:
    few = AdditiveModel().fit(simulated_table(n_fit=8, noise=0.02), TARGET.id)
    many = AdditiveModel().fit(simulated_table(n_fit=24, noise=0.02), TARGET.id)
    net = networks(1)[0]
    assert "t-quantile over 8 fit models" in few.estimate(net).interval
    assert "conformal over 24 fit models" in many.estimate(net).interval


@pytest.mark.parametrize("scale", [1.0, 0.8])
def test_a_population_costs_what_its_members_do(scale: float) -> None:
    model = AdditiveModel(regressors=False).fit(simulated_table(scale=scale), TARGET.id)
    some = networks(30, seed=9)
    population = count_matrix(some, TARGET.runtime, TARGET.precision)
    predicted = model.predict(some)
    np.testing.assert_allclose(model.price(population), predicted)
    assert np.isfinite(predicted).any()


def test_dispatch_is_charged_for_every_kernel() -> None:
    model = AdditiveModel(overhead="dispatch", regressors=False).fit(simulated_table(scale=1.3), TARGET.id)
    assert model.overhead_.dispatch_ms > 0.0
    some = networks(10, seed=9)
    for net, found in zip(some, model.estimate_many(some), strict=True):
        known = len(cut(net, TARGET.runtime, TARGET.precision)) - len(found.missing)
        parts = [p.latency_ms for p in found.by_op if p.source == "overhead"]
        assert parts[1] == pytest.approx(known * model.overhead_.dispatch_ms)
        assert math.fsum(p.latency_ms for p in found.by_op if p.source != "missing") == pytest.approx(found.latency_ms)
    np.testing.assert_allclose(model.price(count_matrix(some, TARGET.runtime, TARGET.precision)), model.predict(some))


def test_an_uncertain_kernel_widens_the_interval() -> None:
    table = simulated_table(noise=0.01)
    net = split(table, "held_out")[0]
    kernel = cut(net, TARGET.runtime, TARGET.precision)[0]
    row = table.lookup(TARGET.id, kernel.key)
    wide = changed(table, kernel.key, low_ns=0.0, high_ns=2.0 * row.latency_ns, spread=math.nan)
    before, after = (AdditiveModel().fit(t, TARGET.id).estimate(net) for t in (table, wide))
    assert after.latency_ms == before.latency_ms
    part = next(p for p in after.by_op if p.label == kernel.label)
    assert after.high_ms - after.latency_ms >= part.half_width_ms
    assert after.high_ms > before.high_ms


def test_a_model_whose_rounds_disagree_does_not_choose_the_form() -> None:
    rng = np.random.default_rng(0)
    sums, counts = rng.uniform(1.0, 5.0, 12), rng.integers(5, 50, 12).astype(float)
    latency = 0.8 * sums + 0.1
    bad = np.where(np.arange(12) == 4, 6.0, 1.0)
    trusted = choose_overhead(Sums(sums, counts, latency * bad, 1.0 / (latency * bad)))
    doubted = choose_overhead(Sums(sums, counts, latency * bad, 1.0 / (latency * bad**4)))
    assert doubted.form == "scaled"
    assert doubted.scale == pytest.approx(0.8, abs=0.02)
    assert abs(trusted.scale - 0.8) > abs(doubted.scale - 0.8)
