"""Measuring a user's own ONNX file on a target: as it is where the runtime loads it, else lowered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecost.stages.measuring import measure_workload
from edgecost.stages.places import artefact_cache
from edgecost.stages.targets import find_target
from profiler.errors import UnsupportedOperator
from profiler.fleet.targets import Device

if TYPE_CHECKING:
    from profiler.measure.progress import Progress
    from profiler.tables.row import Row
    from profiler.workloads.importer import Imported
    from profiler.workloads.ops import Shape

__all__ = ["measure_file"]


def measure_file(
    devices: Sequence[Device],
    target: str,
    path: Path,
    read: Imported,
    input_shapes: Mapping[str, Shape],
    effort: str,
    results: Path,
    progress: Progress | None = None,
) -> tuple[Row, str]:
    """Measure an ONNX file end to end on a target.

    A float32 target that loads ONNX files gets the file as it is, with weights that lie beside it put in and given
    shapes set. Any other gets the workload that was read from it, lowered for that runtime and precision.

    Args:
        devices: among them the target's.
        target: a target or device id.
        path: the file.
        read: what was read from it.
        input_shapes: those that it was read with.
        effort: how long to measure.
        results: where the run goes.
        progress: is told what happens.

    Returns:
        the row of the whole model, and in words what was measured.

    Raises:
        UnsupportedOperator: where the file could not be read whole, since a measurement of it would be kept under the
            name of less than it is.
        ConfigError, DeviceError, MeasurementError: as `measure_workload`.
    """
    from profiler.fleet.plugins import runtime_spec
    from profiler.workloads.given import GivenFile
    from profiler.workloads.given_onnx import self_contained

    if read.unsupported:
        names = tuple(dict.fromkeys(u.op_type for u in read.unsupported))
        raise UnsupportedOperator(
            f"{path} is not measured, since it holds operators that edgecost does not know ({', '.join(names)}) and "
            "the figure would stand for the others alone; leave --measure out",
            names,
        )
    _, found = find_target(devices, target)
    if runtime_spec(found.runtime).suffix != "onnx" or found.precision != "fp32":
        row = measure_workload(devices, target, read.workload, effort, results, progress, "predict")
        return row, f"the file as lowered for {found.runtime} {found.precision}, with seeded weights"
    whole = self_contained(path, input_shapes, artefact_cache() / "given")
    given = GivenFile(whole, read.workload, "fp32")
    row = measure_workload(devices, target, read.workload, effort, results, progress, "file", given=given)
    return row, "the file itself" if whole == path else "the file with its weights inside and its shapes fixed"
