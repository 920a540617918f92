"""The journal: an append-only file with one line a measurement, the artefact of record of every figure.

A line is one JSON object that begins `{"crc32":"xxxxxxxx","schema":N,`. The checksum is over the bytes that follow
it, from `"schema"` to the closing brace, so that a flipped bit anywhere is found without parsing. Later schemas
keep that beginning. A line is written in one go and synced; what a crash leaves of a last line is cut off.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from profiler.errors import StorageError
from profiler.measure.record import ROLE_KINDS, SCHEMA_VERSION, STATUSES, Measurement, Power, Role

__all__ = [
    "CorruptLine",
    "Journal",
    "JournalContents",
    "frame",
    "iter_journal",
    "read_journal",
    "storage_error",
    "unframe",
]

_PREFIX = b'{"crc32":"'
_BODY_AT = len(_PREFIX) + 8 + 2  # eight hex digits, a quote and a comma
_NAMES = tuple(f.name for f in fields(Measurement))
_ROLE_NAMES = tuple(f.name for f in fields(Role))
_POWER_NAMES = tuple(f.name for f in fields(Power))
_INTS = ("round", "runs_per_batch", "warmup_runs")
_OPTIONAL_NUMBERS = ("load_ns", "first_run_ns", "output_error", "energy_mj")
SPLITS = ("held_out", "fit", "")
_READ_BYTES = 1 << 14
_TEXTS = ("job_key", "workload_key", "artefact_sha256", "device_id", "target_id", "error", "started_at")


@dataclass(frozen=True, slots=True)
class CorruptLine:
    """A line that is not a record.

    Attributes:
        number: of the line, from 1.
        reason: what is wrong with it.
    """

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class JournalContents:
    """A whole journal in memory.

    Attributes:
        measurements: in the order written.
        corrupt: the lines that could not be read; they are skipped, never guessed at.
    """

    measurements: tuple[Measurement, ...]
    corrupt: tuple[CorruptLine, ...]

    @property
    def corrupt_lines(self) -> int:
        """How many lines were skipped."""
        return len(self.corrupt)


def storage_error(action: str, path: Path, error: OSError) -> StorageError:
    """One sentence for what the operating system refused."""
    reason = (error.strerror or str(error)).lower()
    return StorageError(f"cannot {action} {path}: {reason}; free some space or choose another results folder")


def frame(body: dict[str, Any]) -> bytes:
    """One line with schema and checksum, newline included; ValueError where a value is not JSON (NaN, an object)."""
    text = json.dumps({"schema": SCHEMA_VERSION, **body}, separators=(",", ":"), allow_nan=False)
    tail = text[1:].encode()
    return b'%s%08x",%s\n' % (_PREFIX, zlib.crc32(tail), tail)


def unframe(line: bytes) -> dict[str, Any]:
    """What `frame` was given, from its line without the newline.

    Raises:
        ValueError: the line is not as it was written.
        StorageError: it is of a newer schema.
    """
    if not line.startswith(_PREFIX) or line[_BODY_AT - 2 : _BODY_AT] != b'",':
        raise ValueError("not a record of edgecost's")
    tail = line[_BODY_AT:]
    if line[len(_PREFIX) : _BODY_AT - 2] != b"%08x" % zlib.crc32(tail):
        raise ValueError("the checksum does not match")
    data: dict[str, Any] = json.loads(b"{" + tail)
    schema = data.pop("schema", None)
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        raise StorageError(f"schema {schema} is newer than {SCHEMA_VERSION}, the newest that this edgecost reads")
    return data


def encode(measurement: Measurement) -> bytes:
    """One line, newline included.

    Raises:
        ValueError: where a value is not JSON (NaN, infinity, an object in `env`).
    """
    body = {name: getattr(measurement, name) for name in _NAMES}
    body["role"] = {name: getattr(measurement.role, name) for name in _ROLE_NAMES}
    if measurement.power is not None:
        body["power"] = {name: getattr(measurement.power, name) for name in _POWER_NAMES}
    return frame(body)


def decode(line: bytes) -> Measurement:
    """Read one line without its newline.

    Raises:
        ValueError: the line is not a record as it was written.
        StorageError: it is one of a newer schema.
    """
    data = unframe(line)
    if "power" not in data:  # schema 1, whose energy was gross and had no record to be made anew from
        data |= {"power": None, "energy_mj": None}
    return _measurement(data)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _measurement(data: dict[str, Any]) -> Measurement:
    """A record of the present schema; ValueError where a field is missing, unknown or of another type."""
    if set(data) != set(_NAMES):
        raise ValueError(f"fields missing or unknown: {sorted(set(data) ^ set(_NAMES))}")
    role = data["role"]
    if not isinstance(role, dict) or set(role) != set(_ROLE_NAMES) or role["kind"] not in ROLE_KINDS:
        raise ValueError("the role is malformed")
    if role["split"] not in SPLITS or not isinstance(role["subject_key"], str) or type(role["repeats"]) is not int:
        raise ValueError("the role is malformed")
    if data["status"] not in STATUSES:
        raise ValueError(f"unknown status {data['status']!r}")
    samples = data["samples_ns"]
    wrong = [name for name in _INTS if type(data[name]) is not int]
    wrong += [name for name in _TEXTS if not isinstance(data[name], str)]
    wrong += [name for name in _OPTIONAL_NUMBERS if data[name] is not None and not _is_number(data[name])]
    if (
        wrong
        or not isinstance(samples, list)
        or not isinstance(data["issues"], list)
        or not isinstance(data["env"], dict)
    ):
        raise ValueError(f"values of the wrong type: {wrong or 'samples_ns, issues or env'}")
    if not all(type(v) is int and v >= 0 for v in samples):
        raise ValueError("samples must be whole nanoseconds")
    issues, power = tuple(data["issues"]), _power(data["power"])
    return Measurement(**{**data, "role": Role(**role), "issues": issues, "samples_ns": tuple(samples), "power": power})


def _power(data: object) -> Power | None:
    """The record of a power sensor; ValueError where it is malformed."""
    if data is None:
        return None
    if not isinstance(data, dict) or set(data) != set(_POWER_NAMES):
        raise ValueError("the power record is malformed")
    lists = {name: data[name] for name in ("times_us", "values", "idle_before_us", "load_us", "idle_after_us")}
    if not all(isinstance(found, list) and all(type(v) is int for v in found) for found in lists.values()):
        raise ValueError("the power record is malformed")
    spells = (lists["idle_before_us"], lists["load_us"], lists["idle_after_us"])
    numbers = [data[name] for name in ("polls", "lsb", "gain_u", "offset_uw", "runs")]
    if (
        len(lists["times_us"]) != len(lists["values"])
        or any(len(spell) != 2 for spell in spells)
        or not all(_is_number(number) for number in numbers)
        or data["form"] not in ("power", "energy")
    ):
        raise ValueError("the power record is malformed")
    return Power(**{**data, **{name: tuple(found) for name, found in lists.items()}})


def iter_journal(path: Path) -> Iterator[Measurement | CorruptLine]:
    """The records of a journal one by one, in constant memory; unreadable lines come as `CorruptLine`.

    A torn last line (no newline, not a whole record) is what a crash leaves and is passed over in silence.

    Raises:
        StorageError: the file cannot be read, or holds records of a newer schema.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                whole = line.endswith(b"\n")
                try:
                    yield decode(line[:-1] if whole else line)
                except ValueError as error:
                    if whole:
                        yield CorruptLine(number, str(error))
                except StorageError as error:
                    raise StorageError(f"{path}, line {number}: {error}; update edgecost to read it") from None
    except OSError as error:
        raise StorageError(f"cannot read journal {path}: {(error.strerror or str(error)).lower()}") from None


