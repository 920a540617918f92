"""Scores kept for ever: a journal of what was scored under which settings, so that nothing is trained twice."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from profiler.errors import StorageError
from search.evrsnas.records import null_if_not_finite
from search.files import write_bytes
from search.spaces.base import Architecture, SearchSpace

__all__ = ["ScoreStore", "Scorer", "StoredScorer"]

_SCHEMA = 1


class ScoreStore:
    """An append-only journal of scores: one JSON line each, with a checksum.

    Rows that cannot be read are moved to "<name>.quarantine" when the store is opened, and counted; they are scored
    again when asked for. Several processes may append to one store. A score that is known to be unobtainable
    (NaN) is a row too.

    Attributes:
        path: the journal.
        quarantined: rows moved away when the store was opened.

    Raises:
        StorageError: where the file cannot be read or written, or is of a newer schema.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.quarantined = 0
        self._scores: dict[str, float] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                with self._locked():
                    self._load()
        except OSError as error:
            raise StorageError(f"the score store {path} cannot be opened: {error.strerror or error}") from None

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, key: str) -> float | None:
        """The score stored under a key (NaN for one that is known to be unobtainable), or None."""
        return self._scores.get(key)

    def put(self, key: str, score: float, **about: str | float) -> None:
        """Append a score, flushed to disk; `about` is for people.

        Raises:
            StorageError: where the file cannot be written; nothing half-written stays.
        """
        row = {"schema": _SCHEMA, "key": key, "score": null_if_not_finite(score), **about}
        line = (json.dumps({**row, "crc32": _checksum(row)}, allow_nan=False) + "\n").encode()
        try:
            with self._locked(), self.path.open("ab+") as file:
                _append(file, line)
        except OSError as error:
            raise StorageError(
                f"cannot append to the score store {self.path}: {error.strerror or error}; "
                "check the folder and free space"
            ) from None
        self._scores[key] = score

    def _load(self) -> None:
        good: list[bytes] = []
        bad: list[bytes] = []
        for line in self.path.read_bytes().splitlines(keepends=True):
            row = _read_row(line)
            if row is None:
                bad.append(line.rstrip(b"\n") + b"\n")
                continue
            if row["schema"] > _SCHEMA:
                raise StorageError(
                    f"{self.path} was written by a newer version (schema {row['schema']}): update edgecost"
                )
            good.append(line)
            self._scores[row["key"]] = math.nan if row["score"] is None else float(row["score"])
        if bad:
            self.quarantined = len(bad)
            with self.path.with_name(self.path.name + ".quarantine").open("ab") as file:
                _append(file, b"".join(bad))
            write_bytes(self.path, b"".join(good))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among the processes that use this store; the lock is its own file, for the journal may be replaced."""
        with self.path.with_name(f".{self.path.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class Scorer(Protocol):
    """What `StoredScorer` needs: a scoring function that can say what its scores depend on."""

    @property
    def identity(self) -> str:
        """A digest of everything but the architecture that a score depends on."""

    def __call__(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Scores in the order given."""


class StoredScorer:
    """A scorer that looks into a store first; isomorphic architectures share a score.

    Attributes:
        computed: how many scores were computed rather than found.
    """

    def __init__(self, space: SearchSpace, scorer: Scorer, store: ScoreStore) -> None:
        self.computed = 0
        self._space, self._scorer, self._store = space, scorer, store

    def __call__(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Scores, higher is better, in the order given; NaN where there is none to be had."""
        return np.array([self._score(a) for a in architectures], dtype=np.float64)

    def _score(self, arch: Architecture) -> float:
        canonical = self._space.canonical(arch)
        text = json.dumps([self._scorer.identity, arch.space, canonical])
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        known = self._store.get(key)
        if known is None:
            started = time.perf_counter()
            known = float(self._scorer([self._space.representative(arch)])[0])
            seconds = round(time.perf_counter() - started, 3)
            about = self._space.describe(arch)
            self._store.put(key, known, settings=self._scorer.identity, architecture=about, seconds=seconds)
            self.computed += 1
        return known


def _checksum(row: dict[str, Any]) -> int:
    return crc32(json.dumps(row, sort_keys=True).encode())


def _read_row(line: bytes) -> dict[str, Any] | None:
    """A row whose checksum and fields are right, else None."""
    try:
        row = json.loads(line)
        expected = row.pop("crc32")
        sound = line.endswith(b"\n") and expected == _checksum(row) and isinstance(row["schema"], int)
        sound = sound and isinstance(row["key"], str) and isinstance(row["score"], float | int | None)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
    return row if sound else None


def _append(file: IO[bytes], data: bytes) -> None:
    """Append whole lines and flush them; on failure the file is cut back to what it held."""
    size = file.seek(0, os.SEEK_END)
    if size:
        file.seek(size - 1)
        if file.readable() and file.read(1) != b"\n":
            data = b"\n" + data  # another process died within its line: do not share its fate
    try:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    except OSError:
        os.truncate(file.fileno(), size)
        raise
