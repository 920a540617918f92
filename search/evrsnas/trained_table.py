"""Scores for which networks are trained, as one Parquet file: a row an architecture, in the form that studies read.

    arch_str                          held_out   tse      trained_macs   images_seen   seconds
    |nor_conv_3x3~0|+|none~0|...      0.512      -1.184   6.2e6          23808         11.4

The columns are those of the trainer's rows (`search.evrsnas.brief.Learnt`, `search.evrsnas.distilling.Distilled`); of
scores more is better, and they are null where the training diverged. What all rows depend on stands in the file's
metadata; filling the file again trains what is missing only, and what was trained is kept every few architectures, so
that an interruption costs those at most.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from profiler.errors import ConfigError, StorageError
from search.files import write_bytes
from search.spaces.base import Architecture, SearchSpace

__all__ = ["Row", "TrainedTable", "Trainer", "fill_table"]

_META = b"edgecost.brief"
_NAMES = "arch_str"


class Row(Protocol):
    """What one training came to."""

    def columns(self) -> dict[str, float | int]:
        """By name; of scores more is better, NaN where the training diverged."""
        ...

    @classmethod
    def of_columns(cls, row: dict[str, float]) -> Self:
        """Back from these.

        Raises:
            KeyError: where one is missing.
        """
        ...


R = TypeVar("R", bound=Row)


class Trainer(Protocol[R]):
    """Trains architectures alike."""

    space: SearchSpace
    row: type[R]

    @property
    def identity(self) -> str:
        """A digest of everything but the architecture that a row depends on."""
        ...

    def train(self, arch: Architecture) -> R:
        """A row of one architecture."""
        ...


@dataclass
class TrainedTable(Generic[R]):
    """What a file holds, by architecture as people write it.

    Attributes:
        path: the file.
        identity: of the trainer whose scores they are.
        rows: by architecture.
    """

    path: Path
    identity: str
    rows: dict[str, R]

    @classmethod
    def open(cls, path: Path, trainer: Trainer[R]) -> TrainedTable[R]:
        """What is there already, which is nothing where there is no file.

        Raises:
            ConfigError: where the file holds scores of another recipe, space, seed or other images.
            StorageError: where it cannot be read.
        """
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        if not path.exists():
            return cls(path, trainer.identity, {})
        try:
            table: Any = pq.read_table(path)
            identity = json.loads((table.schema.metadata or {})[_META])["identity"]
            rows = {row[_NAMES]: trainer.row.of_columns(_figures(row)) for row in table.to_pylist()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{path} cannot be read as scores by training ({error}): name another") from None
        if identity != trainer.identity:
            raise ConfigError(f"{path} holds scores of another training, seed or other images: name another file")
        return cls(path, identity, rows)

    def write(self) -> None:
        """Replace the file, whole or not at all."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = [row.columns() for row in self.rows.values()]
        columns: dict[str, Any] = {_NAMES: list(self.rows)}
        for name in rows[0] if rows else ():
            # a NaN is no figure: null says so in every reader
            kind = pa.int64() if isinstance(rows[0][name], int) else pa.float64()
            columns[name] = pa.array([row[name] for row in rows], kind, from_pandas=True)
        table = pa.table(columns).replace_schema_metadata({_META: json.dumps({"identity": self.identity})})
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        write_bytes(self.path, buffer.getvalue())


def fill_table(
    path: Path,
    trainer: Trainer[R],
    architectures: Sequence[Architecture],
    *,
    jobs: int = 1,
    portion: int = 4,
    told: Callable[[str], None] = lambda line: None,
) -> TrainedTable[R]:
    """Train what the file lacks, in the order given.

    Architectures that differ in nothing that reaches the output are trained once, and each has a row.

    Args:
        path: a .parquet file; it need not exist.
        trainer: how.
        architectures: what is asked for.
        jobs: processes at once.
        portion: networks a process trains between two times that the file is written.
        told: hears of every portion.

    Raises:
        ConfigError: as `TrainedTable.open`, for numbers below one, or an architecture that is not connected.
        StorageError: where the file cannot be read or written.
    """
    from joblib import Parallel, delayed

    if jobs < 1 or portion < 1:
        raise ConfigError(f"processes and portions are at least 1, not {jobs} and {portion}")
    space = trainer.space
    table = TrainedTable.open(path, trainer)
    essence = {space.describe(arch): space.essential(arch) for arch in architectures}
    known = {space.essential(space.parse(name)): row for name, row in table.rows.items()}  # type: ignore[attr-defined]
    lacking = [arch for arch in dict.fromkeys(essence.values()) if arch not in known]
    size = jobs * portion
    for start in range(0, len(lacking), size):
        chosen = lacking[start : start + size]
        known |= zip(chosen, Parallel(n_jobs=jobs)(delayed(trainer.train)(arch) for arch in chosen), strict=True)
        _take(table, essence, known)
        told(f"{min(start + size, len(lacking))} of {len(lacking)} networks trained")
    _take(table, essence, known)
    return table


def _take(table: TrainedTable[R], essence: dict[str, Architecture], known: dict[Architecture, R]) -> None:
    fresh = {name: known[arch] for name, arch in essence.items() if name not in table.rows and arch in known}
    if fresh:
        table.rows |= fresh
        table.write()


def _figures(row: dict[str, Any]) -> dict[str, float]:
    return {name: math.nan if value is None else float(value) for name, value in row.items() if name != _NAMES}
