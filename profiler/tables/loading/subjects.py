"""The subjects of a run: what a table has to know of workloads.jsonl, and its workloads, read when they are asked for.

Parsing the graphs takes about a millisecond each, and a table of many runs needs few of them. So a digest
(`workloads.arrow`) holds labels, isolation and companions, and where each line begins.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from profiler.errors import ConfigError, StorageError
from profiler.measure import journal_lines, runfolder
from profiler.measure.journal_lines import unframe
from profiler.measure.runfolder import Subject
from profiler.tables.loading.kept import Kept, fingerprint, keep, load_kept, source_of, tail_crc
from profiler.workloads.graph import Workload

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

__all__ = ["DIGEST_NAME", "LazyWorkloads", "Subjects", "read_subjects"]

DIGEST_NAME = "workloads.arrow"


@dataclass(frozen=True)
class Subjects:
    """The lines of a workloads.jsonl, where they can be read.

    Attributes:
        path: of the file.
        table: columns key, label, repeats, companions (JSON of a list, "" for none), start and length in bytes.
        corrupt: lines that cannot be read.
    """

    path: Path
    table: pa.Table
    corrupt: int

    @cached_property
    def places(self) -> dict[str, int]:
        """The line of each key; of several the last, which is the one that counts."""
        return {key: i for i, key in enumerate(self.table["key"].to_pylist())}

    @cached_property
    def labels(self) -> list[str]:
        """For people."""
        found: list[str] = self.table["label"].to_pylist()
        return found

    @cached_property
    def repeats(self) -> list[int]:
        """m of kernels and blocks."""
        found: list[int] = self.table["repeats"].to_pylist()
        return found

    @cached_property
    def with_companions(self) -> dict[int, tuple[str, ...]]:
        """Of the lines that have any, the keys of the kernels that come along with every repetition."""
        texts = enumerate(self.table["companions"].to_pylist())
        return {line: tuple(json.loads(text)) for line, text in texts if text}

    def workload(self, key: str) -> Workload:
        """Read one workload.

        Raises:
            StorageError: the file is gone, or holds no graph there that can be read.
        """
        try:
            with self.path.open("rb") as file:
                return Workload.from_dict(self._subject(key, file).workload)
        except OSError as error:
            raise StorageError(f"cannot read {self.path}: {(error.strerror or str(error)).lower()}") from None
        except ConfigError as error:
            name = self.labels[self.places[key]] or key[:12]
            raise StorageError(f"the workload {name} in {self.path} cannot be read: {error}") from None

    def _subject(self, key: str, file: BinaryIO) -> Subject:
        """Where the file is no longer what it was, the line is looked for."""
        line = self.places[key]
        file.seek(self.table["start"][line].as_py())
        try:
            found = Subject.from_dict(unframe(file.read(self.table["length"][line].as_py())))
        except ValueError:
            found = None
        if found is not None and found.key == key:
            return found
        file.seek(0)
        for raw in file:
            try:
                found = Subject.from_dict(unframe(raw.removesuffix(b"\n")))
            except ValueError:
                continue
            if found.key == key:
                return found
        raise StorageError(f"{self.path} has lost the workload {key[:12]} since the table was read; read it again")


class LazyWorkloads(Mapping[str, Workload]):
    """Workloads by key, each read from its run's folder when it is first asked for."""

    def __init__(self, found: Mapping[str, Subjects]) -> None:
        self._found = dict(found)
        self._read: dict[str, Workload] = {}

    def __getitem__(self, key: str) -> Workload:
        if key not in self._read:
            self._read[key] = self._found[key].workload(key)
        return self._read[key]

    def __contains__(self, key: object) -> bool:
        return key in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


@cache
def _schema() -> pa.Schema:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    columns = [("key", text), ("label", text), ("repeats", number), ("companions", text)]
    return pa.schema([*columns, ("start", number), ("length", number)])


@cache
def _maker() -> str:
    return fingerprint([Path(__file__), *(Path(str(module.__file__)) for module in (journal_lines, runfolder))])


def read_subjects(path: Path) -> Subjects:
    """The subjects of a workloads.jsonl; a file that does not exist has none.

    Raises:
        StorageError: it cannot be read, or is of a newer schema.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except FileNotFoundError:
        return Subjects(path, _schema().empty_table(), 0)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None


def _read(path: Path, file: BinaryIO) -> Subjects:
    import pyarrow as pa

    source = source_of(file)
    digest = path.with_name(DIGEST_NAME)
    found = load_kept(digest, file, _schema(), _maker())
    if found is not None and found[1].covered == source.size:
        return Subjects(path, found[0], found[1].corrupt)
    rows: list[tuple[str, str, int, str, int, int]] = []
    start = crc32 = corrupt = 0
    file.seek(0)
    while line := file.readline():
        try:
            subject = Subject.from_dict(unframe(line.removesuffix(b"\n")))
            companions = json.dumps(subject.companions) if subject.companions else ""
            label = subject.label.encode(errors="replace").decode()
            subject.key.encode()
            rows.append((subject.key, label, subject.repeats, companions, start, len(line.removesuffix(b"\n"))))
        except ValueError:
            corrupt += 1
        except StorageError as error:
            raise StorageError(f"{path}, line {len(rows) + corrupt + 1}: {error}; update edgecost to read it") from None
        start += len(line)
        crc32 = zlib.crc32(line, crc32)
    columns = zip(*rows, strict=True) if rows else ([],) * len(_schema())
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, _schema(), strict=True)], schema=_schema())
    if start == source.size > 0:
        keep(digest, table, Kept(_maker(), source, start, crc32, tail_crc(file, start), len(rows) + corrupt, corrupt))
    return Subjects(path, table, corrupt)
