"""Lowered files run on this machine: loaded once, then asked as often as wanted; channel-first and in real values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ArtefactError
from profiler.workloads.host_onnxruntime import import_onnxruntime

__all__ = ["Runner", "litert_runner", "onnx_runner"]

Runner = Callable[[Sequence[NDArray[np.float32]]], NDArray[Any]]
"""The inputs in the order of the workload's -> the first output."""


def onnx_runner(data: bytes, what: str) -> Runner:
    """An ONNX file in ONNX Runtime, with one thread.

    Args:
        data: the file.
        what: names it in errors.

    Raises:
        ArtefactError: where it cannot be loaded here; the runner raises it where the file does not run.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the sum's order, and so the last bits, must not depend on the host's cores
    options.log_severity_level = 3

    def guarded(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            # onnxruntime's exceptions share no base class of their own
            if not type(error).__module__.startswith("onnxruntime"):
                raise
            raise ArtefactError(f"{what} does not run in ONNX Runtime on this machine: {error}") from error

    session = guarded(lambda: onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]))

    names = [value.name for value in session.get_inputs()]  # a file that was given has names of its own

    def run(inputs: Sequence[NDArray[np.float32]]) -> NDArray[Any]:
        feeds = dict(zip(names, inputs, strict=True))
        return np.asarray(guarded(lambda: session.run(None, feeds))[0])

    return run


def litert_runner(data: bytes, what: str) -> Runner:
    """A .tflite file, float32 or full int8, in LiteRT, with one thread; int8 goes through the file's own scales.

    Args:
        data: the file.
        what: names it in errors.

    Raises:
        ArtefactError: where it cannot be loaded here; the runner raises it where the file does not run.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ArtefactError(f"{what} does not load in LiteRT on this machine: {error}") from error
    details = interpreter.get_input_details()
    output = interpreter.get_output_details()[0]

    def run(inputs: Sequence[NDArray[np.float32]]) -> NDArray[Any]:
        try:
            for detail, array in zip(details, inputs, strict=True):
                interpreter.set_tensor(detail["index"], _stored(array, detail))
            interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise ArtefactError(f"{what} does not run in LiteRT on this machine: {error}") from error
        real = _real(interpreter.get_tensor(output["index"]), output)
        return real.transpose(0, 3, 1, 2) if real.ndim == 4 else real

    return run


def _stored(array: NDArray[np.float32], detail: dict[str, Any]) -> NDArray[Any]:
    """A channel-first array as an input tensor holds it."""
    value = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
    if detail["dtype"] == np.int8:
        scale, zero_point = detail["quantization"]
        value = np.clip(np.rint(value / scale) + zero_point, -128, 127).astype(np.int8)
    return np.ascontiguousarray(value)


def _real(stored: NDArray[Any], detail: dict[str, Any]) -> NDArray[Any]:
    """An output tensor in real values."""
    if detail["dtype"] != np.int8:
        return stored
    scale, zero_point = detail["quantization"]
    real: NDArray[Any] = (stored.astype(np.float64) - zero_point) * scale
    return real
