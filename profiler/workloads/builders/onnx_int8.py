"""Workload -> int8 ONNX in QDQ form, by onnxruntime.quantization, calibrated on seeded inputs or on given ones."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ArtefactError
from profiler.workloads.builders.onnx import input_name, onnx_model
from profiler.workloads.calibration import Calibration, check_calibration, seeded_calibration
from profiler.workloads.graph import Workload
from profiler.workloads.weights import Weights

__all__ = ["CALIBRATION_SEEDS", "build_onnx_int8"]

CALIBRATION_SEEDS = tuple(range(8))
"""Of the inputs whose ranges decide the scales; 0 is also the input that boards are checked with."""

_ORT_WARNING, _ORT_ERROR = 2, 3  # severities of ONNX Runtime's logger; it starts at warning


def build_onnx_int8(
    workload: Workload, weights: Weights | None = None, calibration: Calibration | None = None
) -> bytes:
    """An int8 ONNX file: int8 weights per channel, uint8 activations, float inputs and outputs.

    Activations are unsigned because ONNX Runtime's x86 kernels multiply unsigned by signed, and because a ReLU then
    becomes the lower end of a range and costs nothing. All eight bits of the weights are used: on CPUs without VNNI
    the 16-bit sums of AVX2 can saturate, which the check of a board's outputs would show. Kinds that ONNX Runtime
    has no int8 kernel for run in float between a DequantizeLinear and a QuantizeLinear of their own. Every kind is
    quantised wherever it stands, so that alone in a chain it does what it does inside a network.

    Args:
        workload: what to lower.
        weights: its weights; by default the seeded ones.
        calibration: the inputs whose ranges decide the scales; by default those of `CALIBRATION_SEEDS`.

    Raises:
        ArtefactError: where the weights or the calibration do not fit, or quantisation fails.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    if calibration is None:
        calibration = seeded_calibration(workload, CALIBRATION_SEEDS)
    check_calibration(workload, calibration)
    # the quantiser narrows the range of what a ReLU reads, and overlooks that an output of the graph reads it too
    model = onnx_model(workload, weights, outputs_apart=True)
    # says that shapes and fusions were prepared; without it the quantiser warns
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory(prefix="edgecost-") as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        try:
            quantize_static(
                model,
                path,
                _reader(calibration),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                op_types_to_quantize=sorted({node.op_type for node in model.graph.node}),
                nodes_to_exclude=_left_in_float(model),
                extra_options={"ForceQuantizeNoInputCheck": True},
            )
        except (ValueError, RuntimeError, TypeError, KeyError, AttributeError) as error:
            raise ArtefactError(f"{workload.name or workload.key} cannot be quantised to int8 ONNX: {error}") from error
        return path.read_bytes()


def _left_in_float(model: Any) -> list[str]:
    """Nodes that the quantiser fails on: norms over several axes, whose scale it takes for a vector."""
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "LayerNormalization" and any(a.name == "axis" and a.i != -1 for a in node.attribute)
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's chatter (unused initializers, axes of batch norms) from the terminal, and undo that after.

    Its Python part writes through the root logger, which also installs a handler there when it has none.
    """
    from profiler.workloads.host_onnxruntime import import_onnxruntime

    onnxruntime = import_onnxruntime()
    root, disabled = logging.getLogger(), logging.root.manager.disable
    handlers = list(root.handlers)
    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(_ORT_ERROR)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(_ORT_WARNING)
        logging.disable(disabled)
        root.handlers[:] = handlers


def _reader(calibration: Calibration) -> object:
    """The sets of inputs, one after another, as the quantiser asks for them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the base class is untyped
        def __init__(self) -> None:
            self._feeds: Iterator[dict[str, NDArray[np.float32]]] = (
                {input_name(position): array for position, array in enumerate(inputs)} for inputs in calibration
            )

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self._feeds, None)

    return Reader()
