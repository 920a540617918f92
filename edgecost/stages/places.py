"""Where things lie by default: everything below the current folder, nothing hidden in a home."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from profiler.errors import StorageError

__all__ = [
    "artefact_cache",
    "check_writable",
    "data_folder",
    "fleet_root",
    "kernel_counts",
    "predictor_cache",
    "results_root",
    "wheel_cache",
]


def fleet_root() -> Path:
    """Keys, homes and status of the embedded fleet."""
    return Path(".edgecost") / "fleet"


def artefact_cache() -> Path:
    """Lowered models, content-addressed; safe to delete."""
    return Path(".edgecost") / "artefacts"


def kernel_counts() -> Path:
    """How often every network of a space runs which kernel; safe to delete."""
    return Path(".edgecost") / "kernel-counts"


def predictor_cache() -> Path:
    """Fitted predictors; safe to delete."""
    return Path(".edgecost") / "predictors"


def wheel_cache() -> Path:
    """Wheels for boards, content-addressed; safe to delete."""
    return Path(".edgecost") / "wheels"


def results_root() -> Path:
    """Runs, tables and reports."""
    return Path("results")


def data_folder() -> Path | None:
    """Public measured data named by EDGECOST_DATA, or None."""
    named = os.environ.get("EDGECOST_DATA", "")
    return Path(named) if named else None


def check_writable(path: Path) -> None:
    """Whether a file could be written there; nothing is left behind, and no folder is made.

    Raises:
        StorageError: it could not.
    """
    if path.is_dir():
        raise StorageError(f"cannot write {path}: it is a folder; name a file in it")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error} ({folder}); name another file") from None
