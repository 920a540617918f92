"""A given file, such as one with trained weights, as an artefact, so that a campaign measures that very file.

    Campaign(connect, GivenFile(Path("final-int8.onnx"), workload, "int8"), results, config)

Elsewhere workloads are measured with seeded weights: times do not depend on the numbers, denormal ones excepted. This
is for whoever wants to see that, or the file's own output checked on the board.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

from profiler.errors import ArtefactError, ConfigError
from profiler.fleet.plugins import runtime_spec
from profiler.fleet.targets import Precision, Runtime
from profiler.workloads.artefacts import Artefact
from profiler.workloads.expected import expected_of_file
from profiler.workloads.graph import Workload

__all__ = ["GivenFile", "GivenFirst"]


class Source(Protocol):
    """Where campaigns get artefacts from."""

    def get(self, workload: Workload, runtime: Runtime, precision: Precision) -> Artefact:
        """The artefact of a workload for a runtime."""


class GivenFirst:
    """The given file for its own workload, and another source for what a campaign needs besides.

    Args:
        given: the file.
        others: where everything else comes from.
    """

    def __init__(self, given: GivenFile, others: Source) -> None:
        self._given, self._others = given, others

    def get(self, workload: Workload, runtime: Runtime, precision: Precision) -> Artefact:
        """The artefact of a workload for a runtime; raises what the source that has it raises."""
        source: Source = self._given if workload.key == self._given.workload_key else self._others
        return source.get(workload, runtime, precision)


class GivenFile:
    """A source of artefacts that has one file.

    What a board must reproduce is what the file itself yields on this machine for `seeded_inputs(workload, seed=0)`.

    Args:
        path: an .onnx or .tflite file.
        workload: what it computes, with whatever weights; its inputs and outputs are those of the lowered workload.
        precision: of the file.

    Raises:
        ConfigError: where the file cannot be read.
    """

    def __init__(self, path: Path, workload: Workload, precision: Precision) -> None:
        try:
            self._data = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
        self._path, self._workload, self._precision = path, workload, precision

    @property
    def workload_key(self) -> str:
        """The key of what the file computes."""
        return self._workload.key

    def get(self, workload: Workload, runtime: Runtime, precision: Precision) -> Artefact:
        """The file, for the workload and precision that it is of and a runtime that loads its format.

        Raises:
            ArtefactError: for others, or where the file does not run on this machine.
            ConfigError: where there is no such runtime.
        """
        spec = runtime_spec(runtime)
        if (workload.key, precision) != (self._workload.key, self._precision) or self._path.suffix != f".{spec.suffix}":
            raise ArtefactError(
                f"{self._path} is {self._workload.name or self._workload.key} in {self._precision}; it cannot be "
                f"measured as {workload.name or workload.key} in {precision} by {runtime}, which loads .{spec.suffix} "
                "files"
            )
        return Artefact(
            path=self._path,
            sha256=hashlib.sha256(self._data).hexdigest(),
            format=spec.suffix,
            runtime=runtime,
            precision=precision,
            workload_key=workload.key,
            inputs=tuple(workload.shapes[index][0] for index in workload.inputs),
            layout=spec.layout,
            expected=expected_of_file(workload, self._data, spec.suffix),
        )
