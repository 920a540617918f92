"""Full int8 for .tflite: which scale every tensor gets, and how weights and biases are rounded.

Activations are asymmetric with one scale a tensor, weights symmetric with one scale an output channel, biases
int32 on the product of both (https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ArtefactError
from profiler.workloads.builders.tflite_flatbuffer import Quantization
from profiler.workloads.builders.tflite_lowering import StoredArray, fused_activations
from profiler.workloads.calibration import Calibration, check_calibration, seeded_calibration
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.weights import Weights

__all__ = ["CALIBRATION_SEEDS", "Int8Numbers", "Range", "calibrate", "quantization_of_range", "quantizations"]

Range = tuple[float, float]
"""The lowest and the highest value that a tensor took."""

CALIBRATION_SEEDS = tuple(range(1, 9))
"""Seeds of the inputs from which ranges are taken; 0 is left out, since correctness is judged on it."""

_FEW_VALUES = 4096
_WIDE_SIGMAS = 4.0
"""Extremes of fewer values than that say little of the next input's, so four standard deviations are kept free."""

_LOW, _HIGH = -128, 127
_BIAS_LIMIT = 2**30
"""Half of what int32 holds: the accumulator needs room beside the bias."""

_KEEPS_SCALE = frozenset(
    {"avg_pool", "max_pool", "split", "flatten", "identity", "gather", "reshape", "slice", "transpose"}
)
"""Kinds whose kernels demand one scale for input and output, or only move bytes."""

_FIXED = {kind: Quantization((1 / 256,), -128) for kind in ("sigmoid", "softmax")}
"""Kinds whose kernels write on a scale of their own."""


