"""Scores by brief training as one Parquet file: a row an architecture, in the form that studies read.

    arch_str                          held_out   tse      trained_macs   images_seen   seconds
    |nor_conv_3x3~0|+|none~0|...      0.512      -1.184   6.2e6          23808         11.4

`held_out` is the share of held-out images classified correctly, `tse` the negated loss of the last epoch, so that more
is better; both are null where the training diverged. `trained_macs` are those of the network that was trained, without
what does not reach the output. What all rows depend on stands in the file's metadata; filling the file
again trains what is missing only, and what was trained is kept every few architectures, so that an interruption costs
those at most.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profiler.errors import ConfigError, StorageError
from search.evrsnas.brief import BriefTrainer, Learnt
from search.files import write_bytes
from search.spaces.base import Architecture

__all__ = ["BriefTable", "fill_brief_table"]

_META = b"edgecost.brief"
_NAMES = "arch_str"
_SCORES = ("held_out", "tse")


@dataclass
class BriefTable:
    """What a file holds, by architecture as people write it.

    Attributes:
        path: the file.
        identity: of the trainer whose scores they are.
        rows: by architecture.
    """

    path: Path
    identity: str
    rows: dict[str, Learnt]

    @classmethod
    def open(cls, path: Path, trainer: BriefTrainer) -> BriefTable:
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
            rows = {row[_NAMES]: _read(row) for row in table.to_pylist()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{path} cannot be read as scores by brief training ({error}): name another") from None
        if identity != trainer.identity:
            raise ConfigError(f"{path} holds scores of another training, seed or other images: name another file")
        return cls(path, identity, rows)

    def write(self) -> None:
        """Replace the file, whole or not at all."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = list(self.rows.values())
        columns: dict[str, Any] = {
            _NAMES: list(self.rows),
            "held_out": pa.array([r.held_out for r in rows], pa.float64(), from_pandas=True),
            "tse": pa.array([-r.loss for r in rows], pa.float64(), from_pandas=True),
            "trained_macs": pa.array([r.macs for r in rows], pa.int64()),
            "images_seen": pa.array([r.images_seen for r in rows], pa.int64()),
            "seconds": pa.array([r.seconds for r in rows], pa.float64()),
        }
        table = pa.table(columns).replace_schema_metadata({_META: json.dumps({"identity": self.identity})})
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        write_bytes(self.path, buffer.getvalue())


def fill_brief_table(
    path: Path,
    trainer: BriefTrainer,
    architectures: Sequence[Architecture],
    *,
    jobs: int = 1,
    portion: int = 4,
    told: Callable[[str], None] = lambda line: None,
) -> BriefTable:
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
        ConfigError: as `BriefTable.open`, for numbers below one, or an architecture that is not connected.
        StorageError: where the file cannot be read or written.
    """
    from joblib import Parallel, delayed

    if jobs < 1 or portion < 1:
        raise ConfigError(f"processes and portions are at least 1, not {jobs} and {portion}")
    space = trainer.space
    table = BriefTable.open(path, trainer)
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


def _take(table: BriefTable, essence: dict[str, Architecture], known: dict[Architecture, Learnt]) -> None:
    fresh = {name: known[arch] for name, arch in essence.items() if name not in table.rows and arch in known}
    if fresh:
        table.rows |= fresh
        table.write()


def _read(row: dict[str, Any]) -> Learnt:
    held_out, tse = (math.nan if row[name] is None else float(row[name]) for name in _SCORES)
    return Learnt(held_out, -tse, int(row["trained_macs"]), int(row["images_seen"]), float(row["seconds"]))
