"""Runs artefacts on this machine, channel-first in and out, so that tests can compare them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Arrays = Sequence[NDArray[np.float32]]


def run_onnx(data: bytes, inputs: Arrays) -> list[NDArray[np.float32]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {f"input_{i}": x for i, x in enumerate(inputs)}))


def run_torchscript(data: bytes, inputs: Arrays) -> list[NDArray[np.float32]]:
    import warnings

    import torch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)
        outputs = torch.jit.load(io.BytesIO(data))(*(torch.from_numpy(x) for x in inputs))
    return [y.numpy() for y in (outputs if isinstance(outputs, tuple) else (outputs,))]


def run_tflite(data: bytes, inputs: Arrays) -> list[NDArray[np.float32]]:
    """Float or int8: quantised and dequantised by the file's own scales."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        value = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
        if detail["dtype"] == np.int8:
            scale, zero = detail["quantization"]
            value = np.clip(np.round(value / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(detail["index"], np.ascontiguousarray(value))
    interpreter.invoke()
    outputs = []
    for detail in interpreter.get_output_details():
        value = interpreter.get_tensor(detail["index"])
        if detail["dtype"] == np.int8:
            scale, zero = detail["quantization"]
            value = ((value.astype(np.float32) - zero) * scale).astype(np.float32)
        outputs.append(value.transpose(0, 3, 1, 2) if value.ndim == 4 else value)
    return outputs


def relative_error(reference: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Largest difference over the reference's root mean square; plain difference where that is zero."""
    assert reference.shape == other.shape
    difference = np.abs(reference.astype(np.float64) - other)
    rms = np.sqrt(np.mean(reference.astype(np.float64) ** 2))
    return float(difference.max() / (rms or 1.0))


def snr_db(reference: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Signal to noise in decibels; infinite where both are equal."""
    assert reference.shape == other.shape
    noise = np.mean((reference.astype(np.float64) - other) ** 2)
    signal = np.mean(reference.astype(np.float64) ** 2)
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal else float("-inf")
