"""Writing a file into a folder that may not exist yet."""

from __future__ import annotations

from pathlib import Path

from profiler.errors import StorageError
from profiler.measure.runfolder import write_atomically

__all__ = ["write_file"]


def write_file(path: Path, data: bytes) -> None:
    """Write a whole file or nothing, making its folder.

    Raises:
        StorageError: the folder cannot be made or written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {path.parent}: {error.strerror}; name another one") from None
    write_atomically(path, [data])
