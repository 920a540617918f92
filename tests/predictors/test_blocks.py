"""Blocks that were never measured, from those that were."""

from __future__ import annotations

import json
import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from predictors.blocks import BLOCK_FEATURES, BlockRegressor, block_features
from predictors.regressors import nonnegative_fit
from profiler.errors import ConfigError
from profiler.tables.formats.hwnasbench import FbnetBlock, read_hwnasbench
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload


def block(
    cin: int, cout: int, size: int, stride: int = 1, kernel: int = 3, expansion: int = 3, gate: bool = False
) -> Workload:
    b = WorkloadBuilder(f"k{kernel} e{expansion} {cin}x{size} -> {cout}")
    x = b.input((1, cin, size, size))
    wide = cin * expansion
    y = b.relu(b.batch_norm(b.conv2d(x, wide)))
    y = b.relu(b.batch_norm(b.conv2d(y, wide, kernel, stride, groups=wide)))
    if gate:
        y = b.mul(y, b.sigmoid(b.conv2d(b.global_avg_pool(y), wide, bias=True)))
    y = b.batch_norm(b.conv2d(y, cout))
    return b.build(b.add(y, x) if stride == 1 and cin == cout else y)


def law(workload: Workload, spill_ms: float = 0.0) -> float:
    """A made-up device: starting a kernel, dense and depthwise work, and what exceeds 2^19 bytes."""
    f = block_features(workload)
    spilled = max(f["held_bytes"] - 2.0**19, 0.0)
    return 0.02 * f["kernels"] + 1e-7 * f["dense_macs"] + 5e-7 * f["depthwise_macs"] + spill_ms * spilled


SHAPES = [
    (cin, cout, size, stride, kernel, expansion)
    for (cin, cout, size), stride, kernel, expansion in product(
        ((16, 16, 32), (24, 32, 32), (32, 32, 16), (64, 64, 16), (64, 112, 8)), (1, 2), (3, 5), (2, 6)
    )
]
MEASURED = [block(*shape) for shape in SHAPES]
UNSEEN = [block(48, 48, 28, 1, 7, 4), block(20, 40, 20, 2, 3, 3), block(96, 96, 12, 1, 5, 4)]


def test_features_of_a_block() -> None:
    f = block_features(block(4, 4, 8, kernel=5, expansion=3))
    assert {name: value for name, value in f.items() if value} == {
        "kernels": 3.0,
        "dense_macs": 2 * 64 * 4 * 12,
        "depthwise_macs": 64 * 25 * 12,
        "depthwise_bytes": 4.0 * 2 * 64 * 12,
        "weight_bytes": 4.0 * (48 + 25 * 12 + 48),
        "pixels": 3 * 64,
        "channels": 12 + 12 + 4,
        "padding_8": pytest.approx(64 * 4 * 12 * 2 * (16 / 12 * 8 / 4 - 1)),
        "padding_16": pytest.approx(64 * 4 * 12 * 2 * (16 / 12 * 16 / 4 - 1)),
        "odd_dense_macs": 2 * 64 * 4 * 12,
        "odd_depthwise_macs": 64 * 25 * 12,
        "dense_bytes": 4.0 * 2 * 64 * 16,
        "k5_s1_values": 64 * 12,
        "k5_channels": 12,
        "held_bytes": 4.0 * (64 * 28 + 48 + 25 * 12 + 48),
    }
    assert set(f) == {*BLOCK_FEATURES, "held_bytes"}


def test_a_kernel_that_a_runtime_has_no_code_for_is_told_apart() -> None:
    def slow(workload: Workload) -> float:
        f = block_features(workload)
        return law(workload) + 2e-5 * (f["k7_s1_values"] + f["k7_s2_values"])

    sevens = [block(cin, cout, size, stride, 7, 3) for cin, cout, size, stride, _, _ in SHAPES[::4]]
    others = [
        block(c, c, size, 1, kernel, 3) for c, size in ((8, 48), (16, 24), (40, 20), (96, 8)) for kernel in (3, 5, 7)
    ]
    some = [*MEASURED, *sevens, *others]
    model = BlockRegressor().fit(some, [slow(w) for w in some])
    unseen = [block(48, 48, 28, 1, 7, 4), block(20, 40, 20, 2, 7, 3), block(48, 48, 28, 1, 5, 4)]
    np.testing.assert_allclose(model.predict(unseen), [slow(w) for w in unseen], rtol=0.06)


