"""The store of RMI scores: what candidates' brief trainings gave, kept by content in Parquet files.

A store is a folder of files "part-*.parquet" and "settings-*.json". A row is one fresh network of one architecture
after one number of steps; its key is a hash of all it depends on (space and macro network, reference, images, batch,
recipe of training, architecture, seed, number of the network, step) and of no device or budget. Whoever appends
writes a new part under a name of its own and moves it into place, so that processes never wait for each other and
a part is whole or absent; stores of several machines are merged by taking all their rows. Every row carries a
checksum: what cannot be trusted is moved to the folder "quarantine", and the rest kept.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from profiler.errors import ConfigError, StorageError
from search.evrsnas.parts import ScoreRow, part_bytes, read_part
from search.files import write_bytes, write_text

__all__ = ["RmiStore", "existing_store"]

_COMPACT_FROM = 64
"""Parts from which on they are made one while a store is filled."""


class RmiStore:
    """Rows by key, in memory, and the folder they live in.

    Args:
        folder: the store; it need not exist yet.

    Attributes:
        quarantined: rows and unreadable groups of rows moved away when the store was read.

    Raises:
        StorageError: where the folder cannot be read or written, or a part is of a newer schema.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.quarantined = 0
        self._rows: dict[str, ScoreRow] = {}
        self._seen: set[str] = set()  # parts never change
        self._held = False
        if folder.exists() and not folder.is_dir():
            raise StorageError(f"the score store {folder} is not a folder: name a folder, or none for a new one")
        self.refresh()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def get(self, key: str) -> ScoreRow | None:
        """The row of a key, or None."""
        return self._rows.get(key)

    def rows(self, identity: str | None = None) -> list[ScoreRow]:
        """All rows, or those of one `course_identity`, ordered by architecture, network and step."""
        chosen = [r for r in self._rows.values() if identity is None or r.identity == identity]
        return sorted(chosen, key=lambda r: (r.identity, r.architecture, r.seed, r.network, r.step))

    def refresh(self) -> None:
        """Read what other processes have appended since."""
        while fresh := [path for path in self._parts() if path.name not in self._seen]:
            for path in fresh:
                try:
                    self._take(path)
                except FileNotFoundError:
                    pass  # compacted meanwhile: its rows are in a part that the next round finds
                except OSError as error:
                    raise StorageError(f"the score store {path} cannot be read: {error.strerror or error}") from None
                self._seen.add(path.name)

    def append(self, rows: Sequence[ScoreRow]) -> None:
        """Keep rows, as one new part.

        Raises:
            StorageError: where the folder cannot be written; nothing half-written stays.
        """
        if rows:
            write_bytes(self._new_part(), part_bytes(rows))
            self._know(rows)

    def describe(self, identity: str, settings: dict[str, Any]) -> None:
        """Write down what an identity stands for, once."""
        path = self.folder / f"settings-{identity}.json"
        if not path.exists():
            write_text(path, json.dumps(settings, indent=1, sort_keys=True) + "\n")

    def settings(self) -> dict[str, dict[str, Any]]:
        """What the identities of the store stand for (StorageError where that cannot be read)."""
        found = {}
        for path in sorted(self.folder.glob("settings-*.json")):
            try:
                found[path.stem.removeprefix("settings-")] = dict(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError) as error:
                raise StorageError(f"{path} cannot be read: {error}; delete it, scoring writes it anew") from None
        return found

    def merge(self, other: RmiStore) -> int:
        """Take what another store has and this one lacks; returns the number of rows taken.

        Where both have a row of one key and differ (machines may round differently), the choice depends on the rows
        alone: merging in any order gives one store.
        """
        fresh = [r for r in other.rows() if r != self._rows.get(r.key) and self._wins(r)]
        self.append(fresh)
        for identity, settings in other.settings().items():
            self.describe(identity, settings)
        return len(fresh)

    def compact(self, least: int = 2) -> None:
        """Make one part of many, where there are at least so many; others may append and read meanwhile."""
        if len(self._parts()) < least:
            return
        with self._alone():
            old = self._parts()
            self.refresh()
            write_bytes(self._new_part(), part_bytes(self.rows()))
            for path in old:
                path.unlink(missing_ok=True)

    def compact_many(self) -> None:
        """`compact` once there are many parts."""
        self.compact(_COMPACT_FROM)

    def _take(self, path: Path) -> None:
        part = read_part(path)
        self._know(part.rows)
        if part.damaged:
            with self._alone():
                if not path.exists():
                    return  # another process was first
                self.quarantined += part.damaged
                write_bytes(self.folder / "quarantine" / path.name, path.read_bytes())
                if part.rows:
                    write_bytes(self._new_part(), part_bytes(part.rows))
                path.unlink()

    def _know(self, rows: Sequence[ScoreRow]) -> None:
        for row in rows:
            if self._wins(row):
                self._rows[row.key] = row

    def _wins(self, row: ScoreRow) -> bool:
        known = self._rows.get(row.key)
        return known is None or row.checksum < known.checksum

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    def _new_part(self) -> Path:
        return self.folder / f"part-{uuid4().hex}.parquet"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Alone among the processes that replace parts; whoever only adds some need not wait."""
        if self._held:
            yield
            return
        try:
            with (self.folder / ".lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._held = True
                try:
                    yield
                finally:
                    self._held = False
        except OSError as error:
            raise StorageError(
                f"the score store {self.folder} cannot be written: {error.strerror or error}; "
                "check the folder and free space"
            ) from None


def existing_store(folder: Path) -> RmiStore:
    """A store that must be there (ConfigError where it is not)."""
    if not folder.is_dir():
        raise ConfigError(f"there is no score store at {folder}: `edgecost rmi score` fills one")
    return RmiStore(folder)
