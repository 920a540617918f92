"""Which scales an int8 .tflite file stores its tensors on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from profiler.errors import ArtefactError
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.builders.tflite import build_tflite_int8
from profiler.workloads.builders.tflite_int8 import (
    CALIBRATION_SEEDS,
    Int8Numbers,
    calibrate,
    quantization_of_range,
    quantizations,
)
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.weights import seeded_inputs, seeded_weights

Shape = tuple[int, ...]
Make = Callable[..., Ref]
IMAGE = (1, 16, 14, 14)
INT32, INT8 = 2, 9


def graph(make: Make, *shapes: Shape) -> Workload:
    builder = WorkloadBuilder("case")
    return builder.build(make(builder, *(builder.input(shape) for shape in shapes)))


def mixed(b: WorkloadBuilder, x: Ref) -> Ref:
    """Convolutions of every sort, squeeze-and-excite, split and concat."""
    small, large = b.split(b.hswish(b.batch_norm(b.conv2d(x, 32))), (16, 16))
    h = b.concat(b.conv2d(small, 16, 3, groups=16), b.conv2d(large, 16, 5, groups=16))
    h = b.mul(h, b.hsigmoid(b.conv2d(b.global_avg_pool(h), 32, bias=True)))
    h = b.max_pool(b.avg_pool(b.add(x, b.conv2d(h, 16)), 3, 2, 1), 3, 2, 1)
    return b.linear(b.flatten(h), 10)


def parsed(data: bytes) -> tuple[Any, Any]:
    """The model and its one subgraph."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    (subgraph,) = model.subgraphs
    return model, subgraph


# ---------------------------------------------------------------- the file


def test_no_tensor_is_float() -> None:
    _, subgraph = parsed(build_tflite_int8(graph(mixed, IMAGE)))
    assert {tensor.type for tensor in subgraph.tensors} == {INT8, INT32}
    for number in (*subgraph.inputs, *subgraph.outputs):
        assert subgraph.tensors[number].type == INT8


@pytest.mark.parametrize(
    ("make", "shape", "axis"),
    [
        (lambda b, x: b.conv2d(x, 24, 3, bias=True), IMAGE, 0),
        (lambda b, x: b.conv2d(x, 24, 3, groups=4), IMAGE, 0),
        (lambda b, x: b.conv2d(x, 32, 3, groups=16), IMAGE, 3),
        (lambda b, x: b.linear(x, 10), (1, 64), 0),
    ],
)
def test_weights_have_a_scale_a_channel_and_bias_the_product(make: Make, shape: Shape, axis: int) -> None:
    model, subgraph = parsed(build_tflite_int8(graph(make, shape)))
    source, weight, bias = (subgraph.tensors[i] for i in subgraph.operators[0].inputs)
    assert weight.quantization.quantizedDimension == axis
    assert len(set(weight.quantization.scale.tolist())) == weight.shape[axis]
    assert not weight.quantization.zeroPoint.any()
    assert bias.type == INT32
    product = weight.quantization.scale * source.quantization.scale
    np.testing.assert_allclose(bias.quantization.scale, product, rtol=1e-6)
    stored = np.asarray(model.buffers[weight.buffer].data).view(np.int8).reshape(weight.shape).astype(int)
    others = tuple(a for a in range(stored.ndim) if a != axis)
    assert (np.abs(stored).max(axis=others) == 127).all()  # every channel uses its whole range, and -128 is not in it


# ---------------------------------------------------------------- which tensors share a scale


def stored_as(workload: Workload, highest: dict[Ref, float]) -> dict[Ref, Any]:
    """Quantisations where every tensor goes from 0 to the value given, 1 by default."""
    refs = [(i, port) for i, shapes in enumerate(workload.shapes) for port in range(len(shapes))]
    return quantizations(workload, {ref: (0.0, highest.get(ref, 1.0)) for ref in refs})


def test_pooling_split_and_flatten_keep_the_scale() -> None:
    b = WorkloadBuilder("moves")
    x = b.input(IMAGE)
    left, right = b.split(b.avg_pool(x, 2), (4, 12))
    outputs = (b.flatten(left), b.max_pool(right, 2))
    workload = b.build(*outputs)
    assert len({*stored_as(workload, {outputs[1]: 3.0}).values()}) == 1
    assert stored_as(workload, {outputs[1]: 3.0})[x] == quantization_of_range(0.0, 3.0)


