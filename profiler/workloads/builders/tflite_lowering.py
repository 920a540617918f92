"""The frame in which a Workload becomes .tflite operators: values, storage of numbers, fused activations.

The same operator handlers serve float32 and int8; what differs, how numbers are stored, is behind `Numbers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from profiler.errors import UnsupportedOperator
from profiler.workloads.builders.tflite_flatbuffer import FlatModel, Quantization
from profiler.workloads.builders.tflite_layouts import plain_ops, wants_plain
from profiler.workloads.graph import Op, Ref, Workload
from profiler.workloads.ops import Shape
from profiler.workloads.weights import Weights

__all__ = ["Float32Numbers", "Lowering", "Numbers", "StoredArray", "Value", "channel_last", "fused_activations"]

_MOST_AXES = 5
_TAKES_ACTIVATION = frozenset({"conv2d", "linear", "batch_norm", "add", "mul"})
_ACTIVATION_CODES = {"relu": 1, "relu6": 3}
"""ActivationFunctionType of the schema; 0 is none."""


@dataclass(frozen=True, slots=True)
class StoredArray:
    """A constant as it lies in the file.

    Attributes:
        array: float32, int8, or int32 for the bias of an int8 layer.
        quantization: None for float32.
    """

    array: NDArray[Any]
    quantization: Quantization | None


class Numbers(Protocol):
    """How the numbers of a model are stored."""

    @property
    def dtype(self) -> type[np.generic]:
        """The type of activations and weights."""

    def of(self, ref: Ref) -> Quantization | None:
        """How one tensor of the workload is stored."""

    def between(self, low: float, high: float) -> Quantization | None:
        """How a tensor that the workload does not know, with values from `low` to `high`, is stored."""

    def constant(self, array: NDArray[np.float32]) -> StoredArray:
        """A constant operand of an elementwise operator, as stored."""

    def layer(
        self, weight: NDArray[np.float32], bias: NDArray[np.float32], axis: int, source: Quantization | None
    ) -> tuple[StoredArray, StoredArray]:
        """Weight (output channels along `axis`) and bias of a layer that reads `source`, as stored."""


class Float32Numbers:
    """Everything as it is."""

    dtype: type[np.generic] = np.float32

    def of(self, ref: Ref) -> Quantization | None:
        """None: nothing is quantised."""
        return None

    def between(self, low: float, high: float) -> Quantization | None:
        """None: nothing is quantised."""
        return None

    def constant(self, array: NDArray[np.float32]) -> StoredArray:
        """The array itself."""
        return StoredArray(array.astype(np.float32), None)

    def layer(
        self, weight: NDArray[np.float32], bias: NDArray[np.float32], axis: int, source: Quantization | None
    ) -> tuple[StoredArray, StoredArray]:
        """The arrays themselves."""
        return self.constant(weight), self.constant(bias)


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the model under construction.

    Attributes:
        tensor: its number in the file.
        shape: channel-last.
        quantization: None for float32.
    """

    tensor: int
    shape: Shape
    quantization: Quantization | None


