"""What is learned of whole networks beyond their kernels, and when nothing is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from predictors.additive import AdditiveModel
from predictors.composition import COMPOSITION, Composition, compositions, population_composition
from predictors.measured import Measurements, ModelPoint
from predictors.population import count_matrix
from predictors.residual import Residual, _left_out, _Prior, fit_residual
from profiler.workloads.fusion import cut
from tests.contracts.simulated_target import TARGET, networks, simulated_table, true_kernel_ms, true_model_ms

NETWORKS = networks(60, seed=3)
CUTS = [cut(w, TARGET.runtime, TARGET.precision) for w in NETWORKS]
COSTS = {k.key: true_kernel_ms(k) for kernels in CUTS for k in kernels}
DEPTHWISE = COMPOSITION.index("share_depthwise")


def made() -> Composition:
    return compositions(CUTS, COSTS)


def test_a_composition_says_where_the_time_goes() -> None:
    values = made().values
    np.testing.assert_allclose(values[:, :5].sum(axis=1), 1.0)
    kernels = CUTS[0]
    depthwise = sum(COSTS[k.key] for k in kernels if k.kind.startswith("depthwise"))
    assert values[0, DEPTHWISE] == pytest.approx(depthwise / sum(COSTS[k.key] for k in kernels))
    assert values[0, COMPOSITION.index("kernels")] == pytest.approx(np.log(len(kernels)))


def test_a_population_has_the_same_compositions() -> None:
    population = count_matrix(NETWORKS, TARGET.runtime, TARGET.precision)
    costs_ms = np.array([COSTS[kernel.key] for kernel in population.kernels])
    np.testing.assert_allclose(population_composition(population, costs_ms).values, made().values, rtol=1e-9)


def test_a_disturbance_that_goes_with_the_composition_is_learned() -> None:
    base = np.array([sum(COSTS[k.key] for k in kernels) for kernels in CUTS])
    measured = base * (1.0 + 0.5 * made().values[:, DEPTHWISE])
    classes = [w.key for w in NETWORKS]
    residual, errors = fit_residual(made(), base, measured, classes)
    assert residual is not None
    assert residual.gain > 0.5
    assert np.abs(errors).mean() < 0.4 * np.abs(base / measured - 1.0).mean()
    unseen = compositions(CUTS[:5], COSTS)
    assert residual.factor(unseen) == pytest.approx(residual.factor(made())[:5], abs=0)


def test_what_only_neighbours_have_is_learned_too() -> None:
    """A bump over middling shares, which no plane can follow."""
    rng = np.random.default_rng(5)
    values = np.tile(made().values[:1], (200, 1))
    values[:, DEPTHWISE] = rng.uniform(0.0, 1.0, 200)
    base = np.full(200, 2.0)
    measured = base * (1.0 + 0.4 * np.exp(-((values[:, DEPTHWISE] - 0.5) ** 2) / 0.02))
    residual, errors = fit_residual(Composition(values[:120]), base[:120], measured[:120], [str(i) for i in range(120)])
    assert residual is not None
    assert residual.alpha.any()
    unseen = base[120:] * residual.factor(Composition(values[120:])) / measured[120:] - 1.0
    assert np.abs(unseen).max() < 0.02
    assert np.abs(errors).max() < 0.05
    again = Residual.from_dict(json.loads(json.dumps(residual.to_dict(), allow_nan=False)))
    alone = [float(again.factor(Composition(row[None]))[0]) for row in values]
    assert alone == residual.factor(Composition(values)).tolist()


def test_leaving_a_class_out_is_the_same_as_fitting_without_it() -> None:
    rng = np.random.default_rng(2)
    found, prior = rng.normal(size=12), _Prior.of(made().values[:12], tuple(range(9)))
    covariance, noise, group = prior.covariance(0.7, 0.5), 0.1, np.array([3, 4, 8])
    said = _left_out(covariance, found, noise, [group, np.delete(np.arange(12), group)])
    others = np.delete(np.arange(12), group)
    alpha = np.linalg.solve(covariance[np.ix_(others, others)] + noise * np.eye(len(others)), found[others])
    np.testing.assert_allclose(said[group], covariance[np.ix_(group, others)] @ alpha)


def test_where_there_is_nothing_to_learn_it_is_off() -> None:
    rng = np.random.default_rng(0)
    base = np.array([sum(COSTS[k.key] for k in kernels) for kernels in CUTS])
    noise = np.exp(0.05 * rng.standard_normal(len(base)))
    residual, errors = fit_residual(made(), base, base * noise, [w.key for w in NETWORKS])
    assert residual is None
    np.testing.assert_allclose(errors, 1.0 / noise - 1.0)


def test_copies_are_left_out_together_and_few_networks_teach_nothing() -> None:
    base = np.array([sum(COSTS[k.key] for k in kernels) for kernels in CUTS])
    rng = np.random.default_rng(1)
    story = np.exp(0.2 * rng.standard_normal(30))  # each network its own, and each measured twice
    twice = np.concatenate([np.arange(30), np.arange(30)])
    values = Composition(made().values[twice])
    measured = base[twice] * story[twice]
    classes = [NETWORKS[i].key for i in twice]
    assert fit_residual(values, base[twice], measured, classes)[0] is None
    few = Composition(made().values[:15])
    learnable = base[:15] * (1.0 + 0.5 * few.values[:, DEPTHWISE])
    assert fit_residual(few, base[:15], learnable, [w.key for w in NETWORKS[:15]])[0] is None


def measurements(disturbed: bool) -> Measurements:
    table = simulated_table(n_fit=40, n_held=2, noise=0.005)
    found = Measurements.from_table(table, TARGET.id)
    values = compositions(
        [cut(m.workload, TARGET.runtime, TARGET.precision) for m in found.models],
        {k.key: k.latency_ms for k in found.kernels},
    ).values
    models = tuple(
        ModelPoint(m.key, m.label, m.workload, m.latency_ms * (1.0 + 0.6 * disturbed * float(v[DEPTHWISE])), m.sd_ms)
        for m, v in zip(found.models, values, strict=True)
    )
    return Measurements(found.target_id, found.runtime, found.precision, found.kernels, models)


def test_the_network_model_takes_it_up_and_says_so() -> None:
    found = measurements(disturbed=True)
    with_it = AdditiveModel().fit_measurements(found)
    without = AdditiveModel(residual=False).fit_measurements(found)
    assert with_it.residual_ is not None
    assert without.residual_ is None
    unseen = networks(30, seed=77)
    cuts = [cut(w, TARGET.runtime, TARGET.precision) for w in unseen]
    shares = compositions(cuts, {k.key: true_kernel_ms(k) for kernels in cuts for k in kernels}).values[:, DEPTHWISE]
    truth = np.array([true_model_ms(w) for w in unseen]) * (1.0 + 0.6 * shares)
    errors = [float(np.abs(m.predict(unseen) / truth - 1.0).mean()) for m in (with_it, without)]
    assert errors[0] < 0.7 * errors[1]
    estimate = with_it.estimate(unseen[0])
    assert sum(part.latency_ms for part in estimate.by_op) == pytest.approx(estimate.latency_ms)
    assert any("composition" in part.label for part in estimate.by_op)
    again = AdditiveModel.from_dict(json.loads(json.dumps(with_it.to_dict(), allow_nan=False)))
    assert again.predict(unseen).tolist() == with_it.predict(unseen).tolist()
    priced = with_it.price(count_matrix(unseen, TARGET.runtime, TARGET.precision))
    np.testing.assert_allclose(priced, with_it.predict(unseen), rtol=1e-9)


def test_the_network_model_leaves_it_off_where_sums_close() -> None:
    assert AdditiveModel().fit_measurements(measurements(disturbed=False)).residual_ is None


def test_a_finer_composition_is_taken_where_it_tells_more() -> None:
    base = np.array([sum(COSTS[k.key] for k in kernels) for kernels in CUTS])
    values = np.tile(made().values[:1], (len(base), 1))
    rng = np.random.default_rng(0)
    pointwise = rng.uniform(0.0, 0.5, len(base))
    values[:, COMPOSITION.index("share_pointwise")] = pointwise
    values[:, COMPOSITION.index("share_spatial")] = 0.5 - pointwise
    classes = [str(i) for i in range(len(base))]
    residual, errors = fit_residual(Composition(values), base, base * (1.0 + 0.5 * pointwise), classes)
    assert residual is not None
    assert COMPOSITION.index("share_pointwise") in residual.columns
    assert np.abs(errors).max() < 0.02
    coarse, _ = fit_residual(made(), base, base * (1.0 + 0.5 * made().values[:, DEPTHWISE]), classes)
    assert coarse is not None
    assert len(coarse.columns) <= 11