def test_features_of_a_gate() -> None:
    plain, gated = block_features(block(4, 4, 8)), block_features(block(4, 4, 8, gate=True))
    assert gated["kernels"] == plain["kernels"] + 2
    assert gated["nonlinear_bytes"] == 4.0 * 2 * 12
    assert gated["moved_bytes"] == 4.0 * ((64 * 12 + 12) + (64 * 12 + 12 + 64 * 12))
    assert gated["depthwise_macs"] == plain["depthwise_macs"]


def test_an_op_that_no_output_needs_costs_nothing() -> None:
    b = WorkloadBuilder("dead")
    x = b.input((1, 4, 8, 8))
    b.conv2d(x, 400)
    assert block_features(b.build(b.conv2d(x, 4)))["kernels"] == 1.0


def test_a_law_of_the_features_is_found_and_holds_elsewhere() -> None:
    model = BlockRegressor().fit(MEASURED, [law(w) for w in MEASURED])
    assert model.corner_bytes == np.inf
    np.testing.assert_allclose(model.predict(UNSEEN), [law(w) for w in UNSEEN], rtol=0.05)


def test_a_corner_is_found_where_there_is_one() -> None:
    times = [law(w, 3e-6) for w in MEASURED]
    model = BlockRegressor().fit(MEASURED, times)
    assert model.corner_bytes == 2.0**19
    large = [block(32, 32, 40, 1, 3, 6), block(128, 128, 16, 1, 5, 6)]
    np.testing.assert_allclose(model.predict(large), [law(w, 3e-6) for w in large], rtol=0.02)


def test_channels_that_are_no_multiple_of_eight_are_dearer_where_that_was_seen() -> None:
    def lanes(workload: Workload) -> float:
        f = block_features(workload)
        return law(workload) + 2e-7 * f["odd_dense_macs"] + 1e-7 * f["padding_8"]

    odd = [block(c, c, size, 1, 3, 3) for c, size in ((10, 32), (20, 16), (44, 16), (100, 8), (12, 24), (36, 12))]
    some = [*MEASURED, *odd[:4]]
    model = BlockRegressor().fit(some, [lanes(w) for w in some])
    np.testing.assert_allclose(model.predict(odd[4:]), [lanes(w) for w in odd[4:]], rtol=0.05)
    even = BlockRegressor().fit(MEASURED, [lanes(w) for w in MEASURED])
    assert np.isfinite(even.predict(odd)).all(), "it is priced as if it made no difference"
    assert even.unknown(odd[0]) == ()


def test_a_corner_of_each_convolution_is_found() -> None:
    def spilling(workload: Workload) -> float:
        touched = [workload.op_bytes_read(i) + workload.op_bytes_written(i) for i in workload.live_ops
                   if workload.ops[i].kind == "conv2d"]  # fmt: skip
        return law(workload) + 2e-6 * sum(max(t - 2.0**18, 0.0) for t in touched)

    model = BlockRegressor().fit(MEASURED, [spilling(w) for w in MEASURED])
    assert (model.corner_of, model.corner_bytes) == ("kernel", 2.0**18)
    np.testing.assert_allclose(model.predict(UNSEEN), [spilling(w) for w in UNSEEN], rtol=0.03)
    again = BlockRegressor.from_dict(json.loads(json.dumps(model.to_dict())))
    assert again.predict(UNSEEN).tolist() == model.predict(UNSEEN).tolist()


def test_noise_alone_makes_no_corner() -> None:
    rng = np.random.default_rng(0)
    times = [law(w) * float(np.exp(rng.normal(0.0, 0.05))) for w in MEASURED]
    assert BlockRegressor().fit(MEASURED, times).corner_bytes == np.inf


def test_more_work_never_costs_less() -> None:
    rng = np.random.default_rng(1)
    model = BlockRegressor().fit(MEASURED, rng.uniform(0.1, 5.0, len(MEASURED)))
    assert (model.coefficients >= 0.0).all()
    widths = model.predict([block(c, c, 16) for c in (8, 16, 64, 256)])
    assert (np.diff(widths) >= 0.0).all()


def test_what_no_measured_block_did_is_missing() -> None:
    model = BlockRegressor().fit(MEASURED, [law(w) for w in MEASURED])
    gated = block(16, 16, 16, gate=True)
    predicted = model.predict([gated, MEASURED[0]])
    assert np.isnan(predicted[0])
    assert np.isfinite(predicted[1])
    assert model.unknown(gated) == ("moved_bytes", "nonlinear_bytes")
    assert model.unknown(MEASURED[0]) == ()
    both = [*MEASURED, gated, block(64, 64, 8, gate=True)]
    assert np.isfinite(BlockRegressor().fit(both, [law(w) for w in both]).predict([gated])).all()


