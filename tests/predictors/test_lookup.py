from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from predictors.intervals import normal_quantile
from predictors.kernel import KernelEstimate, KernelRegressor
from predictors.lookup import KernelCosts, TableModel, add_up
from predictors.measured import Measurements
from predictors.population import count_matrix
from profiler.tables.table import CostTable
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import cut
from profiler.workloads.graph import Workload
from tests.contracts.simulated_target import TARGET, networks, simulated_table, true_kernel_ms, without


@pytest.fixture(scope="module")
def table() -> CostTable:
    return simulated_table(n_fit=4, n_held=4)


def nets(table: CostTable) -> list[Workload]:
    return [table.workloads[row.key] for row in table.rows(TARGET.id, "model")]


def kernels(workload: Workload) -> list[str]:
    return [k.key for k in cut(workload, TARGET.runtime, TARGET.precision)]


def test_the_table_sum_is_the_sum_of_its_kernels(table: CostTable) -> None:
    model = TableModel().fit(table, TARGET.id)
    for net in nets(table):
        expected = sum(true_kernel_ms(k) for k in cut(net, TARGET.runtime, TARGET.precision))
        assert model.estimate(net).latency_ms == pytest.approx(expected)


def test_the_isolated_table_overestimates(table: CostTable) -> None:
    marginal = TableModel().fit(table, TARGET.id).predict(nets(table))
    isolated = TableModel(isolated=True).fit(table, TARGET.id).predict(nets(table))
    np.testing.assert_allclose(isolated, 2.0 * marginal)


def test_a_missing_kernel_gives_a_flagged_lower_bound(table: CostTable) -> None:
    net = nets(table)[0]
    whole = TableModel().fit(table, TARGET.id).estimate(net)
    key = max(kernels(net), key=kernels(net).count)
    model = TableModel().fit(without(table, [key]), TARGET.id)
    found = model.estimate(net)
    count = kernels(net).count(key)
    assert found.missing == (table.lookup(TARGET.id, key).label,) * count
    assert found.latency_ms == pytest.approx(whole.latency_ms - count * table.lookup(TARGET.id, key).latency_ns / 1e6)
    assert found.high_ms == math.inf
    assert sum(p.source == "missing" for p in found.by_op) == count
    assert math.isnan(model.predict([net])[0])


def test_a_row_without_an_isolated_figure_is_missing_in_the_isolated_sum(table: CostTable) -> None:
    rows = [r for r in table.all_rows if r.kind == "kernel"]
    first = rows[0]
    bare = type(first)(**{f: getattr(first, f) for f in first.__dataclass_fields__ if f != "isolated_ns"})
    other = CostTable([bare if r is first else r for r in table.all_rows], table.workloads, table.targets)
    net = next(n for n in nets(table) if first.key in kernels(n))
    assert TableModel(isolated=True).fit(other, TARGET.id).estimate(net).missing[0] == first.label
    assert TableModel().fit(other, TARGET.id).estimate(net).complete


def test_repeats_err_together_and_different_kernels_apart() -> None:
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    for _ in range(3):
        x = b.relu(b.conv2d(x, 4, 3))
    found = cut(b.build(b.global_avg_pool(x)), TARGET.runtime, TARGET.precision)
    conv, pool = found[0].key, found[-1].key
    costs = {conv: KernelEstimate(1.0, 0.1, "table"), pool: KernelEstimate(2.0, 0.4, "table")}
    total = add_up(found, costs, 0.9)
    assert total.latency_ms == pytest.approx(5.0)
    assert total.sd_ms == pytest.approx(math.hypot(3 * 0.1, 0.4))
    assert total.parts[0].half_width_ms == pytest.approx(0.1 * normal_quantile(0.9))
    together = {conv: KernelEstimate(1.0, 0.1, "family conv"), pool: KernelEstimate(2.0, 0.4, "family conv")}
    assert add_up(found, together, 0.9).sd_ms == pytest.approx(0.7)


def test_an_unknown_kernel_is_not_made_up_without_a_regressor(table: CostTable) -> None:
    b = WorkloadBuilder()
    softmax = b.build(b.softmax(b.input((1, 7))))
    (kernel,) = cut(softmax, TARGET.runtime, TARGET.precision)
    assert KernelCosts({}).resolve([kernel]) == {}
    assert math.isnan(KernelCosts({}).costs_ms([kernel])[0])
    found = TableModel().fit(table, TARGET.id).estimate(softmax)
    assert (found.latency_ms, found.missing) == (0.0, (kernel.label,))


def test_a_population_costs_what_its_members_do(table: CostTable) -> None:
    some = networks(20, seed=3) + nets(table)
    model = TableModel().fit(table, TARGET.id)
    population = count_matrix(some, TARGET.runtime, TARGET.precision)
    predicted = model.predict(some)
    assert np.isnan(predicted).any()
    np.testing.assert_allclose(model.price(population), predicted)


def test_a_row_that_is_hardly_known_is_drawn_to_its_regressor(table: CostTable) -> None:
    points = list(Measurements.from_table(table, TARGET.id).kernels)
    sharp, blurred = points[0], replace(points[1], latency_ms=3.0 * points[1].latency_ms, sd_ms=points[1].latency_ms)
    sharp = replace(sharp, beside_ms=0.0)
    points[:2] = [sharp, blurred]
    costs = KernelCosts.of(points)
    costs.temper(points)
    assert costs.rows[blurred.key][0] == blurred.latency_ms  # without a regressor nothing is known better
    regressor = costs.regressor = KernelRegressor()
    regressor.without = {sharp.key: (9.0, 0.1), blurred.key: (points[1].latency_ms / 3.0, 0.01 * blurred.sd_ms)}
    costs.temper(points)
    assert costs.rows[sharp.key] == (sharp.latency_ms, sharp.sd_ms)
    assert costs.rows[blurred.key][0] == pytest.approx(blurred.latency_ms / 3.0, rel=0.01)
    assert costs.rows[blurred.key][1] < 0.011 * blurred.sd_ms