def test_concat_widens_its_inputs_but_not_fixed_ones() -> None:
    b = WorkloadBuilder("joins")
    x = b.input(IMAGE)
    fixed, free = b.sigmoid(x), b.conv2d(x, 4)
    joined = b.concat(fixed, free)
    stored = stored_as(b.build(joined), {joined: 5.0})
    assert stored[free] == stored[joined] == quantization_of_range(0.0, 5.0)
    assert (stored[fixed].scale, stored[fixed].zero_point) == (1 / 256, -128)
    assert stored[x] == quantization_of_range(0.0, 1.0)


def test_concat_of_fixed_scales_takes_theirs() -> None:
    b = WorkloadBuilder("joins")
    x = b.input(IMAGE)
    first, second = b.sigmoid(x), b.avg_pool(b.sigmoid(x), 3, 1, 1)
    joined = b.concat(first, second)
    stored = stored_as(b.build(joined), {})
    assert stored[first] == stored[second] == stored[joined]


def test_an_input_of_concat_on_another_scale_is_requantised() -> None:
    _, subgraph = parsed(build_tflite_int8(graph(lambda b, x: b.concat(b.sigmoid(x), b.conv2d(x, 4)), IMAGE)))
    (join,) = [op for op in subgraph.operators if len(op.inputs) == 2]
    (out,) = join.outputs
    scales = {float(subgraph.tensors[i].quantization.scale[0]) for i in (*join.inputs, out)}
    assert len(scales) == 1


def test_the_value_before_a_fused_activation_is_not_stored() -> None:
    b = WorkloadBuilder("fused")
    inner = b.conv2d(b.input(IMAGE), 4)
    outer = b.relu(inner)
    stored = stored_as(b.build(outer), {inner: 100.0})
    assert inner not in stored
    assert stored[outer] == quantization_of_range(0.0, 1.0)


# ---------------------------------------------------------------- ranges


def test_ranges_hold_for_inputs_they_were_not_taken_from() -> None:
    """Few values say little of the next input's: without room beyond what was seen these clip."""
    assert 0 not in CALIBRATION_SEEDS
    workload = graph(lambda b, x: b.global_avg_pool(x), IMAGE)
    low, high = calibrate(workload, {})[workload.outputs[0]]
    for seed in range(100, 130):
        means = seeded_inputs(workload, seed)[0].mean(axis=(2, 3))
        assert low <= means.min()
        assert means.max() <= high


def test_ranges_do_not_cross_the_bounds_of_activations() -> None:
    workload = graph(lambda b, x: b.relu6(b.linear(x, 8)), (1, 8))
    weights = {1: {"weight": np.full((8, 8), 20.0, np.float32), "bias": np.zeros(8, np.float32)}}
    low, high = calibrate(workload, weights)[workload.outputs[0]]
    assert (low, high) == (0.0, 6.0)


def test_values_that_are_not_finite_have_no_range() -> None:
    workload = graph(lambda b, x: b.conv2d(x, 4, 3), IMAGE)
    weights = {i: {name: np.full_like(a, np.nan) for name, a in w.items()} for i, w in seeded_weights(workload).items()}
    with pytest.raises(ArtefactError, match=r"op 1 .*not finite"):
        build_tflite_int8(workload, weights)


@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 1.0), (0.0, 6.0), (0.5, 2.0), (-3.0, -1.0), (-0.375, 4.0), (-1e-3, 1e3), (0.0, 0.0)]
)
def test_256_steps_cover_a_range_and_zero(low: float, high: float) -> None:
    stored = quantization_of_range(low, high)
    lowest, highest = ((code - stored.zero_point) * stored.scale for code in (-128, 127))
    assert -128 <= stored.zero_point <= 127  # zero, with which borders are padded, is stored exactly
    assert lowest <= min(low, 0.0) + stored.scale / 2
    assert highest >= max(high, 0.0) - stored.scale / 2


def test_constants_keep_their_largest_value() -> None:
    stored = Int8Numbers({}).constant(np.asarray([0.1, -0.5, 0.25], np.float32))
    assert stored.quantization is not None
    assert stored.array.tolist() == [25, -127, 64]
    assert stored.array[1] * stored.quantization.scale == pytest.approx(-0.5)
