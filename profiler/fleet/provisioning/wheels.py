"""Wheels on this host, each under its hash, and which of them a kind of board was given for a package."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from profiler.errors import StorageError
from profiler.fleet.provisioning.index import Index
from profiler.fleet.provisioning.platform_tags import BoardPython
from profiler.fleet.provisioning.resolving import Found

__all__ = ["Wheel", "WheelCache", "digest_of"]

_PASSING_MARKERS = ("platform_release", "platform_version")
"""Of the kernel: boards that differ in nothing else get the same wheels."""

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel in the cache.

    Attributes:
        name, version: of the distribution.
        sha256: of the file.
        path: of the file.
        packed_bytes, unpacked_bytes: its size, and that of its contents.
    """

    name: str
    version: str
    sha256: str
    path: Path
    packed_bytes: int
    unpacked_bytes: int


def digest_of(wheels: Iterable[Wheel]) -> str:
    """Names the tree that is made of these wheels."""
    return hashlib.sha256("\n".join(sorted(wheel.sha256 for wheel in wheels)).encode()).hexdigest()


class WheelCache:
    """A folder of wheels; safe to delete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, wanted: Sequence[Found], index: Index) -> tuple[Wheel, ...]:
        """These wheels, of which those that are not here yet are downloaded.

        Raises:
            ConfigError: pip fails, or brings another file than it announced.
            StorageError: the folder cannot be written.
        """
        missing = [found for found in wanted if not (found.sha256 and self._path(found).is_file())]
        hashes = {found.name: found.sha256 for found in wanted}
        try:
            if missing:
                self._folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=self._folder, prefix=".download-") as temporary:
                    for name, path in index.download(missing, Path(temporary)).items():
                        hashes[name] = self._take(path, hashes[name])
            return tuple(self._wheel(found, hashes[found.name]) for found in wanted)
        except OSError as error:
            raise StorageError(
                f"The folder of wheels {self._folder} cannot be used ({error.strerror}): free some space, or give "
                "another with --cache."
            ) from error

    def _take(self, path: Path, announced: str) -> str:
        """Move a downloaded wheel to its place; its hash."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if announced and sha256 != announced:
            raise StorageError(f"{path.name} is not the file that its index announced: run this again.")
        target = self._folder / sha256 / path.name
        target.parent.mkdir(exist_ok=True)
        os.replace(path, target)
        return sha256

    def _path(self, found: Found, sha256: str = "") -> Path:
        return self._folder / (sha256 or found.sha256) / found.filename

    def _wheel(self, found: Found, sha256: str) -> Wheel:
        path = self._path(found, sha256)
        try:
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
        except zipfile.BadZipFile as error:
            shutil.rmtree(path.parent)
            raise StorageError(f"{path} was damaged, and is removed now: run this again.") from error
        return Wheel(found.name, found.version, sha256, path, path.stat().st_size, unpacked)

    def remembered(self, board: BoardPython, requirements: Sequence[str]) -> tuple[Found, ...] | None:
        """What was chosen for such a board before, if all of it is still here."""
        try:
            items = json.loads(self._choice(board, requirements).read_text("utf-8"))
            found = tuple(Found(**{**item, "requires": tuple(item["requires"])}) for item in items)
            return found if found and all(self._path(one).is_file() for one in found) else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def remember(self, board: BoardPython, requirements: Sequence[str], wheels: Sequence[Wheel]) -> None:
        """Have boards of this kind get the same wheels."""
        items = [asdict(Found(wheel.name, wheel.version, wheel.path.name, wheel.sha256)) for wheel in wheels]
        path = self._choice(board, requirements)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.part")
        temporary.write_text(json.dumps(items, indent=1), "utf-8")
        os.replace(temporary, path)

    def _choice(self, board: BoardPython, requirements: Sequence[str]) -> Path:
        markers: dict[str, Any] = {k: v for k, v in board.markers.items() if k not in _PASSING_MARKERS}
        kind = [sorted(markers.items()), board.abi, board.machine, board.glibc, list(requirements)]
        return self._folder / "chosen" / f"{hashlib.sha256(json.dumps(kind).encode()).hexdigest()}.json"
