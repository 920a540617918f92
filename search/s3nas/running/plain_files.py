"""Plain values and tensors as a file: a line with the hash of what follows, then what `torch.save` writes.

Nothing but plain values and tensors is read, and nothing at all of a file that is not whole. This module imports torch.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from profiler.errors import StorageError
from search.files import write_bytes

__all__ = ["read_plain", "write_plain"]


def write_plain(path: Path, kind: str, values: Mapping[str, Any]) -> None:
    """Write values over those of before, so that there is always a whole file.

    Args:
        path: where.
        kind: what the values are, with the number of their schema, on one line.
        values: numbers, texts, tensors, and lists, tuples and dicts of them.

    Raises:
        StorageError: where it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(dict(values), buffer)
    data = buffer.getvalue()
    write_bytes(path, _header(kind, data) + data)


def read_plain(path: Path, kind: str, remedy: str) -> dict[str, Any] | None:
    """What `write_plain` wrote, tensors on the CPU; None where there is no file.

    Args:
        path, kind: as there.
        remedy: what to do where the file is damaged, for the error.

    Raises:
        StorageError: where it cannot be read, is damaged or of another kind.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error
    header, _, data = raw.partition(b"\n")
    if header + b"\n" != _header(kind, data):
        raise StorageError(f"the checkpoint {path} is damaged or of another version: {remedy}")
    try:
        values = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        # what torch raises for a file that it does not trust is of a module that nothing here may import
        if not isinstance(error, RuntimeError | ValueError) and type(error).__name__ != "UnpicklingError":
            raise
        values = None
    if not isinstance(values, dict):  # somebody wrote the hash of something else
        raise StorageError(f"the checkpoint {path} is not one of a {kind.split(',')[0]}: {remedy}")
    return values


def _header(kind: str, data: bytes) -> bytes:
    return f"edgecost {kind}, sha256 {hashlib.sha256(data).hexdigest()}\n".encode()
