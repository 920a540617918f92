"""The table of whatever folder a user names: a folder of results, or one run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from profiler.errors import StorageError
from profiler.measure.runfolder import RunFolder
from profiler.tables.table import CostTable

__all__ = ["table_of_folder"]


def table_of_folder(path: Path, *, with_emulated: bool = False) -> CostTable:
    """The table of one run, or of all runs below a folder of results.

    Where all of them were measured with cold caches, it is the table of those; else that of the ones with hot caches.

    Raises:
        ConfigError: runs of simulated boards are among others.
        StorageError: there is no run, or one cannot be read.
    """
    paths = [path] if (path / "run.json").exists() else sorted(found.parent for found in path.glob("*/*/run.json"))
    if not paths:
        raise StorageError(f"there are no runs below {path}; `edgecost profile` makes one")
    headers = [RunFolder(folder).header() or {} for folder in paths]
    caches = {(header.get("config") or {}).get("cache", "hot") for header in headers}
    cache: Literal["hot", "cold"] = "cold" if caches == {"cold"} else "hot"
    return CostTable.from_runs(paths, with_emulated=with_emulated, cache=cache)
