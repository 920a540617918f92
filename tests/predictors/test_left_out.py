"""Kernels, kinds, families and networks left out in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from predictors.additive import AdditiveModel
from predictors.base import CostModel
from predictors.baselines import MacsModel
from predictors.evaluate import regret, score, without_copies
from predictors.left_out import WELL_MEASURED, Point, kernels_left_out, networks_left_out
from predictors.measured import KernelPoint, Measurements, ModelPoint, model_points
from predictors.sampling.shapes import ShapeSampler
from predictors.sampling.typical import typical_blocks
from profiler.errors import UnknownWorkload
from profiler.workloads.fusion import kernels_of
from tests.contracts.simulated_target import TARGET, simulated_table, true_kernel_ms

KINDS = ("conv2d 3x3+relu", "conv2d 1x1+relu", "depthwise 3x3+relu6", "max_pool 3x3")


def points(noise: float = 0.0) -> list[KernelPoint]:
    rng = np.random.default_rng(0)
    where = TARGET.runtime, TARGET.precision
    sampler = ShapeSampler(kernels_of(typical_blocks(), *where), *where)
    kernels = [kernel for kind in KINDS for kernel in sampler.draw(kind, 14, rng)]
    values = [true_kernel_ms(k) * float(np.exp(noise * rng.standard_normal())) for k in kernels]
    return [KernelPoint(k.key, k.label, k, ms, noise * ms, None) for k, ms in zip(kernels, values, strict=True)]


def test_every_way_of_leaving_out_is_scored() -> None:
    rows, shown = kernels_left_out(points(0.01), seeds=(0, 1))
    by = {(row.what, row.group, row.seed): row for row in rows}
    assert {what for what, _, _ in by} == {"kernel", "kind", "family"}
    assert by["kernel", "all", 0].scores.rmspe < 0.1
    assert by["kernel", "all", 0].scores.n == len(shown) == len(points())
    # depthwise kernels cost twice as much, which nothing says when all of them are left out
    assert by["family", "depthwise", None].scores.rmspe > 2 * by["kernel", "all", 0].scores.rmspe
    assert ("kernel", KINDS[2], 1) in by
    assert all(0.0 <= row.covered <= 1.0 for row in rows)
    assert by["kernel", "all", 0].noise == pytest.approx(0.01, rel=0.05)


def test_what_could_not_be_resolved_is_not_scored() -> None:
    some = points(0.01)
    unresolved = KernelPoint("0" * 32, "tiny", some[0].kernel, 1e-6, 1e-5, None)
    rows, _ = kernels_left_out([*some, unresolved])
    assert rows[0].scores.n == len(some)
    with pytest.raises(UnknownWorkload, match="--adaptive"):
        kernels_left_out(some[:5])


def models() -> Mapping[str, CostModel]:
    return {"macs": MacsModel(), "additive": AdditiveModel()}


def test_those_well_measured_are_scored_apart_and_beside_a_roofline() -> None:
    some = points(0.01)
    blurred = [replace(p, sd_ms=0.3 * p.latency_ms) for p in some[:6]]
    rows, _ = kernels_left_out([*blurred, *some[6:]])
    by = {(row.model, row.group): row for row in rows if row.what == "kernel"}
    assert by["regressors", "all"].scores.n == by["roofline", "all"].scores.n == len(some)
    assert by["regressors", WELL_MEASURED].scores.n == len(some) - 6
    assert by["regressors", WELL_MEASURED].noise < 0.05 < by["regressors", "all"].noise
    assert by["regressors", WELL_MEASURED].scores.rmspe < by["roofline", WELL_MEASURED].scores.rmspe


def test_networks_are_predicted_without_their_copies() -> None:
    table = simulated_table(n_fit=16, n_held=8, noise=0.01)
    measurements = Measurements.from_table(table, TARGET.id)
    every = [m for split in ("fit", "held_out") for m in model_points(table, TARGET.id, split)]
    rows, shown = networks_left_out(models, measurements, every, seeds=(0, 1))
    assert [(row.model, row.seed) for row in rows] == [("macs", 0), ("additive", 0), ("macs", 1), ("additive", 1)]
    by = {(row.model, row.seed): row for row in rows}
    assert by["additive", 0].scores.rmspe < 0.5 * by["macs", 0].scores.rmspe
    assert len(shown) == len(every)
    assert {p.label for p in shown} == {m.label for m in every}


def test_copies_of_what_was_fitted_are_not_held_out() -> None:
    table = simulated_table(n_fit=5, n_held=5)
    measurements = Measurements.from_table(table, TARGET.id)
    held_out = model_points(table, TARGET.id, "held_out")
    known = measurements.models[0]
    copy = ModelPoint("f" * 32, "copy", known.workload, known.latency_ms, 0.0)
    assert copy not in without_copies([*held_out, copy], measurements)
    assert set(without_copies([*held_out, copy], measurements)) <= set(held_out)


def test_what_has_no_prediction_is_not_covered() -> None:
    nan, inf = float("nan"), float("inf")
    assert Point("a", "network", 1.0, 1.1, 0.9, 1.2).covered
    assert not Point("a", "network", 1.0, nan, 0.5, inf).covered
    assert not Point("a", "network", 1.0, nan, nan, nan).covered


def test_regret_is_what_a_search_loses() -> None:
    measured = np.array([1.0, 1.2, 2.0, 4.0])
    assert regret(np.array([1.0, 2.0, 3.0, 4.0]), measured, 1) == 0.0
    assert regret(np.array([2.0, 1.0, 3.0, 4.0]), measured, 1) == pytest.approx(0.2)
    assert regret(np.array([2.0, 1.0, 3.0, 4.0]), measured, 2) == 0.0
    assert regret(np.array([np.nan, np.nan, 3.0, 4.0]), measured, 1) == pytest.approx(1.0)
    assert np.isnan(regret(np.full(4, np.nan), measured, 1))
    assert score(np.array([2.0, 1.0, 3.0, 4.0]), measured).regret_1 == pytest.approx(0.2)