def test_predictions_depend_on_nothing_but_the_block() -> None:
    times = [law(w, 3e-6) for w in MEASURED]
    model, again = BlockRegressor().fit(MEASURED, times), BlockRegressor().fit(MEASURED, times)
    assert model.to_dict() == again.to_dict()
    together = model.predict(MEASURED)
    assert [model.predict([w])[0] for w in MEASURED] == together.tolist()
    assert model.predict([]).shape == (0,)


@pytest.mark.parametrize("spill_ms", [0.0, 3e-6])
def test_state_as_json(spill_ms: float) -> None:
    model = BlockRegressor().fit(MEASURED, [law(w, spill_ms) for w in MEASURED])
    other = BlockRegressor.from_dict(json.loads(json.dumps(model.to_dict(), allow_nan=False)))
    assert other.predict(UNSEEN).tolist() == model.predict(UNSEEN).tolist()
    assert other.unknown(block(4, 4, 8, gate=True)) == model.unknown(block(4, 4, 8, gate=True))


@pytest.mark.parametrize(
    "change",
    [
        {"features": ["macs"]},
        {"coefficients": [1.0]},
        {"coefficients": [float("nan")] * (len(BLOCK_FEATURES) + 1)},
        {"coefficients": [-1.0] * (len(BLOCK_FEATURES) + 1)},
        {"coefficients": None},
        {"seen": []},
        {"corner_bytes": "wide"},
        {"corner_of": "city"},
    ],
)
def test_a_state_that_is_none(change: dict[str, object]) -> None:
    state = BlockRegressor().fit(MEASURED, [law(w) for w in MEASURED]).to_dict()
    with pytest.raises(ConfigError, match="fit it again"):
        BlockRegressor.from_dict({**state, **change})
    with pytest.raises(ConfigError, match="fit it again"):
        BlockRegressor.from_dict({})


def test_measurements_that_teach_nothing() -> None:
    with pytest.raises(ConfigError, match="40 blocks were given with 1 latencies"):
        BlockRegressor().fit(MEASURED, [1.0])
    with pytest.raises(ConfigError, match="3 measured blocks are too few"):
        BlockRegressor().fit(MEASURED[:3], [1.0] * 3)
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"the block 'k3 e6 .*' has the latency"):
            BlockRegressor().fit(MEASURED, [1.0, bad, *([1.0] * 38)])
    with pytest.raises(ConfigError, match="not fitted yet"):
        BlockRegressor().predict(MEASURED)
    with pytest.raises(ConfigError, match="not fitted yet"):
        BlockRegressor().to_dict()


# ---------------------------------------------------------------- public measurements


@pytest.fixture(scope="module")
def public() -> dict[str, list[FbnetBlock]]:
    """Blocks of FBNet's space by device, those whose figure stands on its own."""
    given = os.environ.get("EDGECOST_DATA")
    if not given:
        pytest.skip("EDGECOST_DATA is not set: it names the folder of measured public data")
    table = read_hwnasbench(Path(given))
    return {device: [x for x in table.of(device) if x.absolute] for device in table.devices}


def mape(predicted: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    return float(np.mean(np.abs(predicted / true - 1.0)))


@pytest.mark.parametrize(("device", "most"), [("raspi4", 0.14), ("pixel3", 0.07), ("eyeriss", 0.07), ("fpga", 0.04)])
def test_widths_left_out_of_public_tables(public: dict[str, list[FbnetBlock]], device: str, most: float) -> None:
    layers = public[device]
    workloads = [block(x.in_channels, x.out_channels, x.size, x.stride, x.kernel, x.expansion) for x in layers]
    true = np.array([x.latency_ms for x in layers])
    macs = np.array([[float(w.macs)] for w in workloads])
    ours, baseline = np.zeros(len(true)), np.zeros(len(true))
    for width in {x.in_channels for x in layers}:
        out = np.array([x.in_channels == width for x in layers])
        model = BlockRegressor().fit([w for w, o in zip(workloads, out, strict=True) if not o], true[~out])
        ours[out] = model.predict([w for w, o in zip(workloads, out, strict=True) if o])
        baseline[out] = macs[out] @ nonnegative_fit(macs[~out], true[~out], 1.0 / true[~out])
    assert mape(ours, true) < most
    assert mape(ours, true) < 0.5 * mape(baseline, true)
