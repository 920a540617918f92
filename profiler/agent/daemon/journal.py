"""The board's journal of a session: one line an entry, each with a checksum, synced before it is told to anybody.

    <crc32 of the rest as 8 hexadecimal digits> <entry as JSON>

Entries are numbered from 0 in the order of their lines. They live on disk and are read back when a host asks for old
ones; only what a full or broken disk does not take stays in memory, until it does.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import Any, Dict, List, Optional, Set, Tuple

PREFIX_BYTES = 9
"""The checksum and a blank."""

MOST_ENTRY_BYTES = 16 << 20
CHUNK_BYTES = 1 << 20


def encode(entry: Dict[str, Any]) -> bytes:
    """An entry as its line."""
    text = json.dumps(entry, allow_nan=False).encode("utf-8")
    return b"%08x %s\n" % (zlib.crc32(text) & 0xFFFFFFFF, text)


def is_whole(line: bytes) -> bool:
    """Whether a line's checksum fits."""
    return line[: PREFIX_BYTES - 1] == b"%08x" % (zlib.crc32(line[PREFIX_BYTES:]) & 0xFFFFFFFF)


def decode(line: bytes) -> Optional[Dict[str, Any]]:
    """The entry of a line without its end; None where it is not whole."""
    try:
        entry = json.loads(line[PREFIX_BYTES:].decode("utf-8")) if is_whole(line) else None
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


class Journal:
    """The journal at `path`; one process at a time, which the board's lease sees to.

    Opening cuts off a torn or corrupt tail: what follows the first bad line cannot be told from garbage.

    Args:
        path: of the file, which is made where it is missing.

    Attributes:
        ended: ids of the jobs that came to a result.
        cut_bytes: how much was cut off.
        number: the file's descriptor.
    """

    def __init__(self, path: str) -> None:
        self.ended: Set[str] = set()
        self.cut_bytes = 0
        self._places: List[Tuple[int, int]] = []  # offset and length of every entry on disk
        self._waiting: List[bytes] = []  # entries that are not on disk yet
        self._end = 0
        self.number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._load()

    def __len__(self) -> int:
        return len(self._places) + len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that only the memory holds."""
        return sum(map(len, self._waiting))

    def _load(self) -> None:
        rest, offset = b"", 0
        while True:
            chunk = os.pread(self.number, CHUNK_BYTES, offset)
            offset += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            if not all(self._accept(line) for line in lines) or not chunk or len(rest) > MOST_ENTRY_BYTES:
                break
        size = os.fstat(self.number).st_size
        self.cut_bytes = size - self._end
        if self.cut_bytes:
            os.ftruncate(self.number, self._end)

    def _accept(self, line: bytes) -> bool:
        entry = decode(line)
        if entry is None or entry.get("seq") != len(self._places):
            return False
        self._places.append((self._end, len(line)))
        self._end += len(line) + 1
        self._note(entry)
        return True

    def _note(self, entry: Dict[str, Any]) -> None:
        if entry.get("event") == "result":
            self.ended.add(str(entry.get("id")))

    def add(self, entry: Dict[str, Any]) -> None:
        """Give an entry its number; `sync` brings it to disk."""
        entry["seq"] = len(self)
        self._waiting.append(encode(entry))
        self._note(entry)

    def sync(self) -> bool:
        """Bring what waits to disk; False where the disk does not take it (it is tried again with the next call)."""
        if not self._waiting:
            return True
        try:
            while self._waiting:
                # a few at a time: of very many, those for which there is space are kept
                batch = self._waiting[:64]
                self._write(b"".join(batch))  # over what an attempt that failed may have left there
                os.fsync(self.number)
                for line in batch:
                    self._places.append((self._end, len(line) - 1))
                    self._end += len(line)
                del self._waiting[: len(batch)]
        except OSError:
            return False
        return True

    def _write(self, data: bytes) -> None:
        view, offset = memoryview(data), self._end
        while view:
            written = os.pwrite(self.number, view, offset)
            view = view[written:]
            offset += written

    def message(self, seq: int) -> bytes:
        """Entry `seq` as the line that a host gets, its end included.

        Raises:
            OSError: the disk does not give it back.
        """
        if seq >= len(self._places):
            return self._waiting[seq - len(self._places)][PREFIX_BYTES:]
        offset, length = self._places[seq]
        line = os.pread(self.number, length, offset)
        if not is_whole(line):
            raise OSError("entry %d of the journal is no longer whole" % seq)
        return line[PREFIX_BYTES:] + b"\n"

    def close(self) -> None:
        """Give the file back."""
        os.close(self.number)