def read_journal(path: Path) -> JournalContents:
    """A whole journal: what can be read, and a count of what cannot.

    Raises:
        StorageError: the file cannot be read, or holds records of a newer schema.
    """
    measurements: list[Measurement] = []
    corrupt: list[CorruptLine] = []
    for item in iter_journal(path):
        if isinstance(item, Measurement):
            measurements.append(item)
        else:
            corrupt.append(item)
    return JournalContents(tuple(measurements), tuple(corrupt))


class Journal:
    """The writing end of a journal; one process at a time.

        with Journal(path) as journal:
            journal.append(measurement)

    After `append` returned, the record survives a crash of the process and of the machine. Where `append` raises,
    nothing of the record is left in the file.

    Raises:
        StorageError: on opening and appending, where the file cannot be written or another process writes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._places: dict[str, int] = {}  # of the last line with a figure that was appended here, by job key
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._lock()
            self._end = self._cut_torn_line()
            _sync_folder(path.parent)
        except OSError as error:
            self.close()
            raise storage_error("write journal", path, error) from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def append(self, measurement: Measurement) -> None:
        """Write one record and wait until it is on the disk.

        Raises:
            StorageError: the disk is full or the file is gone; the journal is as it was before.
            ValueError: the record holds what JSON does not (NaN, infinity).
        """
        line = encode(measurement)
        try:
            self._write(line)
            os.fsync(self._fd)
        except BaseException as error:
            # also on Ctrl-C: half a line must not stay in front of the next one
            os.ftruncate(self._fd, self._end)
            if isinstance(error, OSError):
                raise storage_error("append to journal", self.path, error) from None
            raise
        if measurement.samples_ns:
            self._places[measurement.job_key] = self._end
        self._end += len(line)

    def find(self, keys: Collection[str]) -> list[Measurement]:
        """The last records with a figure of these jobs; those that have none are left out.

        Raises:
            StorageError: the journal cannot be read.
        """
        places = {key: self._places[key] for key in keys if key in self._places}
        found = {key: decode(self._line(place)) for key, place in places.items()}
        earlier = {*keys} - found.keys()
        if earlier:  # written by an earlier process
            for item in iter_journal(self.path):
                if isinstance(item, Measurement) and item.job_key in earlier and item.samples_ns:
                    found[item.job_key] = item
        return [found[key] for key in keys if key in found]

    def _line(self, place: int) -> bytes:
        """The line that begins there, without its newline."""
        line = b""
        while b"\n" not in line:
            line += os.pread(self._fd, max(len(line), _READ_BYTES), place + len(line))
        return line[: line.index(b"\n")]

    def close(self) -> None:
        """Give the file and its lock back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, line: bytes) -> None:
        """All bytes at the end: a nearly full disk takes a part first and refuses only then."""
        done = 0
        while done < len(line):
            done += os.pwrite(self._fd, line[done:], self._end + done)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(
                f"journal {self.path} is being written by another process; wait for it or choose another run id"
            ) from None

    def _cut_torn_line(self) -> int:
        """The length of the whole lines; what follows them is cut, or ended where only its newline is missing."""
        size = os.fstat(self._fd).st_size
        start = size
        tail = b""
        while start > 0 and b"\n" not in tail:
            step = min(1 << 16, start)
            start -= step
            tail = os.pread(self._fd, step, start) + tail
        torn = tail[tail.rfind(b"\n") + 1 :]
        if not torn:
            return size
        try:
            decode(torn)
        except ValueError:
            os.ftruncate(self._fd, size - len(torn))
            return size - len(torn)
        os.pwrite(self._fd, b"\n", size)
        return size + 1


def _sync_folder(folder: Path) -> None:
    """Make a new file's name as durable as its contents."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
