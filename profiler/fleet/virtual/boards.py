"""The boards of the embedded fleet: what each one is, its home, its keys, and the devices.yaml that lists them.

By default they are this machine's CPU in six configurations, and their descriptions say so: nothing here claims to be
hardware. Others (`profiler.fleet.virtual.simulated`) are anything that a FleetBoard can be.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from profiler.errors import ConfigError, StorageError
from profiler.fleet.inventory.yamltext import write_atomically
from profiler.fleet.targets import Precision, Runtime

__all__ = ["BOARDS", "MACHINE", "USER", "Board", "BoardFiles", "FleetBoard", "prepare", "write_devices"]

USER = "edgecost"
MACHINE = "this-host"


class FleetBoard(Protocol):
    """What a fleet has to know of a board."""

    @property
    def id(self) -> str:
        """Its name everywhere."""

    def entry(self) -> dict[str, Any]:
        """What devices.yaml says of it, besides how it is reached: description, machine, emulation, targets, ..."""

    def furnish(self, home: Path) -> Mapping[str, str]:
        """Lay what it needs into its home; the environment that its processes have besides the usual. OSError."""


@dataclass(frozen=True, slots=True)
class Board:
    """One configuration of this machine."""

    id: str
    runtime: Runtime
    precision: Precision
    threads: int

    def entry(self) -> dict[str, Any]:
        """See FleetBoard."""
        cpu = f"{platform.machine()} CPU, {os.cpu_count()} logical cores"
        words = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        target = {"runtime": self.runtime, "precision": self.precision, "threads": self.threads, "clock": "unpinned"}
        return {
            "description": f"this machine's {cpu}: {self.runtime} {self.precision}, {words} (not a board)",
            "machine": MACHINE,
            "emulation": "loopback",
            "targets": [target],
        }

    def furnish(self, home: Path) -> Mapping[str, str]:
        """See FleetBoard."""
        return {}


BOARDS: tuple[Board, ...] = (
    Board("ort-fp32-t1", "onnxruntime", "fp32", 1),
    Board("ort-int8-t1", "onnxruntime", "int8", 1),
    Board("ort-fp32-t2", "onnxruntime", "fp32", 2),
    Board("litert-fp32-t1", "litert", "fp32", 1),
    Board("litert-int8-t1", "litert", "int8", 1),
    Board("torch-fp32-t1", "torch", "fp32", 1),
)


@dataclass(frozen=True, slots=True)
class BoardFiles:
    """Where the parts of one board lie below the fleet's root.

    Attributes:
        board: which one.
        home: HOME of its processes.
        host_key: its private host key.
        authorized_keys: the public keys it admits.
        fingerprint: of the host key, "SHA256:...".
        environment: of its processes, besides the usual.
    """

    board: FleetBoard
    home: Path
    host_key: Path
    authorized_keys: Path
    fingerprint: str
    environment: Mapping[str, str] = field(default_factory=dict)


def prepare(root: Path, boards: Sequence[FleetBoard] = BOARDS) -> tuple[BoardFiles, ...]:
    """Make homes and keys where they are missing (folders 0700, private keys 0600); what exists is kept.

    Raises:
        StorageError: the folder cannot be written.
        ConfigError: a key that is there already cannot be read, or asyncssh is not installed.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o700)
        client = _key(client_key_path(root), "edgecost client")
        files = []
        for board in boards:
            folder = root / "boards" / board.id
            home = folder / "home"
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            public = _key(folder / "host_key", f"edgecost {board.id}")
            write_atomically(folder / "authorized_keys", client.decode(), mode=0o600)
            keys = (folder / "host_key", folder / "authorized_keys")
            files.append(BoardFiles(board, home.resolve(), *keys, _fingerprint(public), board.furnish(home.resolve())))
    except OSError as error:
        raise StorageError(
            f"The fleet's folder {root} cannot be prepared: {error.strerror}; choose another."
        ) from error
    return tuple(files)


def client_key_path(root: Path) -> Path:
    """The private key that the fleet's boards admit."""
    return root / "client_key"


def _key(path: Path, comment: str) -> bytes:
    """The public half of the ed25519 key at `path`, which is made when it is missing."""
    try:
        import asyncssh
    except ImportError as error:
        raise ConfigError(
            'The embedded fleet needs asyncssh: install it with `pip install "edgecost[fleet]"`.'
        ) from error
    if path.exists():
        try:
            return asyncssh.read_private_key(path).export_public_key()
        except (asyncssh.KeyImportError, ValueError) as error:
            raise ConfigError(f"{path} is no private key ({error}): delete it, and a new one will be made.") from error
    key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
    write_atomically(path, key.export_private_key().decode(), mode=0o600)
    return key.export_public_key()


def _fingerprint(public: bytes) -> str:
    import asyncssh

    return asyncssh.import_public_key(public).get_fingerprint("sha256")


def write_devices(root: Path, files: tuple[BoardFiles, ...], ports: Mapping[str, int], user: str) -> Path:
    """Write root/devices.yaml in the schema of every devices.yaml, for boards that admit `user`; its path."""
    devices = []
    for part in files:
        entry = part.board.entry()
        reached = {
            "id": part.board.id,
            "description": entry.pop("description"),
            "host": "127.0.0.1",
            "port": ports[part.board.id],
            "user": user,
            "identity_file": str(client_key_path(root).resolve()),
            "host_key": part.fingerprint,
            "python": sys.executable,
            "workdir": "~/.cache/edgecost",
        }
        devices.append({**reached, **entry})
    kinds = {str(device["emulation"]) for device in devices}
    comment = "# Written by the embedded fleet when it starts; changes here are lost.\n"
    comment += "".join(_COMMENTS[kind] for kind in sorted(kinds) if kind in _COMMENTS)
    path = root / "devices.yaml"
    text = yaml.safe_dump({"version": 1, "devices": devices}, sort_keys=False, allow_unicode=True, width=200)
    write_atomically(path, comment + text, mode=0o600)
    return path


_COMMENTS = {
    "loopback": "# These are six configurations of this one machine behind SSH, not six boards: they take turns.\n",
    "simulated": "# There are no such boards: they are simulated, and no figure of theirs is a board's.\n",
}
"""By emulation, what whoever reads the file should know."""
