"""Run: one run folder in memory, its journal and workloads as digests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.errors import StorageError
from profiler.fleet.targets import Target
from profiler.measure.runfolder import RunFolder
from profiler.tables.loading.digest import read_digest
from profiler.tables.loading.subjects import Subjects, read_subjects

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

__all__ = ["Run", "forget", "read_run"]


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder in memory.

    Attributes:
        path: of the folder.
        started: when it was begun.
        target, emulation: where it ran.
        cache: "hot", or "cold" where caches were emptied before every run.
        subjects: lines of workloads.jsonl.
        lines: the journal's measurements, a table of `profiler.tables.loading.digest.digest_schema`.
        corrupt_lines: lines of journal and workloads that could not be read.
    """

    path: Path
    started: str
    target: Target
    emulation: str
    cache: str
    subjects: Subjects
    lines: pa.Table
    corrupt_lines: int

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.path.name


def read_run(path: Path) -> Run:
    """Read one run folder; as long as its files stay as they are, one that was read lately is not read again.

    The first read of a journal is long (`profiler.tables.loading.digest`); what came of it is kept beside it.

    Raises:
        StorageError: it is not one, cannot be read, or is of a newer schema.
    """
    return _read(path, RunFolder(path).stamp())


@lru_cache(maxsize=256)
def _read(path: Path, stamp: tuple[tuple[int, int, int], ...]) -> Run:
    """Read a run folder whose files have a stamp, which is part of the question only so that it has one answer."""
    folder = RunFolder(path)
    header = folder.header()
    if header is None:
        raise StorageError(f"{path} is not a run: it holds no run.json; name a folder results/<device>/<run-id>")
    try:
        target = Target(**header["target"])
        emulation = str(header["device"]["emulation"])
    except (KeyError, TypeError) as error:
        raise StorageError(f"{path / 'run.json'} lacks what a run's header holds: {error!r}") from None
    subjects = read_subjects(path / "workloads.jsonl")
    lines, corrupt = read_digest(folder.journal_path)
    started = str(header.get("started", ""))
    cache = str((header.get("config") or {}).get("cache", "hot"))
    return Run(path, started, target, emulation, cache, subjects, lines, corrupt + subjects.corrupt)


def forget() -> None:
    """Read every run from its files again; for whoever measures how long that takes."""
    _read.cache_clear()