class Lowering:
    """One Workload on its way into one FlatModel.

    Attributes:
        workload, weights: simplified; the ops' numbers are those of this workload.
        numbers: float32 or int8.
        fused: producing op -> the activation op that becomes part of it.
    """

    def __init__(self, workload: Workload, weights: Weights, numbers: Numbers) -> None:
        for index, shapes in enumerate(workload.shapes):
            if any(len(shape) > _MOST_AXES for shape in shapes):
                kind = workload.ops[index].kind
                raise UnsupportedOperator(
                    f"op {index} ({kind}) makes shapes {shapes}; .tflite kernels know up to {_MOST_AXES} axes", (kind,)
                )
        self.workload = workload
        self.weights = weights
        self.numbers = numbers
        self.fused = fused_activations(workload)
        self._plain = plain_ops(workload)
        self._model = FlatModel(workload.name)
        self._values: dict[Ref, Value] = {}

    def op(self, index: int) -> Op:
        """The op of that number."""
        return self.workload.ops[index]

    def read(self, index: int) -> tuple[Value, ...]:
        """The values that op `index` reads, images channel-last; all others, and all of an op that wants them so, as
        they are."""
        wanted = wants_plain(self.op(index))
        plain = index in self._plain if wanted is None else wanted
        return tuple(self._held(ref, plain) for ref in self.op(index).inputs)

    def axis(self, index: int, axis: int) -> int:
        """Where an axis of the workload lies in what op `index` reads and makes."""
        image = index not in self._plain and len(self.workload.input_shapes_of(index)[0]) == 4
        return (0, 3, 1, 2)[axis] if image else axis

    def turn(self, index: int) -> None:
        """A transposition, in whatever way its input is held; none where that changes nothing."""
        (ref,), perm = self.op(index).inputs, self.op(index).ints("perm")
        source = self._values[ref] if ref in self._values else self._held(ref, plain=True)
        held = _held_axes(len(perm), ref[0] in self._plain)
        made = _held_axes(len(perm), index in self._plain)
        # place in the output -> axis of the output -> axis of the input -> place in the input
        turned = tuple(held.index(perm[axis]) for axis in made)
        if turned == tuple(range(len(turned))):
            self._values[(index, 0)] = source
            return
        self.emit("TRANSPOSE", [source, self.integers(turned)], [self.define((index, 0))])

    def _held(self, ref: Ref, plain: bool) -> Value:
        """A tensor as an image or as it is, turned where it is held the other way."""
        op, shape = self.op(ref[0]), self.workload.shape(ref)
        if op.kind == "constant":
            value = self.weights[ref[0]]["value"]
            held = value if plain or len(shape) != 4 else np.ascontiguousarray(value.transpose(0, 2, 3, 1))
            return self.store(self.numbers.constant(held), self._name(ref))
        found = self._values[ref]
        if len(shape) != 4 or (ref[0] in self._plain) == plain:
            return found
        perm = (0, 3, 1, 2) if plain else (0, 2, 3, 1)
        turned = self.scratch(tuple(found.shape[axis] for axis in perm), found.quantization, "turned")
        self.emit("TRANSPOSE", [found, self.integers(perm)], [turned])
        return turned

    def define(self, ref: Ref) -> Value:
        """A new tensor for the workload's `ref`, which later ops read."""
        shape = self.workload.shape(ref)
        shape = shape if ref[0] in self._plain else channel_last(shape)
        self._values[ref] = self.scratch(shape, self.numbers.of(ref), self._name(ref))
        return self._values[ref]

    def define_zeros(self, ref: Ref) -> None:
        """A constant of zeros for the workload's `ref`."""
        quantization = self.numbers.of(ref)
        stored_zero = quantization.zero_point if quantization else 0
        zeros = np.full(channel_last(self.workload.shape(ref)), stored_zero, self.numbers.dtype)
        self._values[ref] = self.store(StoredArray(zeros, quantization), self._name(ref))

    def result(self, index: int) -> Value:
        """A new tensor for the output of op `index`, or of the activation fused into it."""
        return self.define((self.fused.get(index, index), 0))

    def activation(self, index: int) -> int:
        """The schema's code of the activation fused into op `index`."""
        return _ACTIVATION_CODES[self.op(self.fused[index]).kind] if index in self.fused else 0

    def scratch(self, shape: Shape, quantization: Quantization | None, name: str = "between") -> Value:
        """A new tensor that the workload does not know; `shape` is channel-last."""
        return Value(self._model.tensor(name, shape, self.numbers.dtype, quantization), shape, quantization)

    def store(self, stored: StoredArray, name: str = "constant") -> Value:
        """A constant of the model."""
        tensor = self._model.constant(name, stored.array, stored.quantization)
        return Value(tensor, stored.array.shape, stored.quantization)

    def integers(self, values: Sequence[Any] | int) -> Value:
        """An int32 constant: axes, shapes, paddings."""
        return self.store(StoredArray(np.asarray(values, np.int32), None), "integers")

    def emit(
        self, kind: str, inputs: Sequence[Value], outputs: Sequence[Value], version: int = 1, **options: object
    ) -> None:
        """Append one operator of the file format, see `FlatModel.operator`."""
        self._model.operator(kind, [v.tensor for v in inputs], [v.tensor for v in outputs], version, **options)

    def _name(self, ref: Ref) -> str:
        op = self.op(ref[0])
        return f"{op.name or op.kind}:{ref[0]}.{ref[1]}"

    def pack(self) -> bytes:
        """The file; its inputs and outputs are those of the workload, in order."""
        inputs = [self._values[(index, 0)].tensor for index in self.workload.inputs]
        outputs: list[int] = []
        for ref in self.workload.outputs:
            value = self._held(ref, plain=False)
            if value.tensor in inputs or value.tensor in outputs:
                # an output has to be a tensor of its own
                original, value = value, self.scratch(value.shape, value.quantization, "copy")
                self.emit("RESHAPE", [original, self.integers(value.shape)], [value], newShape=list(value.shape))
            outputs.append(value.tensor)
        return self._model.pack(inputs, outputs)


def channel_last(shape: Shape) -> Shape:
    """(N, C, H, W) -> (N, H, W, C); any other stays."""
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def _held_axes(rank: int, plain: bool) -> tuple[int, ...]:
    """The axes of a tensor in the order in which they lie in the file."""
    return (0, 2, 3, 1) if rank == 4 and not plain else tuple(range(rank))


def fused_activations(workload: Workload) -> dict[int, int]:
    """Which relu and relu6 become part of the op before them: producer -> activation.

    As TensorFlow's converter does: only where nothing else sees the value in between.
    """
    leaving = {index for index, _ in workload.outputs}
    fused: dict[int, int] = {}
    for index, op in enumerate(workload.ops):
        if op.kind in _ACTIVATION_CODES:
            producer = op.inputs[0][0]
            alone = workload.users[producer] == (index,) and producer not in leaving
            if alone and workload.ops[producer].kind in _TAKES_ACTIVATION:
                fused[producer] = index
    return fused
