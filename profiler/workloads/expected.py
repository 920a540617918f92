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

__all__ = [
    "SAMPLED_VALUES",
    "Expected",
    "expected_int8_output",
    "expected_of_file",
    "expected_output",
    "run_litert",
    "run_onnx",
]

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


def expected_of_file(workload: Workload, data: bytes, suffix: str) -> Expected:
    """Run a given file of the workload on this machine, with whatever weights it holds, and sample the first output.

    Args:
        workload: what the file computes.
        data: the file.
        suffix: "onnx" or "tflite".

    Raises:
        ArtefactError: for another suffix, where it cannot be run here, or its output is not finite.
    """
    runs = {"onnx": run_onnx, "tflite": run_litert}
    if suffix not in runs:
        raise ArtefactError(f"this machine runs .onnx and .tflite files, not .{suffix}")
    return _sample(runs[suffix](workload, data), workload)


def run_onnx(workload: Workload, data: bytes) -> NDArray[Any]:
    """The first output of an ONNX file for the seeded inputs."""
    from profiler.workloads.host_runners import onnx_runner

    return onnx_runner(data, _label(workload))(seeded_inputs(workload))


def run_litert(workload: Workload, data: bytes) -> NDArray[Any]:
    """The first output of a .tflite file for the seeded inputs: in real values, channel-first."""
    from profiler.workloads.host_runners import litert_runner

    return litert_runner(data, _label(workload))(seeded_inputs(workload))


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
