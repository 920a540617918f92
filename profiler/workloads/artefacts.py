"""Workload -> a file that a board can run, made once and kept: content-addressed, with the output to expect of it."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from profiler.errors import StorageError, UnsupportedOperator
from profiler.fleet.targets import Precision, Runtime
from profiler.workloads.expected import Expected, expected_int8_output, expected_output
from profiler.workloads.graph import Workload
from profiler.workloads.ops import Shape

__all__ = ["LOWERING_VERSION", "Artefact", "ArtefactCache", "Format", "Layout", "lower"]

LOWERING_VERSION = 3
"""Goes into the address of every artefact: a change of any lowering, of the seeded weights or inputs raises it."""

Format = Literal["onnx", "tflite", "torchscript"]
Layout = Literal["nchw", "nhwc"]


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file that a runtime loads.

    Attributes:
        path: where it is.
        sha256: of its bytes, in hexadecimal.
        format: of the file.
        runtime, precision: what it was made for.
        workload_key: of the workload that it computes.
        inputs: shapes of its inputs, channel-first whatever the layout.
        layout: how the file itself has images laid out: "nchw" or "nhwc".
        expected: what it yields for `seeded_inputs(workload, seed=0)`.
    """

    path: Path
    sha256: str
    format: Format
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
        UnsupportedOperator: where the runtime's format lacks an operator, or the pair of runtime and precision.
    """
    make = _LOWERINGS.get((runtime, precision))
    if make is None:
        known = ", ".join(f"{r} {p}" for r, p in _LOWERINGS)
        raise UnsupportedOperator(f"there is no lowering for {runtime} {precision}; there are {known}")
    return make(workload)


class ArtefactCache:
    """A folder of artefacts, each made the first time that it is asked for.

    Addressed by workload, seed, runtime, precision and `LOWERING_VERSION`; entries whose bytes have changed are made
    anew. Several processes may share one folder. It is safe to delete at any time.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, workload: Workload, runtime: Runtime, precision: Precision) -> Artefact:
        """The artefact of a workload.

        Raises:
            ArtefactError: where the lowering fails.
            StorageError: where the folder cannot be read or written.
            UnsupportedOperator: where the runtime cannot have this workload.
        """
        address = _address(workload, runtime, precision)
        entry = self.root / address[:2] / f"{address}.json"
        try:
            found = self._read(entry)
            if found is None:
                found = self._make(workload, runtime, precision, entry)
        except OSError as error:
            raise StorageError(
                f"the artefact folder {self.root} cannot be used ({error.strerror or error}); "
                "free space there or choose another"
            ) from error
        return found

    def _make(self, workload: Workload, runtime: Runtime, precision: Precision, entry: Path) -> Artefact:
        data = lower(workload, runtime, precision)
        form = _FORMATS[runtime]
        digest = hashlib.sha256(data).hexdigest()
        artefact = Artefact(
            # named by its content, so that a second process that makes it at the same time takes nothing away
            path=entry.with_name(f"{digest}.{form}"),
            sha256=digest,
            format=form,
            runtime=runtime,
            precision=precision,
            workload_key=workload.key,
            inputs=tuple(workload.shapes[index][0] for index in workload.inputs),
            layout="nhwc" if form == "tflite" else "nchw",
            expected=self._expected(workload) if precision == "fp32" else expected_int8_output(workload, runtime, data),
        )
        entry.parent.mkdir(parents=True, exist_ok=True)
        # the description comes last: what is described is there
        _write(artefact.path, data)
        _write(entry, json.dumps({**asdict(artefact), "path": artefact.path.name}).encode())
        return artefact

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

    def _read(self, entry: Path) -> Artefact | None:
        """An entry that is whole, or None."""
        try:
            raw = json.loads(entry.read_bytes())
            artefact = _artefact_from(raw, entry.parent)
            data = artefact.path.read_bytes()
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return artefact if hashlib.sha256(data).hexdigest() == artefact.sha256 else None


def _onnx_fp32(workload: Workload) -> bytes:
    from profiler.workloads.builders.onnx import build_onnx

    return build_onnx(workload)


def _onnx_int8(workload: Workload) -> bytes:
    from profiler.workloads.builders.onnx_int8 import build_onnx_int8

    return build_onnx_int8(workload)


def _tflite_fp32(workload: Workload) -> bytes:
    from profiler.workloads.builders.tflite import build_tflite

    return build_tflite(workload)


def _tflite_int8(workload: Workload) -> bytes:
    from profiler.workloads.builders.tflite import build_tflite_int8

    return build_tflite_int8(workload)


def _torchscript(workload: Workload) -> bytes:
    from profiler.workloads.builders.torch import build_torchscript

    return build_torchscript(workload)


_LOWERINGS: Mapping[tuple[str, str], Callable[[Workload], bytes]] = {
    ("onnxruntime", "fp32"): _onnx_fp32,
    ("onnxruntime", "int8"): _onnx_int8,
    ("litert", "fp32"): _tflite_fp32,
    ("litert", "int8"): _tflite_int8,
    ("torch", "fp32"): _torchscript,
}

_FORMATS: Mapping[Runtime, Format] = {"onnxruntime": "onnx", "litert": "tflite", "torch": "torchscript"}


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


def _artefact_from(raw: Mapping[str, Any], folder: Path) -> Artefact:
    if raw["format"] not in get_args(Format) or Path(raw["path"]).name != raw["path"]:
        raise ValueError("not an artefact's description")
    return Artefact(
        path=folder / raw["path"],
        sha256=str(raw["sha256"]),
        format=raw["format"],
        runtime=raw["runtime"],
        precision=raw["precision"],
        workload_key=str(raw["workload_key"]),
        inputs=tuple(tuple(int(n) for n in shape) for shape in raw["inputs"]),
        layout=raw["layout"],
        expected=_expected_from(raw["expected"]),
    )
