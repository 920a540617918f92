"""Writing a .tflite file: tensors, constants and operators collected in order, then packed into one flatbuffer.

Knows the file format and nothing of workloads. The schema is the one that ships inside ai-edge-litert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ArtefactError

__all__ = ["FlatModel", "Quantization"]

_SCHEMA_VERSION = 3
_FILE_IDENTIFIER = b"TFL3"
_ALIGNMENT_BYTES = 16
_LAST_DEPRECATED_CODE = 127
"""Operator codes above this have no place in the 8-bit field that old readers look at."""

# Operator -> (table of its options, version for float32, version for int8), as in TensorFlow's op_version.cc.
# A runtime refuses a version newer than its own kernels, so each is the oldest that has what we use. All run on
# tflite-runtime 2.14 but FULLY_CONNECTED in int8: weights with one scale a channel came later.
_OPERATORS: dict[str, tuple[str, int, int]] = {
    "ADD": ("AddOptions", 1, 2),
    "AVERAGE_POOL_2D": ("Pool2DOptions", 1, 2),
    "BATCH_MATMUL": ("BatchMatMulOptions", 1, 4),
    "CONCATENATION": ("ConcatenationOptions", 1, 2),
    "CONV_2D": ("Conv2DOptions", 1, 3),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", 1, 3),
    "DIV": ("DivOptions", 1, 2),
    "ELU": ("", 1, 1),
    "EXP": ("ExpOptions", 1, 2),
    "FULLY_CONNECTED": ("FullyConnectedOptions", 1, 12),
    "GATHER": ("GatherOptions", 1, 2),
    "GELU": ("GeluOptions", 1, 2),
    "HARD_SWISH": ("HardSwishOptions", 1, 1),
    "LEAKY_RELU": ("LeakyReluOptions", 1, 2),
    "LOGISTIC": ("", 1, 2),
    "MAXIMUM": ("MaximumMinimumOptions", 1, 2),
    "MAX_POOL_2D": ("Pool2DOptions", 1, 2),
    "MEAN": ("ReducerOptions", 1, 2),
    "MINIMUM": ("MaximumMinimumOptions", 1, 2),
    "MUL": ("MulOptions", 1, 2),
    "PAD": ("PadOptions", 1, 2),
    "PADV2": ("PadV2Options", 1, 2),
    "QUANTIZE": ("QuantizeOptions", 1, 2),
    "RELU": ("", 1, 2),
    "RELU6": ("", 1, 2),
    "RESHAPE": ("ReshapeOptions", 1, 1),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", 1, 2),
    "RESIZE_NEAREST_NEIGHBOR": ("ResizeNearestNeighborOptions", 1, 2),
    "RSQRT": ("", 1, 2),
    "SOFTMAX": ("SoftmaxOptions", 1, 2),
    "SPLIT": ("SplitOptions", 1, 2),
    "SPLIT_V": ("SplitVOptions", 1, 2),
    "SQRT": ("", 1, 1),
    "SQUARED_DIFFERENCE": ("SquaredDifferenceOptions", 1, 2),
    "STRIDED_SLICE": ("StridedSliceOptions", 1, 2),
    "SUB": ("SubOptions", 1, 2),
    "TANH": ("", 1, 2),
    "TRANSPOSE": ("TransposeOptions", 1, 2),
}


@dataclass(frozen=True, slots=True)
class Quantization:
    """How integers stand for reals: real = scale * (stored - zero_point).

    Attributes:
        scales: one for the whole tensor, or one for every index along `axis`.
        zero_point: common to all scales.
        axis: the quantised dimension where there are several scales.
    """

    scales: tuple[float, ...]
    zero_point: int = 0
    axis: int = 0

    @property
    def scale(self) -> float:
        """The one scale of a per-tensor quantisation."""
        (scale,) = self.scales
        return scale


class FlatModel:
    """A model under construction: one subgraph, its buffers and its operator codes.

    Tensors are named by the integers that `tensor` and `constant` return; they need not be unique in name.

    Raises:
        ArtefactError: on construction, where the packages of the extra "litert" are missing.
    """

    def __init__(self, name: str = "") -> None:
        self._schema = _schema()
        self._name = name
        self._tensors: list[Any] = []
        self._dtypes: list[np.dtype[Any]] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[str, int], int] = {}
        # readers take buffer 0 to mean "no data"
        self._buffers: list[_Buffer] = [_Buffer(self._schema, None)]

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: type[np.generic],
        quantization: Quantization | None = None,
        buffer: int = 0,
    ) -> int:
        """Add a tensor that an operator, or the caller of the model, fills; returns its number."""
        tensor = self._schema.TensorT()
        tensor.name = name
        tensor.shape = np.asarray(shape, np.int32)
        tensor.type = getattr(self._schema.TensorType, np.dtype(dtype).name.upper())
        tensor.buffer = buffer
        tensor.hasRank = True
        if quantization is not None:
            tensor.quantization = self._quantization(quantization)
        self._tensors.append(tensor)
        self._dtypes.append(np.dtype(dtype))
        return len(self._tensors) - 1

    def constant(self, name: str, array: NDArray[Any], quantization: Quantization | None = None) -> int:
        """Add a tensor whose values are stored in the file; returns its number."""
        self._buffers.append(_Buffer(self._schema, array))
        return self.tensor(name, array.shape, array.dtype.type, quantization, len(self._buffers) - 1)

    def operator(
        self, kind: str, inputs: Sequence[int], outputs: Sequence[int], version: int = 1, **options: object
    ) -> None:
        """Append one operator.

        Args:
            kind: its name in the schema.
            inputs, outputs: numbers of tensors.
            version: the oldest kernel that has what the options ask for; the type of the output may raise it.
            options: fields of the schema's options of that kind.
        """
        table, float_version, int8_version = _OPERATORS[kind]
        version = max(version, int8_version if self._dtypes[outputs[0]] == np.int8 else float_version)
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault((kind, version), len(self._codes))
        operator.inputs = np.asarray(inputs, np.int32)
        operator.outputs = np.asarray(outputs, np.int32)
        if table:
            operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, table)
            operator.builtinOptions = getattr(self._schema, f"{table}T")()
            for name, value in options.items():
                if not hasattr(operator.builtinOptions, name):
                    raise ArtefactError(f"the .tflite schema has no field {name!r} in {table}")
                setattr(operator.builtinOptions, name, value)
        self._operators.append(operator)

    def pack(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file's bytes; equal models give equal bytes."""
        import flatbuffers

        graph = self._schema.SubGraphT()
        graph.name = "main"
        graph.tensors = self._tensors
        graph.operators = self._operators
        graph.inputs = np.asarray(inputs, np.int32)
        graph.outputs = np.asarray(outputs, np.int32)
        model = self._schema.ModelT()
        model.version = _SCHEMA_VERSION
        model.description = self._name
        model.operatorCodes = [self._code(kind, version) for kind, version in self._codes]
        model.subgraphs = [graph]
        model.buffers = self._buffers
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _code(self, kind: str, version: int) -> Any:
        code = self._schema.OperatorCodeT()
        code.builtinCode = getattr(self._schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, _LAST_DEPRECATED_CODE)
        code.version = version
        return code

    def _quantization(self, quantization: Quantization) -> Any:
        stored = self._schema.QuantizationParametersT()
        stored.scale = np.asarray(quantization.scales, np.float32)
        stored.zeroPoint = np.full(len(quantization.scales), quantization.zero_point, np.int64)
        stored.quantizedDimension = quantization.axis
        return stored


class _Buffer:
    """The schema's BufferT with aligned data: kernels read weights in place with vector instructions."""

    def __init__(self, schema: ModuleType, array: NDArray[Any] | None) -> None:
        self._schema = schema
        self._data = None if array is None else np.frombuffer(array.tobytes(), np.uint8)

    def Pack(self, builder: Any) -> int:  # noqa: N802 - the name that the schema's object interface calls
        """Write the buffer; returns its offset."""
        offset = None
        if self._data is not None:
            builder.Prep(_ALIGNMENT_BYTES, self._data.size)
            offset = builder.CreateNumpyVector(self._data)
        self._schema.BufferStart(builder)
        if offset is not None:
            self._schema.BufferAddData(builder, offset)
        return int(self._schema.BufferEnd(builder))


def _schema() -> ModuleType:
    try:
        import flatbuffers  # noqa: F401 - the schema needs it, and says so less clearly
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        missing = error.name or "ai-edge-litert"
        raise ArtefactError(f"writing .tflite files needs {missing}: pip install 'edgecost[litert]'") from None
    module: ModuleType = schema_py_generated
    return module
