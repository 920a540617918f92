from __future__ import annotations

import math
from dataclasses import replace

import pytest

from predictors.measured import BESIDE_ERROR, Measurements, content_sha256, model_points
from profiler.errors import UnknownWorkload
from profiler.tables.table import CostTable
from profiler.workloads.isolation import isolate
from tests.contracts.simulated_target import TARGET, changed, simulated_table


@pytest.fixture(scope="module")
def table() -> CostTable:
    return simulated_table(n_fit=5, n_held=4, noise=0.02)


def kernel_key(table: CostTable) -> str:
    return table.rows(TARGET.id, "kernel")[0].key


def test_rows_become_points_in_ms(table: CostTable) -> None:
    found = Measurements.from_table(table, TARGET.id)
    assert (found.target_id, found.runtime, found.precision) == (TARGET.id, "onnxruntime", "fp32")
    assert len(found.kernels) == len(table.rows(TARGET.id, "kernel"))
    assert len(found.models) == 5
    assert len(model_points(table, TARGET.id, "held_out")) == 4
    for point in found.kernels:
        row = table.lookup(TARGET.id, point.key, "kernel")
        assert point.latency_ms == row.latency_ns / 1e6
        assert point.isolated_ms == pytest.approx(row.isolated_ns / 1e6)
        assert point.kernel.key == point.key
        assert point.kernel.label == row.label


def test_the_standard_error_gives_back_what_the_rounds_had(table: CostTable) -> None:
    for point in Measurements.from_table(table, TARGET.id).kernels:
        assert point.sd_ms == pytest.approx(0.02 * point.latency_ms)


def test_what_stood_beside_a_kernel_blurs_it(table: CostTable) -> None:
    found = Measurements.from_table(table, TARGET.id).kernels
    beside = {p.key: isolate(p.kernel, TARGET.runtime, TARGET.precision).companions for p in found}
    point = next(p for p in found if beside[p.key])
    companion = beside[point.key][0]
    row = replace(table.rows(TARGET.id, "kernel")[0], key=companion.key, label="add", latency_ns=7e6)
    more = CostTable([*table.all_rows, row], {**table.workloads, companion.key: companion.workload}, table.targets)
    points = {p.key: p for p in Measurements.from_table(more, TARGET.id).kernels}
    blurred = points[point.key]
    assert point.beside_ms == 0.0  # nothing known of what stood there
    assert blurred.beside_ms == pytest.approx(7.0 * beside[point.key].count(companion))
    assert blurred.doubt_ms == pytest.approx(math.hypot(point.sd_ms, BESIDE_ERROR * blurred.beside_ms))
    assert blurred.sd_ms == point.sd_ms


def test_the_spread_counts_where_the_interval_is_unknown_or_narrower(table: CostTable) -> None:
    key = kernel_key(table)
    for bounds in ({"low_ns": math.nan, "high_ns": math.nan}, {"low_ns": 3e6, "high_ns": 3e6}):
        other = changed(table, key, latency_ns=3e6, spread=0.1, n_rounds=4, **bounds)
        (point,) = (k for k in Measurements.from_table(other, TARGET.id).kernels if k.key == key)
        assert point.sd_ms == pytest.approx(3.0 * 0.1 / 2.0)


def test_one_round_leaves_the_interval_alone(table: CostTable) -> None:
    key = kernel_key(table)
    other = changed(table, key, latency_ns=3e6, low_ns=2e6, high_ns=4e6, spread=math.nan, n_rounds=1)
    (point,) = (k for k in Measurements.from_table(other, TARGET.id).kernels if k.key == key)
    assert point.sd_ms == pytest.approx(1.0 / 1.96, rel=1e-3)


def test_a_negative_slope_is_small_and_uncertain_not_missing(table: CostTable) -> None:
    key = kernel_key(table)
    other = changed(table, key, latency_ns=-4000.0, low_ns=-4100.0, high_ns=-3900.0, issues=("negative_slope",))
    (point,) = (k for k in Measurements.from_table(other, TARGET.id).kernels if k.key == key)
    assert point.latency_ms == 0.0
    assert point.sd_ms >= 0.004


def test_failed_rows_are_no_points(table: CostTable) -> None:
    key = kernel_key(table)
    other = changed(table, key, status="crashed", latency_ns=math.nan)
    assert key not in {k.key for k in Measurements.from_table(other, TARGET.id).kernels}


def test_blocks_are_neither_kernels_nor_models_to_learn_from(table: CostTable) -> None:
    model = table.rows(TARGET.id, "model")[0]
    blocks = [replace(model, kind="block", split="", latency_ns=1e9)]
    blocks += [replace(row, kind="block", latency_ns=1e9) for row in table.rows(TARGET.id, "kernel")]
    both = CostTable([*table.all_rows, *blocks], table.workloads, table.targets)
    assert Measurements.from_table(both, TARGET.id) == Measurements.from_table(table, TARGET.id)
    assert model_points(both, TARGET.id, "fit") == model_points(table, TARGET.id, "fit")


def test_the_hash_follows_the_figures_only(table: CostTable) -> None:
    same = CostTable(reversed(table.all_rows), table.workloads, table.targets, sources=["elsewhere"])
    first = Measurements.from_table(table, TARGET.id).sha256
    assert Measurements.from_table(same, TARGET.id).sha256 == first
    other = changed(table, kernel_key(table), latency_ns=1.0)
    assert Measurements.from_table(other, TARGET.id).sha256 != first


def test_unknown_target_and_lost_workload_are_named(table: CostTable) -> None:
    with pytest.raises(UnknownWorkload, match="sim/onnxruntime-fp32-t1"):
        Measurements.from_table(table, "other")
    key = kernel_key(table)
    lost = CostTable(table.all_rows, {k: w for k, w in table.workloads.items() if k != key}, table.targets)
    with pytest.raises(UnknownWorkload, match="workload") as caught:
        Measurements.from_table(lost, TARGET.id)
    assert caught.value.keys == (key,)


def test_too_few_models_are_counted(table: CostTable) -> None:
    found = Measurements.from_table(table, TARGET.id)
    found.need_models("test", 5)
    with pytest.raises(UnknownWorkload, match=r"needs 6 .* has 5"):
        found.need_models("test", 6)


def test_content_hash_ignores_the_order_of_names() -> None:
    assert content_sha256({"a": 1, "b": [0.1]}) == content_sha256({"b": [0.1], "a": 1})
    assert content_sha256([0.1]) != content_sha256([0.1000000001])


def test_models_whose_rounds_disagree_count_less(table: CostTable) -> None:
    row = next(r for r in table.rows(TARGET.id, "model") if r.split == "fit")
    exact = changed(table, row.key, low_ns=row.latency_ns, high_ns=row.latency_ns, spread=0.0)
    vague = changed(table, row.key, low_ns=row.latency_ns, high_ns=row.latency_ns, spread=0.5, n_rounds=4)
    for other, relative in ((exact, 0.05), (vague, math.hypot(0.05, 0.25))):
        found = Measurements.from_table(other, TARGET.id)
        index = [m.key for m in found.models].index(row.key)
        assert found.model_weights[index] == pytest.approx(1.0 / (relative * found.models[index].latency_ms))
        assert found.model_latencies_ms[index] == row.latency_ns / 1e6
