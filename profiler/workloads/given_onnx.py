"""A user's ONNX file as one file of fixed shapes, as a board has to get it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from profiler.measure.runfolder import write_atomically
from profiler.workloads.importer_load import load_model
from profiler.workloads.ops import Shape

__all__ = ["self_contained"]


def self_contained(path: Path, input_shapes: Mapping[str, Shape], folder: Path) -> Path:
    """The file itself where it is whole; else a copy with its weights inside and the given shapes set.

    Args:
        path: a file that `importer.read_onnx` reads with these shapes.
        input_shapes: as there.
        folder: where a copy goes, under a name made of its content.

    Raises:
        ConfigError: as `importer.read_onnx`.
        StorageError: where the copy cannot be written.
    """
    model, outside = load_model(path, input_shapes)
    if not input_shapes and not outside:
        return path
    data: bytes = model.SerializeToString()
    copy = folder / f"{hashlib.sha256(data).hexdigest()[:32]}.onnx"
    if not copy.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(copy, [data])
    return copy
