"""Workload -> a file that a board can run, made once and kept: content-addressed, with the output to expect of it."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from profiler.errors import ArtefactError, EdgeCostError, StorageError, UnsupportedOperator
from profiler.fleet.plugins import runtime_spec
from profiler.fleet.runtime_spec import Layout, RuntimeSpec
from profiler.fleet.targets import Precision, Runtime
from profiler.workloads.expected import Expected, expected_int8_output, expected_output
from profiler.workloads.graph import Workload
from profiler.workloads.ops import Shape

__all__ = ["LOWERING_VERSION", "Artefact", "ArtefactCache", "lower"]

LOWERING_VERSION = 3
"""Goes into the address of every artefact: a change of any lowering, of the seeded weights or inputs raises it."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file that a runtime loads.

    Attributes:
        path: where it is.
        sha256: of its bytes, in hexadecimal.
        format: of the file: its suffix.
        runtime, precision: what it was made for.
        workload_key: of the workload that it computes.
        inputs: shapes of its inputs, channel-first whatever the layout.
        layout: how the file itself has images laid out: "nchw" or "nhwc".
        expected: what it yields for `seeded_inputs(workload, seed=0)`.
    """

    path: Path
    sha256: str
    format: str
    runtime: Runtime
    precision: Precision
    workload_key: str
    inputs: tuple[Shape, ...]
    layout: Layout
    expected: Expected


def lower(workload: Workload, runtime: Runtime, precision: Precision) -> bytes:
    """The file that `runtime` loads, with seeded weights.

    Raises:
        ArtefactError: where the lowering fails.
        ConfigError: where there is no such runtime.
        UnsupportedOperator: where the runtime's format lacks an operator, or the runtime the precision.
    """
    spec = runtime_spec(runtime)
    if precision not in spec.precisions:
        known = " and ".join(f"{runtime} {there}" for there in spec.precisions)
        raise UnsupportedOperator(f"there is no lowering for {runtime} {precision}; there is one for {known}")
    if spec.agent_module is None:
        return spec.lower(workload, precision)
    try:
        data = spec.lower(workload, precision)
    except EdgeCostError:
        raise
    except Exception as error:  # a plug-in may call any vendor's compiler
        raise ArtefactError(f"{runtime} does not lower {_label(workload)} ({type(error).__name__}: {error})") from error
    if not isinstance(data, bytes) or not data:
        raise ArtefactError(f"{runtime} made no file of {_label(workload)}")
    return data


class ArtefactCache:
    """A folder of artefacts, each made the first time that it is asked for.

    Addressed by workload, seed, runtime, precision, `LOWERING_VERSION` and a plug-in's own version; entries whose bytes
    have changed are made anew. Several processes may share one folder. It is safe to delete at any time.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, workload: Workload, runtime: Runtime, precision: Precision) -> Artefact:
        """The artefact of a workload.

        Raises:
            ArtefactError: where the lowering fails.
            ConfigError: where there is no such runtime.
            StorageError: where the folder cannot be read or written.
            UnsupportedOperator: where the runtime cannot have this workload.
        """
        spec = runtime_spec(runtime)
        address = _address(workload, runtime, precision, *filter(None, [spec.version]))
        entry = self.root / address[:2] / f"{address}.json"
        try:
            found = self._read(entry, spec)
            if found is None:
                found = self._make(workload, runtime, precision, entry)
        except OSError as error:
            raise StorageError(
                f"the artefact folder {self.root} cannot be used ({error.strerror or error}); "
                "free space there or choose another"
            ) from error
        return found

    def find(self, workload: Workload, runtime: Runtime, precision: Precision) -> Artefact | None:
        """The artefact of a workload where it is made already; raises ConfigError and StorageError as `get`."""
        spec = runtime_spec(runtime)
        address = _address(workload, runtime, precision, *filter(None, [spec.version]))
        try:
            return self._read(self.root / address[:2] / f"{address}.json", spec)
        except OSError as error:
            raise StorageError(
                f"the artefact folder {self.root} cannot be used ({error.strerror or error}); "
                "mend its permissions or choose another"
            ) from error

    def _make(self, workload: Workload, runtime: Runtime, precision: Precision, entry: Path) -> Artefact:
        data = lower(workload, runtime, precision)
        spec = runtime_spec(runtime)
        digest = hashlib.sha256(data).hexdigest()
        artefact = Artefact(
            # named by its content, so that a second process that makes it at the same time takes nothing away
            path=entry.with_name(f"{digest}.{spec.suffix}"),
            sha256=digest,
            format=spec.suffix,
            runtime=runtime,
            precision=precision,
            workload_key=workload.key,
            inputs=tuple(workload.shapes[index][0] for index in workload.inputs),
            layout=spec.layout,
            expected=self._expected_of(workload, spec, precision, data),
        )
        entry.parent.mkdir(parents=True, exist_ok=True)
        # the description comes last: what is described is there
        _write(artefact.path, data)
        _write(entry, json.dumps({**asdict(artefact), "path": artefact.path.name}).encode())
        return artefact

    def _expected_of(self, workload: Workload, spec: RuntimeSpec, precision: Precision, data: bytes) -> Expected:
        if precision == "int8" and spec.int8_reference is not None:
            return expected_int8_output(workload, spec.name, data)
        return self._expected(workload)

    def _expected(self, workload: Workload) -> Expected:
        """The expected output in float32, shared by all runtimes of one workload."""
        address = _address(workload, "expected")
        path = self.root / address[:2] / f"{address}.expected.json"
        try:
            return _expected_from(json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            expected = expected_output(workload)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, json.dumps(asdict(expected)).encode())
        return expected

    def _read(self, entry: Path, spec: RuntimeSpec) -> Artefact | None:
        """An entry that is whole, or None."""
        try:
            raw = json.loads(entry.read_bytes())
            artefact = _artefact_from(raw, entry.parent, spec)
            data = artefact.path.read_bytes()
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return artefact if hashlib.sha256(data).hexdigest() == artefact.sha256 else None


def _label(workload: Workload) -> str:
    return f"workload {workload.name or workload.key}"


def _address(workload: Workload, *what: str) -> str:
    text = json.dumps([LOWERING_VERSION, workload.key, workload.seed, *what])
    return hashlib.sha256(text.encode()).hexdigest()


def _write(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _expected_from(raw: Mapping[str, Any]) -> Expected:
    return Expected(
        tuple(int(i) for i in raw["indices"]),
        tuple(float(v) for v in raw["values"]),
        float(raw["rms"]),
        int(raw["size"]),
    )


def _artefact_from(raw: Mapping[str, Any], folder: Path, spec: RuntimeSpec) -> Artefact:
    if (raw["runtime"], raw["format"]) != (spec.name, spec.suffix) or Path(raw["path"]).name != raw["path"]:
        raise ValueError("not an artefact's description")
    return Artefact(
        path=folder / raw["path"],
        sha256=str(raw["sha256"]),
        format=raw["format"],
        runtime=spec.name,
        precision=raw["precision"],
        workload_key=str(raw["workload_key"]),
        inputs=tuple(tuple(int(n) for n in shape) for shape in raw["inputs"]),
        layout=raw["layout"],
        expected=_expected_from(raw["expected"]),
    )
