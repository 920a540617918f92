"""The rows of a score store and the Parquet files that hold them."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from profiler.errors import StorageError
from search.evrsnas.course import Point

if TYPE_CHECKING:
    import pyarrow  # type: ignore[import-untyped]

__all__ = ["Part", "ScoreRow", "part_bytes", "read_part", "row_key"]

_SCHEMA = 1
_GROUP = 64
"""Rows a row group: damage to one costs at most so many."""


def row_key(identity: str, architecture: str, seed: int, network: int, step: int) -> str:
    """The content key of a row: 32 hex digits."""
    text = json.dumps([identity, architecture, seed, network, step])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class ScoreRow:
    """One fresh network of an architecture after some steps.

    Attributes:
        identity: digest of space, macro network, reference, images, batch and recipe (`RmiScorer.course_identity`).
        architecture: its isomorphism class (`SearchSpace.canonical`).
        seed, network: of the batch and of the weights; which of the seed's fresh networks.
        step: updates taken; of a diverged one the step asked for.
        rmi_1, rmi_2, rmi_3: after each stage, in [0, 1]; NaN where the training diverged before.
        cross_entropy: on the batch, in nats; NaN likewise.
        diverged: whether the training diverged: there is no score, and never will be one.
        seconds: of training to this step, on whatever machine.
    """

    identity: str
    architecture: str
    seed: int
    network: int
    step: int
    rmi_1: float
    rmi_2: float
    rmi_3: float
    cross_entropy: float
    diverged: bool
    seconds: float

    @cached_property
    def key(self) -> str:
        """See `row_key`."""
        return row_key(self.identity, self.architecture, self.seed, self.network, self.step)

    @cached_property
    def checksum(self) -> int:
        """CRC-32 of all fields."""
        return crc32(repr([getattr(self, name) for name in _FIELDS]).encode())

    @property
    def point(self) -> Point:
        """The row as a point of a course."""
        return Point(self.step, (self.rmi_1, self.rmi_2, self.rmi_3), self.cross_entropy, self.seconds)

    @property
    def phi(self) -> float:
        """The sum of the RMIs; NaN where the training diverged."""
        return self.point.phi

    def mixed_loss(self, rmi_weight: float) -> float:
        """RMI-NAS's loss; NaN where the training diverged."""
        return self.point.mixed_loss(rmi_weight)


_FIELDS = tuple(f.name for f in fields(ScoreRow))
_FIGURES = ("rmi_1", "rmi_2", "rmi_3", "cross_entropy")


@dataclass(frozen=True, slots=True)
class Part:
    """What a file held: its sound rows, and how many could not be trusted (of an unreadable file at least one)."""

    rows: tuple[ScoreRow, ...]
    damaged: int


def part_bytes(rows: Sequence[ScoreRow]) -> bytes:
    """Rows as a Parquet file."""
    import pyarrow
    from pyarrow import parquet

    columns = {name: [getattr(r, name) for r in rows] for name in _FIELDS}
    for name in _FIGURES:
        columns[name] = [None if math.isnan(v) else v for v in columns[name]]
    arrays = {name: pyarrow.array(values, type=_type(name)) for name, values in columns.items()}
    arrays["checksum"] = pyarrow.array([r.checksum for r in rows], type=pyarrow.uint32())
    table = pyarrow.table(arrays).replace_schema_metadata({"edgecost.rmi.schema": str(_SCHEMA)})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, row_group_size=_GROUP, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def read_part(path: Path) -> Part:
    """Read a part, row group by row group.

    Raises:
        StorageError: where it is of a newer schema.
        OSError: where the file cannot be read at all.
    """
    import pyarrow
    from pyarrow import parquet

    content = path.read_bytes()
    try:
        file = parquet.ParquetFile(io.BytesIO(content), page_checksum_verification=True)
        schema = int((file.schema_arrow.metadata or {})[b"edgecost.rmi.schema"])
    except (pyarrow.ArrowException, OSError, KeyError, ValueError):
        return Part((), 1)
    if schema > _SCHEMA:
        raise StorageError(f"{path} was written by a newer version (schema {schema}): update edgecost")
    rows: list[ScoreRow] = []
    damaged = 0
    for group in range(file.num_row_groups):
        try:
            read = file.read_row_group(group).to_pylist()
        except (pyarrow.ArrowException, OSError, ValueError):
            damaged += file.metadata.row_group(group).num_rows
            continue
        good = [row for row in map(_sound, read) if row is not None]
        damaged += len(read) - len(good)
        rows += good
    return Part(tuple(rows), damaged)


def _type(name: str) -> pyarrow.DataType:
    import pyarrow

    if name in ("identity", "architecture"):
        return pyarrow.string()
    if name in ("seed", "network", "step"):
        return pyarrow.int64()
    return pyarrow.bool_() if name == "diverged" else pyarrow.float64()


def _sound(data: Mapping[str, Any]) -> ScoreRow | None:
    """A row whose checksum is right and whose figures can be, else None."""
    try:
        values = {name: data[name] for name in _FIELDS}
        values |= {name: math.nan for name in _FIGURES if values[name] is None}
        row = ScoreRow(**values)
        if row.checksum != data["checksum"]:
            return None
        figures = [getattr(row, name) for name in _FIGURES]
        if row.diverged:
            return row if all(map(math.isnan, figures)) else None
        possible = all(0 <= v <= 1 for v in figures[:3]) and math.isfinite(figures[3])
    except (KeyError, TypeError):
        return None
    return row if possible else None
