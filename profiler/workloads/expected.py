"""What a correct run of an artefact yields, found on the host: what boards are held against.

Float32 artefacts are held against the float32 ONNX lowering, whatever runtime they are for. Full int8 ones are held
against the same file run by the same runtime here: the rounding of a long stretch of int8 kernels adds up, and how
much of it is right is what the host's own run says. That int8 is near float32 is for the builders' tests. Only where
this machine cannot run a plug-in's int8 file is that held against float32, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ArtefactError
from profiler.fleet.plugins import runtime_spec
from profiler.fleet.targets import Runtime
from profiler.workloads.graph import Workload
from profiler.workloads.weights import seeded_inputs

__all__ = ["SAMPLED_VALUES", "Expected", "expected_int8_output", "expected_output", "run_litert", "run_onnx"]

SAMPLED_VALUES = 64
"""How many values of the output are kept to compare a board's with, at most."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A sample of an artefact's first output for `seeded_inputs(workload, seed=0)`.

    Attributes:
        indices: positions in the output, flattened channel-first.
        values: the values there, in the same order.
        rms: root mean square of the whole output, which errors are relative to (0 for an output of zeros).
        size: number of values of the whole output.
    """

    indices: tuple[int, ...]
    values: tuple[float, ...]
    rms: float
    size: int


def expected_output(workload: Workload) -> Expected:
    """Run the float32 ONNX lowering on this machine and sample the first output.

    Raises:
        ArtefactError: where it cannot be run or its output holds anything but finite numbers.
    """
    from profiler.workloads.builders.onnx import build_onnx

    return _sample(run_onnx(workload, build_onnx(workload)), workload)


def expected_int8_output(workload: Workload, runtime: Runtime, data: bytes) -> Expected:
    """Run a full int8 file on this machine by its own runtime and sample the first output, in real values.

    Raises:
        ArtefactError: where it cannot be run here.
        ConfigError: where there is no such runtime.
    """
    run = runtime_spec(runtime).int8_reference
    if run is None:
        raise ArtefactError(f"{runtime} says of no int8 file what it yields, so {_label(workload)} has no reference")
    return _sample(run(workload, data), workload)


def run_onnx(workload: Workload, data: bytes) -> NDArray[Any]:
    """The first output of an ONNX file for the seeded inputs."""
    from profiler.workloads.builders.onnx import input_name
    from profiler.workloads.host_onnxruntime import import_onnxruntime

    onnxruntime = import_onnxruntime()

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the sum's order, and so the last bits, must not depend on the host's cores
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        feeds = {input_name(position): array for position, array in enumerate(seeded_inputs(workload))}
        return np.asarray(session.run(None, feeds)[0])
    except Exception as error:
        # onnxruntime's exceptions share no base class of their own
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        raise ArtefactError(f"{_label(workload)} does not run in ONNX Runtime on this machine: {error}") from error


def run_litert(workload: Workload, data: bytes) -> NDArray[Any]:
    """The first output of a full int8 .tflite file for the seeded inputs: in real values, channel-first."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
        for detail, array in zip(interpreter.get_input_details(), seeded_inputs(workload), strict=True):
            scale, zero_point = detail["quantization"]
            value = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
            stored = np.clip(np.rint(value / scale) + zero_point, -128, 127).astype(np.int8)
            interpreter.set_tensor(detail["index"], np.ascontiguousarray(stored))
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        raise ArtefactError(f"{_label(workload)} does not run in LiteRT on this machine: {error}") from error
    detail = interpreter.get_output_details()[0]
    scale, zero_point = detail["quantization"]
    real: NDArray[Any] = (interpreter.get_tensor(detail["index"]).astype(np.float64) - zero_point) * scale
    return real.transpose(0, 3, 1, 2) if real.ndim == 4 else real


def _sample(output: NDArray[Any], workload: Workload) -> Expected:
    flat = np.asarray(output, np.float64).reshape(-1)
    if not np.isfinite(flat).all():
        raise ArtefactError(f"{_label(workload)} yields values that are not finite; its seed or its weights are unfit")
    chosen = np.random.default_rng(flat.size).choice(flat.size, min(SAMPLED_VALUES, flat.size), replace=False)
    chosen.sort()
    return Expected(
        tuple(int(i) for i in chosen),
        tuple(float(v) for v in flat[chosen]),
        float(np.sqrt(np.mean(flat**2))),
        int(flat.size),
    )


def _label(workload: Workload) -> str:
    return f"workload {workload.name or workload.key}"
