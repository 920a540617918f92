"""The journal: an append-only file with one line a measurement, the artefact of record of every figure.

What a line looks like is in `profiler.measure.journal_lines`. It is written in one go and synced; what a crash leaves
of a last line is cut off.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from profiler.errors import StorageError
from profiler.measure.journal_lines import decode, encode
from profiler.measure.record import Measurement

__all__ = [
    "CorruptLine",
    "Journal",
    "JournalContents",
    "decode",
    "encode",
    "iter_journal",
    "read_journal",
    "storage_error",
]

_READ_BYTES = 1 << 14


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