def calibrate(workload: Workload, weights: Weights, calibration: Calibration | None = None) -> dict[Ref, Range]:
    """The range of every tensor of a simplified workload, found by running its ONNX lowering in float32.

    Args:
        workload, weights: simplified.
        calibration: the inputs that it is run on; by default those of `CALIBRATION_SEEDS`.

    Raises:
        ArtefactError: where values are not finite or the calibration does not fit.
    """
    from profiler.workloads.builders.onnx import build_onnx
    from profiler.workloads.host_onnxruntime import import_onnxruntime

    feeds = seeded_calibration(workload, CALIBRATION_SEEDS) if calibration is None else calibration
    check_calibration(workload, feeds)
    onnxruntime = import_onnxruntime()

    refs = [(index, port) for index in workload.compute_ops for port in range(len(workload.shapes[index]))]
    observed = Workload(workload.ops, tuple(refs), workload.name, workload.dtype, workload.seed)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # sums in one order, so that equal workloads give equal files
    session = onnxruntime.InferenceSession(build_onnx(observed, weights), options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    seen: dict[Ref, list[NDArray[np.float64]]] = {ref: [] for ref in refs}
    for inputs in feeds:
        arrays = session.run(None, dict(zip(names, inputs, strict=True)))
        for ref, array in zip(refs, arrays, strict=True):
            seen[ref].append(_summary(array))
    ranges = {(index, 0): _input_range(position, calibration) for position, index in enumerate(workload.inputs)}
    for ref, summaries in seen.items():
        op = workload.ops[ref[0]]
        if not np.isfinite(summaries).all():
            raise ArtefactError(
                f"op {ref[0]} ({op.name or op.kind}) makes values that are not finite, so int8 has no range for it; "
                "check the weights"
            )
        ranges[ref] = _range(np.stack(summaries), op.kind)
    return ranges


def _input_range(position: int, calibration: Calibration | None) -> Range:
    """The range of a graph input: of what was given, or of seeded inputs by their definition."""
    if calibration is None:
        return -1.0, 1.0
    given = [inputs[position] for inputs in calibration]
    return float(min(array.min() for array in given)), float(max(array.max() for array in given))


def _summary(array: NDArray[np.float32]) -> NDArray[np.float64]:
    """(size, lowest, highest, sum, sum of squares) of one tensor on one input."""
    flat = array.astype(np.float64).ravel()
    return np.asarray([flat.size, flat.min(), flat.max(), flat.sum(), flat @ flat])


def _range(summaries: NDArray[np.float64], kind: str) -> Range:
    """From the lowest to the highest value seen, further where few were seen; never across zero or relu6's bound."""
    low, high = float(summaries[:, 1].min()), float(summaries[:, 2].max())
    size, total, squares = (float(summaries[:, column].sum()) for column in (0, 3, 4))
    if size < _FEW_VALUES:
        mean = total / size
        reach = _WIDE_SIGMAS * max(squares / size - mean**2, 0.0) ** 0.5
        low = min(low, mean - reach) if low < 0 else low
        high = max(high, mean + reach) if high > 0 else high
    return low, min(high, 6.0) if kind == "relu6" else high


def quantization_of_range(low: float, high: float) -> Quantization:
    """256 steps from `low` to `high`, both widened to reach zero, which is stored exactly (padding relies on it)."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (_HIGH - _LOW) or 1.0
    return Quantization((float(np.float32(scale)),), int(np.clip(round(_LOW - low / scale), _LOW, _HIGH)))


def quantizations(workload: Workload, ranges: Mapping[Ref, Range]) -> dict[Ref, Quantization]:
    """The quantisation of every tensor; tensors that a kernel wants on one scale share it.

    Shared are input and output of pooling and of all that moves bytes, and the inputs of a concat with its output
    unless they come on a fixed scale (those have to be requantised).
    """
    groups = _Groups()
    inner = fused_activations(workload)  # their own values are never stored, only those of the activation
    for index, op in enumerate(workload.ops):
        if op.kind in _KEEPS_SCALE:
            for port in range(len(workload.shapes[index])):
                groups.join(op.inputs[0], (index, port))
    fixed = {groups.find((i, 0)): _FIXED[op.kind] for i, op in enumerate(workload.ops) if op.kind in _FIXED}
    for index, op in enumerate(workload.ops):
        if op.kind == "concat":
            free = [ref for ref in op.inputs if groups.find(ref) not in fixed]
            # where all are on a fixed scale it is the same one, and the output takes it over
            for ref in free or op.inputs:
                groups.join(ref, (index, 0))
    spans: dict[Ref, Range] = {}
    for ref, (low, high) in ranges.items():
        if ref[0] not in inner:
            root = groups.find(ref)
            known = spans.get(root, (0.0, 0.0))
            spans[root] = (min(known[0], low), max(known[1], high))
    by_root = {root: quantization_of_range(*span) for root, span in spans.items()} | fixed
    return {ref: by_root[groups.find(ref)] for ref in ranges if ref[0] not in inner}


class Int8Numbers:
    """Storage as full int8.

    Args:
        stored: the quantisation of every tensor of the workload, see `quantizations`.
    """

    dtype: type[np.generic] = np.int8

    def __init__(self, stored: Mapping[Ref, Quantization]) -> None:
        self._stored = stored

    def of(self, ref: Ref) -> Quantization:
        """How one tensor of the workload is stored."""
        return self._stored[ref]

    def between(self, low: float, high: float) -> Quantization:
        """How a tensor with values from `low` to `high` is stored."""
        return quantization_of_range(low, high)

    def constant(self, array: NDArray[np.float32]) -> StoredArray:
        """Symmetric, with one scale; the value furthest from zero is stored exactly."""
        scale = float(np.float32(np.abs(array).max() / _HIGH or 1.0))
        return _symmetric(array, np.asarray(scale), _HIGH, np.int8, 0)

    def layer(
        self, weight: NDArray[np.float32], bias: NDArray[np.float32], axis: int, source: Quantization | None
    ) -> tuple[StoredArray, StoredArray]:
        """Weight with one scale a channel along `axis`; bias as int32 on the scale of the products.

        A channel whose weights are tiny beside its bias gets a coarser scale, so that the bias fits.
        """
        assert source is not None, "an int8 layer reads int8"
        others = tuple(a for a in range(weight.ndim) if a != axis)
        scales = np.abs(weight).max(axis=others).astype(np.float64) / _HIGH
        scales = np.maximum(scales, np.abs(bias) / (source.scale * _BIAS_LIMIT))
        scales[scales == 0.0] = scales.max() or 1.0
        scales = scales.astype(np.float32).astype(np.float64)
        shape = [1] * weight.ndim
        shape[axis] = -1
        products = scales * source.scale
        return (
            _symmetric(weight, scales.reshape(shape), _HIGH, np.int8, axis),
            _symmetric(bias, products, 2 * _BIAS_LIMIT - 1, np.int32, 0),
        )


def _symmetric(
    values: NDArray[np.float32], scales: NDArray[np.float64], limit: int, dtype: type[np.integer], axis: int
) -> StoredArray:
    """Round to multiples of `scales`, which broadcast against `values`."""
    rounded = np.clip(np.rint(values / scales), -limit, limit).astype(dtype)
    return StoredArray(rounded, Quantization(tuple(scales.ravel().tolist()), 0, axis))


class _Groups:
    """Disjoint sets of tensors that share a quantisation."""

    def __init__(self) -> None:
        self._parent: dict[Ref, Ref] = {}

    def find(self, ref: Ref) -> Ref:
        """The representative of a tensor's set."""
        while ref in self._parent:
            ref = self._parent[ref]
        return ref

    def join(self, first: Ref, second: Ref) -> None:
        """Make one set of two; the first's representative stays."""
        kept, merged = self.find(first), self.find(second)
        if kept != merged:
            self._parent[merged] = kept
