"""Where things lie by default: everything below the current folder, nothing hidden in a home."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["artefact_cache", "data_folder", "fleet_root", "results_root", "wheel_cache"]


def fleet_root() -> Path:
    """Keys, homes and status of the embedded fleet."""
    return Path(".edgecost") / "fleet"


def artefact_cache() -> Path:
    """Lowered models, content-addressed; safe to delete."""
    return Path(".edgecost") / "artefacts"


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
