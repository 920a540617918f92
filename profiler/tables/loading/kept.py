"""Digests kept beside the file that they are made of, so that a long file of lines is parsed only once.

A digest is derived and can be made anew at any time; the file of lines stays the truth. It is an Arrow file behind
one line with its checksum. Its metadata say how much of the source it covers and how the source looked. It is thrown
away where that does not fit, where the code that made it has changed since, or where it is not as it was written; a
source that has only grown keeps it.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from profiler.errors import StorageError
from profiler.measure.runfolder import write_atomically

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

__all__ = ["Kept", "Source", "crc_of", "fingerprint", "keep", "load_kept", "source_of"]

_METADATA_KEY = b"edgecost-digest"
_TAIL_BYTES = 4096
_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Source:
    """How a file of lines looked: its inode, size and time of last change (ns)."""

    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What a digest says of itself.

    Attributes:
        maker: the fingerprint of the code that made it.
        source: how the source looked then.
        covered: bytes of the source that it holds, all of them whole lines.
        crc32: of these bytes; tail_crc32: of the last of them.
        lines, corrupt: how many lines these are, and how many of them could not be read.
    """

    maker: str
    source: Source
    covered: int
    crc32: int
    tail_crc32: int
    lines: int
    corrupt: int


def fingerprint(paths: Sequence[Path]) -> str:
    """A hash of source files: what code made is not to be trusted once the code is another."""
    found = hashlib.sha256()
    for path in paths:
        found.update(path.read_bytes())
    return found.hexdigest()


def _seal(content: Any) -> bytes:
    """The line in front of a digest's content: a flipped bit must not become a figure."""
    return b"edgecost digest %08x\n" % zlib.crc32(content)


def _unsealed(text: bytes) -> memoryview:
    """The content behind the line; ValueError where it is not as it was written."""
    content = memoryview(text)[len(_seal(b"")) :]
    if not text.startswith(_seal(content)):
        raise ValueError("not a digest, or not as it was written")
    return content


def source_of(file: BinaryIO) -> Source:
    """How an open file looks now."""
    s = os.fstat(file.fileno())
    return Source(s.st_ino, s.st_size, s.st_mtime_ns)


def crc_of(file: BinaryIO, start: int, end: int) -> int:
    """The CRC-32 of some bytes of an open file."""
    found = 0
    file.seek(start)
    while start < end and (chunk := file.read(min(_CHUNK_BYTES, end - start))):
        found = zlib.crc32(chunk, found)
        start += len(chunk)
    return found


def tail_crc(file: BinaryIO, covered: int) -> int:
    """The CRC-32 of the last bytes that are covered."""
    return crc_of(file, max(0, covered - _TAIL_BYTES), covered)


def load_kept(path: Path, file: BinaryIO, schema: pa.Schema, maker: str) -> tuple[pa.Table, Kept] | None:
    """The digest at `path` where it holds what the open source begins with; else None."""
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.BufferReader(_unsealed(path.read_bytes()))).read_all()
        data = json.loads((table.schema.metadata or {})[_METADATA_KEY])
        kept = Kept(**{**data, "source": Source(**data["source"])})
        if kept.maker != maker or not table.schema.equals(schema):
            return None
        table.validate(full=True)
        now = source_of(file)
        if now == kept.source:
            # nobody writes in the middle of a journal, so its end tells whether this is the file it was
            fits = tail_crc(file, kept.covered) == kept.tail_crc32
        else:
            # it has grown, or is a copy: then all that is covered has to be what it was
            fits = now.size >= kept.covered and crc_of(file, 0, kept.covered) == kept.crc32
    except (OSError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError):  # pyarrow's are such too
        return None
    return (table, kept) if fits else None


def keep(path: Path, table: pa.Table, kept: Kept) -> None:
    """Write a digest; where the folder may not be written or the disk is full there is simply none."""
    import pyarrow as pa

    metadata = {_METADATA_KEY: json.dumps(asdict(kept)).encode()}
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4", unify_dictionaries=True)
    with pa.ipc.new_file(sink, table.schema.with_metadata(metadata), options=options) as writer:
        writer.write_table(table.replace_schema_metadata(metadata))
    try:
        content = sink.getvalue()
        write_atomically(path, [_seal(content), content])
    except StorageError:
        return
