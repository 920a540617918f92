"""The .tflite lowering against the ONNX one, and what the file looks like inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from profiler.errors import ArtefactError, UnsupportedOperator
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.builders.tflite import build_tflite, build_tflite_int8
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.weights import Weights, seeded_inputs, seeded_weights
from search.spaces.nasbench201 import NasBench201

FP32_ERROR = 1e-4
INT8_SNR_DB = 25.0

Shape = tuple[int, ...]
Array = np.ndarray[Any, Any]
IMAGE = (1, 16, 14, 14)
ODD = (1, 16, 15, 15)
VECTOR = (2, 40)
BATCH = (3, 16, 6, 7)

# ---------------------------------------------------------------- running both


def onnx_outputs(workload: Workload, weights: Weights | None = None) -> list[Array]:
    import onnxruntime

    from profiler.workloads.builders.onnx import build_onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(build_onnx(workload, weights), options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    return list(session.run(None, dict(zip(names, seeded_inputs(workload), strict=True))))


def tflite_outputs(workload: Workload, model: bytes) -> list[Array]:
    """Through the default interpreter (XNNPACK), with values brought back to float32, channel-first."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), seeded_inputs(workload), strict=True):
        value = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
        if detail["dtype"] == np.int8:
            scale, zero = detail["quantization"]
            value = np.clip(np.rint(value / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    outputs = []
    for detail in interpreter.get_output_details():
        value = interpreter.get_tensor(detail["index"])
        if detail["dtype"] == np.int8:
            scale, zero = detail["quantization"]
            value = (value.astype(np.float32) - zero) * np.float32(scale)
        outputs.append(value.transpose(0, 3, 1, 2) if value.ndim == 4 else value)
    return outputs


def relative_error(got: Array, wanted: Array) -> float:
    return float(np.abs(got - wanted).max() / max(float(np.abs(wanted).max()), 1e-30))


def snr_db(got: Array, wanted: Array) -> float:
    noise = float(np.square(got.astype(np.float64) - wanted).sum())
    signal = float(np.square(wanted.astype(np.float64)).sum())
    return float("inf") if noise == 0.0 else 10 * float(np.log10(max(signal, 1e-30) / noise))


def check_fp32(workload: Workload) -> None:
    got, wanted = tflite_outputs(workload, build_tflite(workload)), onnx_outputs(workload)
    assert [g.shape for g in got] == [w.shape for w in wanted] == [workload.shape(r) for r in workload.outputs]
    assert max(map(relative_error, got, wanted)) <= FP32_ERROR


def check_int8(workload: Workload) -> None:
    got, wanted = tflite_outputs(workload, build_tflite_int8(workload)), onnx_outputs(workload)
    assert [g.shape for g in got] == [w.shape for w in wanted]
    assert min(map(snr_db, got, wanted)) >= INT8_SNR_DB


# ---------------------------------------------------------------- workloads


def graph(make: Callable[..., Ref | tuple[Ref, ...]], *shapes: Shape) -> Workload:
    """A workload of what `make(builder, *inputs)` returns: one tensor, or a tuple of them."""
    builder = WorkloadBuilder("case")
    made = make(builder, *(builder.input(shape) for shape in shapes))
    outputs = made if isinstance(made[0], tuple) else (made,)
    return builder.build(*outputs)  # type: ignore[arg-type]


def mbconv(b: WorkloadBuilder, x: Ref, c_in: int, c_out: int, kernel: int, stride: int, t: int, se: bool) -> Ref:
    c = c_in * t
    h = b.relu6(b.batch_norm(b.conv2d(x, c)))
    h = b.relu6(b.batch_norm(b.conv2d(h, c, kernel, stride=stride, padding=kernel // 2, groups=c)))
    if se:
        squeezed = b.relu(b.conv2d(b.global_avg_pool(h), c // 4, bias=True))
        h = b.mul(h, b.hsigmoid(b.conv2d(squeezed, c, bias=True)))
    h = b.batch_norm(b.conv2d(h, c_out))
    return b.add(x, h) if stride == 1 and c_in == c_out else h


def mixconv(b: WorkloadBuilder, x: Ref) -> Ref:
    h = b.hswish(b.batch_norm(b.conv2d(x, 96)))
    small, large = b.split(h, (48, 48))
    h = b.concat(b.conv2d(small, 48, 3, groups=48), b.conv2d(large, 48, 5, groups=48))
    return b.add(x, b.batch_norm(b.conv2d(b.hswish(b.batch_norm(h)), 16)))


def mobilenet_v2_like() -> Workload:
    b = WorkloadBuilder("mobilenet_v2_like")
    x, c = b.relu6(b.batch_norm(b.conv2d(b.input((1, 3, 64, 64)), 16, 3, stride=2, padding=1))), 16
    for t, width, repeats, stride in [(1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 3, 2), (6, 32, 3, 2), (6, 48, 2, 1)]:
        for i in range(repeats):
            x, c = mbconv(b, x, c, width, 3, stride if i == 0 else 1, t, se=False), width
    x = b.relu6(b.batch_norm(b.conv2d(x, 320)))
    return b.build(b.linear(b.flatten(b.global_avg_pool(x)), 100))


def nasbench201(text: str, cells_per_stage: int, channels: int) -> Workload:
    space = NasBench201()
    return space.workload(space.parse(text), cells_per_stage=cells_per_stage, channels=channels)


CELL = "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"

WINDOWS = {
    "conv 3x3": graph(lambda b, x: b.conv2d(x, 24, 3), IMAGE),
    "conv bias": graph(lambda b, x: b.conv2d(x, 24, 3, bias=True), IMAGE),
    "conv 1x1": graph(lambda b, x: b.conv2d(x, 24), IMAGE),
    "conv batch": graph(lambda b, x: b.conv2d(x, 24, 3), BATCH),
    "conv stride 2": graph(lambda b, x: b.conv2d(x, 24, 3, stride=2, padding=1), IMAGE),
    "conv stride 2, odd size": graph(lambda b, x: b.conv2d(x, 24, 3, stride=2, padding=1), ODD),
    "conv 1x1 stride 2": graph(lambda b, x: b.conv2d(x, 24, stride=2, padding=0), IMAGE),
    "conv asymmetric": graph(lambda b, x: b.conv2d(x, 24, (3, 5), stride=(1, 2), padding=(0, 1, 2, 3)), IMAGE),
    "conv even kernel": graph(lambda b, x: b.conv2d(x, 24, 4, stride=2, padding=1), IMAGE),
    "conv dilated": graph(lambda b, x: b.conv2d(x, 24, 3, dilation=2), IMAGE),
    "conv one channel": graph(lambda b, x: b.conv2d(x, 8, 3), (1, 1, 9, 9)),
    "grouped": graph(lambda b, x: b.conv2d(x, 32, 3, groups=4), IMAGE),
    "grouped stride 2": graph(lambda b, x: b.conv2d(x, 8, stride=2, padding=0, groups=2), IMAGE),
    "depthwise": graph(lambda b, x: b.conv2d(x, 16, 3, groups=16), IMAGE),
    "depthwise stride 2": graph(lambda b, x: b.conv2d(x, 16, 5, stride=2, padding=2, groups=16), IMAGE),
    "depthwise strides": graph(lambda b, x: b.conv2d(x, 16, 3, stride=(1, 2), padding=1, groups=16), IMAGE),
    "depthwise multiplier": graph(lambda b, x: b.conv2d(x, 32, 3, groups=16), IMAGE),
    "depthwise dilated": graph(lambda b, x: b.conv2d(x, 16, 3, dilation=2, groups=16), IMAGE),
    "avg_pool": graph(lambda b, x: b.avg_pool(x, 2), IMAGE),
    "avg_pool same": graph(lambda b, x: b.avg_pool(x, 3, 1, 1), IMAGE),
    "avg_pool counting padding": graph(lambda b, x: b.avg_pool(x, 3, 1, 1, count_include_pad=True), IMAGE),
    "avg_pool stride 2": graph(lambda b, x: b.avg_pool(x, 3, 2, 1), IMAGE),
    "avg_pool stride 2, odd size": graph(lambda b, x: b.avg_pool(x, 3, 2, 1), ODD),
    "max_pool": graph(lambda b, x: b.max_pool(x, 2), IMAGE),
    "max_pool same": graph(lambda b, x: b.max_pool(x, 3, 1, 1), IMAGE),
    "max_pool stride 2": graph(lambda b, x: b.max_pool(x, 3, 2, 1), IMAGE),
    "max_pool of negatives": graph(lambda b, x: b.max_pool(b.conv2d(x, 4, bias=True), 3, 2, 1), BATCH),
}
KINDS = ("relu", "relu6", "hswish", "hsigmoid", "sigmoid", "identity", "zero", "softmax", "flatten", "batch_norm")
PLAIN = {
    f"{kind} {name}": graph(lambda b, x, kind=kind: getattr(b, kind)(x), shape)
    for kind in KINDS
    for name, shape in (("image", IMAGE), ("vector", VECTOR), ("batch", BATCH))
}
OTHERS = {
    "linear": graph(lambda b, x: b.linear(x, 10), (1, 64)),
    "linear without bias": graph(lambda b, x: b.linear(x, 10, bias=False), (3, 64)),
    "global_avg_pool": graph(lambda b, x: b.global_avg_pool(x), IMAGE),
    "add": graph(lambda b, x, y: b.add(x, y), IMAGE, IMAGE),
    "add itself": graph(lambda b, x: b.add(x, x), IMAGE),
    "add broadcast": graph(lambda b, x, y: b.add(x, y), (2, 16, 1, 7), (1, 1, 5, 1)),
    "mul": graph(lambda b, x, y: b.mul(x, y), IMAGE, IMAGE),
    "mul by channel": graph(lambda b, x, y: b.mul(x, y), IMAGE, (1, 16, 1, 1)),
    "concat": graph(lambda b, x, y: b.concat(x, y, x), IMAGE, (1, 8, 14, 14)),
    "concat vectors": graph(lambda b, x, y: b.concat(x, y), (2, 5), (2, 3)),
    "concat of scales": graph(
        lambda b, x: b.concat(b.sigmoid(x), b.conv2d(x, 8), b.avg_pool(b.sigmoid(x), 3, 1, 1)), IMAGE
    ),
    "concat of sigmoids": graph(lambda b, x: b.concat(b.sigmoid(x), b.sigmoid(b.conv2d(x, 8))), IMAGE),
    "concat with zeros": graph(lambda b, x: b.concat(x, b.zero(x)), IMAGE),
    "split equal": graph(lambda b, x: b.split(x, (8, 8)), IMAGE),
    "split unequal": graph(lambda b, x: b.split(x, (4, 5, 7)), IMAGE),
    "split vectors": graph(lambda b, x: b.split(x, (10, 30)), VECTOR),
    "relu behind add": graph(lambda b, x, y: b.relu(b.add(x, y)), IMAGE, IMAGE),
    "relu6 behind mul": graph(lambda b, x, y: b.relu6(b.mul(x, y)), IMAGE, IMAGE),
    "relu behind vector norm": graph(lambda b, x: b.relu(b.batch_norm(x)), VECTOR),
    "flatten, linear": graph(lambda b, x: b.linear(b.flatten(x), 10), IMAGE),
    "classifier": graph(lambda b, x: b.softmax(b.linear(b.flatten(b.global_avg_pool(x)), 10)), IMAGE),
    "tensor seen twice": graph(lambda b, x: ((y := b.conv2d(x, 4)), b.relu(y)), IMAGE),
    "output named twice": graph(lambda b, x: ((y := b.relu(x)), y), IMAGE),
    "input as output": graph(lambda b, x: (b.identity(x), b.conv2d(x, 4)), IMAGE),
    "unused input": graph(lambda b, x, y: b.relu(x), IMAGE, VECTOR),
}
BLOCKS = {
    "MBConv": graph(lambda b, x: mbconv(b, x, 16, 16, 3, 1, 6, se=False), IMAGE),
    "MBConv stride 2": graph(lambda b, x: mbconv(b, x, 16, 24, 5, 2, 6, se=False), IMAGE),
    "MBConv squeeze-excite": graph(lambda b, x: mbconv(b, x, 16, 16, 3, 1, 6, se=True), IMAGE),
    "MixConv": graph(mixconv, IMAGE),
    "NB201 cells": nasbench201(CELL, 1, 8),
    "NB201 pooling": nasbench201(
        "|avg_pool_3x3~0|+|avg_pool_3x3~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|", 1, 8
    ),
    "NB201": nasbench201(CELL, 5, 16),
    "MobileNetV2-like": mobilenet_v2_like(),
}
CASES = WINDOWS | PLAIN | OTHERS | BLOCKS


@pytest.mark.parametrize("name", CASES)
def test_fp32_agrees_with_onnx(name: str) -> None:
    check_fp32(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_int8_agrees_with_fp32(name: str) -> None:
    check_int8(CASES[name])


def test_windows_of_random_geometry() -> None:
    rng = np.random.default_rng(0)
    for trial in range(60):
        kernel, stride = tuple(map(int, rng.integers(1, 6, 2))), tuple(map(int, rng.integers(1, 4, 2)))
        pad = tuple(int(rng.integers(0, k // 2 + 1)) for k in (*kernel, *kernel))
        shape = (1, 4, int(rng.integers(8, 14)), int(rng.integers(8, 14)))
        window = {"kernel": kernel, "stride": stride, "padding": pad}
        b = WorkloadBuilder(f"trial {trial}")
        x = b.input(shape)
        if max(pad[2] - pad[0], pad[3] - pad[1]) <= 0:  # ONNX Runtime's pools know no ragged padding
            outputs = [b.op("max_pool", x, **window), b.op("avg_pool", x, count_include_pad=False, **window)]
        else:
            outputs = [x]
        groups = int(rng.choice([1, 2, 4]))
        dilation = (1, 1) if max(stride) > 1 else (int(rng.integers(1, 3)), 1)
        conv = b.op("conv2d", x, out_channels=8, dilation=dilation, groups=groups, bias=True, **window)
        check_fp32(b.build(*(b.relu(y) for y in (conv, *outputs))))


def test_other_weights_are_noticed() -> None:
    """The comparison itself can fail: the same graph with weights of another seed is far off."""
    workload = CASES["conv 3x3"]
    other = seeded_weights(Workload(workload.ops, workload.outputs, seed=1))
    (got,), (wanted,) = tflite_outputs(workload, build_tflite_int8(workload, other)), onnx_outputs(workload)
    assert snr_db(got, wanted) < 5.0
    (agreeing,) = onnx_outputs(workload, other)
    assert snr_db(got, agreeing) >= INT8_SNR_DB


# ---------------------------------------------------------------- numbers at the edges


def _conv_with(change: Callable[[Array, Array], None]) -> tuple[Workload, Weights]:
    workload = graph(lambda b, x: b.conv2d(x, 6, 3, bias=True), IMAGE)
    weights = {i: {name: array.copy() for name, array in w.items()} for i, w in seeded_weights(workload).items()}
    change(weights[1]["weight"], weights[1]["bias"])
    return workload, weights


def _zero_channel(weight: Array, bias: Array) -> None:
    weight[2] = 0.0


def _zero_weights(weight: Array, bias: Array) -> None:
    weight[:] = 0.0


def _bias_beside_tiny_weights(weight: Array, bias: Array) -> None:
    weight[3] *= 1e-12
    bias[3] = 2.0


def _uneven_channels(weight: Array, bias: Array) -> None:
    weight *= np.geomspace(1e-2, 1.0, len(weight), dtype=np.float32).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("change", [_zero_channel, _zero_weights, _bias_beside_tiny_weights, _uneven_channels])
def test_int8_holds_for_unusual_weights(change: Callable[[Array, Array], None]) -> None:
    workload, weights = _conv_with(change)
    (got,), (wanted,) = tflite_outputs(workload, build_tflite_int8(workload, weights)), onnx_outputs(workload, weights)
    assert snr_db(got, wanted) >= INT8_SNR_DB


# ---------------------------------------------------------------- refusals


def test_ranks_without_a_layout_are_refused() -> None:
    workload = graph(lambda b, x: b.relu(x), (1, 4, 5, 2, 2, 2))
    with pytest.raises(UnsupportedOperator, match="up to 5 axes") as caught:
        build_tflite(workload)
    assert caught.value.operators == ("input",)


def test_an_operator_without_lowering_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from profiler.workloads.builders import tflite_ops

    monkeypatch.delitem(tflite_ops.HANDLERS, "hswish")
    with pytest.raises(UnsupportedOperator, match="hswish") as caught:
        build_tflite(CASES["MixConv"])
    assert caught.value.operators == ("hswish",)


@pytest.mark.parametrize("build", [build_tflite, build_tflite_int8])
def test_weights_that_do_not_fit_are_refused(build: Callable[..., bytes]) -> None:
    with pytest.raises(ArtefactError):
        build(CASES["conv 3x3"], {})
