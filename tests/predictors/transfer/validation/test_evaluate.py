from dataclasses import replace

import numpy as np
import pytest

from predictors.transfer.latencies import LatencyTable
from predictors.transfer.validation.evaluate import evaluate, evaluate_each, evaluate_single, summary
from predictors.transfer.validation.methods import CEILING, METHODS
from predictors.transfer.validation.protocols import Protocol, find_protocol
from predictors.transfer.validation.scores import target_scores
from profiler.errors import ConfigError, UnknownWorkload


@pytest.fixture(scope="module")
def table(pool, devices):
    rng = np.random.default_rng(5)
    latency_ms = np.stack([v * (1 + 0.01 * rng.standard_normal(len(v))) for v in devices.values()], axis=1)
    return LatencyTable("toy", pool.names, tuple(devices), latency_ms)


@pytest.fixture(scope="module")
def protocol():
    return Protocol("toy", "toy", ("kin", "odd", "flat"), ("target",), 10, 200)


@pytest.fixture(scope="module")
def rows(protocol, pool, table):
    return evaluate(protocol, pool, table, [0, 1])


def test_all_methods_stand_side_by_side(rows):
    assert {row.method for row in rows} == {*METHODS, CEILING}
    found = {(s["method"], s["target"]): s for s in summary(rows)}
    transfer, ceiling = found["transfer", "mean"], found[CEILING, "mean"]
    assert transfer["spearman"] > 0.97
    assert ceiling["within_5"] > 0.9
    assert transfer["spearman"] > found["MACs", "mean"]["spearman"]
    assert 0.5 < transfer["covered"] <= 1.0
    assert found["transfer", "target"]["seconds"] > 0.0


def test_it_is_deterministic_by_seed(rows, protocol, pool, table):
    again = evaluate(protocol, pool, table, [1])
    first = {r.method: r.scores for r in rows if r.seed == 1}
    assert all(first[r.method] == pytest.approx(r.scores, nan_ok=True) for r in again)


def test_copies_of_fitted_architectures_are_not_scored(rows, pool):
    # 10 classes were measured; every one has copies, so more than 10 architectures are left out
    assert all(row.scores["n"] < len(pool) - 10 for row in rows)


def test_hidden_rows_of_the_target_do_not_matter(protocol, pool, table):
    """Whatever stands in the rows that are scored, what is chosen and predicted stays the same."""
    from predictors.transfer.validation import evaluate as module

    seen = {}

    def spy(pool, target, seed, name, answer, latency_ms, seconds):
        seen.setdefault(name, []).append(answer)
        return row(pool, target, seed, name, answer, latency_ms, seconds)

    row = module._row
    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        context.setattr(module, "_row", spy)
        evaluate(protocol, pool, table, [0])
        fitted = set(np.concatenate([a[0].fitted for k, a in seen.items() if k != CEILING]).tolist())
        hidden = np.array([i not in fitted for i in range(len(pool))])
        column = table.devices.index("target")
        latency_ms = table.latency_ms.copy()
        latency_ms[hidden, column] = np.random.default_rng(0).permutation(latency_ms[hidden, column])
        evaluate(protocol, pool, replace(table, latency_ms=latency_ms), [0])
    for name, (first, second) in seen.items():
        if name != CEILING:
            assert np.array_equal(first.predicted, second.predicted), name


def test_each_device_from_all_others(pool, table):
    protocol = find_protocol("leave-one-out:toy", ["kin", "odd", "target"], samples=8)
    rows = evaluate_each(protocol, pool, table, [0])
    assert list(dict.fromkeys(row.target for row in rows)) == ["kin", "odd", "target"]


def test_single_devices_need_no_others(pool, table):
    rows = evaluate_single(find_protocol("single-device:200", targets=["kin"]), pool, table, [0])
    found = {r.method: r.scores for r in rows}
    assert found["ridge on structure"]["within_5"] > 0.95
    assert 0.8 < found["ridge on structure"]["covered"] < 0.98


def test_missing_devices_and_too_few_rows_are_refused(protocol, pool, table):
    with pytest.raises(ConfigError, match="toy needs the devices lost"):
        evaluate(replace(protocol, targets=("lost",)), pool, table, [0])
    latency_ms = table.latency_ms.copy()
    latency_ms[9:, table.devices.index("target")] = np.nan
    with pytest.raises(ConfigError, match="target has 9 measured architectures .* needs more than 10"):
        evaluate(protocol, pool, replace(table, latency_ms=latency_ms), [0])


def test_a_target_that_never_varies_is_refused_by_name(protocol, pool, table):
    latency_ms = table.latency_ms.copy()
    latency_ms[:, table.devices.index("target")] = 7.0
    with pytest.raises(ConfigError, match="625 latencies of the target 'target' are 7.0 ms.*--targets"):
        evaluate(protocol, pool, replace(table, latency_ms=latency_ms), [0])
    latency_ms[125, table.devices.index("target")] = 8.0  # a copy of the second, which is chosen before it
    with pytest.raises(ConfigError, match="10 latencies that were chosen of the target 'target' are 7.0 ms"):
        evaluate(replace(protocol, sources=("flat",)), pool, replace(table, latency_ms=latency_ms), [1])


def test_sources_that_measured_little_are_used_whole(protocol, pool, table):
    """Their architectures are drawn among those that they measured."""
    latency_ms = table.latency_ms.copy()
    there = np.random.default_rng(3).permutation(len(pool))[:60]
    rest = np.setdiff1d(np.arange(len(pool)), there)
    latency_ms[np.ix_(rest, [table.devices.index(name) for name in protocol.sources])] = np.nan
    rows = evaluate(replace(protocol, source_samples=60), pool, replace(table, latency_ms=latency_ms), [0])
    assert {r.method: r.scores for r in rows}["transfer"]["spearman"] > 0.95


def test_few_samples_one_source_and_a_twin_of_the_target(pool, table):
    latency_ms = np.concatenate([table.latency_ms, table.latency_ms[:, -1:]], axis=1)
    twins = replace(table, devices=(*table.devices, "twin"), latency_ms=latency_ms)
    for samples in (5, 10):
        rows = evaluate(Protocol("toy", "toy", ("twin",), ("target",), samples, 200), pool, twins, [0])
        found = {row.method: row.scores for row in rows}
        assert found["transfer"]["spearman"] > 0.95
    with pytest.raises(UnknownWorkload, match="3 measured architectures are too few"):
        evaluate(Protocol("toy", "toy", ("twin",), ("target",), 3, 200), pool, twins, [0])


def test_scores_by_hand():
    measured = np.array([1.0, 2.0, 3.0, 4.0])
    scores = target_scores(np.array([1.04, 2.0, 3.24, 5.0]), measured, 0.3)
    assert scores.spearman == pytest.approx(1.0)
    assert (scores.within_5, scores.within_10) == (0.5, pytest.approx(0.75))
    assert scores.covered == 0.75
    assert scores.half_width == pytest.approx(0.3 / 2.5)
    assert scores.mape == pytest.approx((0.04 + 0.0 + 0.08 + 0.25) / 4)
    many = np.arange(1.0, 21.0)
    assert target_scores(-many, many).regret_10 == pytest.approx(15.5 / 5.5 - 1.0)
    assert np.isnan(target_scores(np.ones(4), measured).spearman)
