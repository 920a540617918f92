"""A board's folder of ours: where it is, and how files get there once, whole and verified."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from profiler.errors import DeviceError
from profiler.fleet.messages import escape
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import CommandResult, Transport

__all__ = ["Workplace", "prepare"]

COMMAND_S = 60.0
"""For a short command on a slow board."""

HASH_S = 300.0
"""For hashing one artefact on a slow card."""

_MARK = "edgecost:"

_PREPARE = f"""\
umask 077
case "$1" in
  "~/"*) dir="$HOME/${{1#??}}" ;;
  *) dir="$1" ;;
esac
mkdir -p -- "$dir/agent" "$dir/artefacts" && cd -- "$dir" && test -w artefacts || exit 1
printf '\\n{_MARK}%s\\n' "$HOME" "$(pwd -P)"
"""
"""Prints the two paths behind a mark: a login shell's rc file may print lines of its own before them."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """Absolute paths on the board.

    Attributes:
        home: what "~" stands for there.
        folder: the device's workdir.
        python: the interpreter.
    """

    home: str
    folder: str
    python: str

    @property
    def lease(self) -> str:
        """The file that is locked by whoever uses the board."""
        return f"{self.folder}/lease"

    def agent(self, sha256: str) -> str:
        """Where an agent of that hash lies."""
        return f"{self.folder}/agent/{sha256}.pyz"

    def artefact(self, sha256: str, suffix: str) -> str:
        """Where an artefact of that hash lies; `suffix` begins with a dot."""
        return f"{self.folder}/artefacts/{sha256}{suffix}"

    def store(self, transport: Transport, device_id: str, data: bytes, sha256: str, path: str) -> bool:
        """Bring a file to `path` unless it is there already; whether it had to be sent.

        What is there is hashed by the board itself: a name is no proof, after a power cut or on a worn card.

        Raises:
            DeviceError: what arrived differs from what was sent, twice.
        """
        if transport.exists(path) and self._hash(transport, path) == sha256:
            return False
        for _ in range(2):
            transport.put(data, path)
            if self._hash(transport, path) == sha256:
                return True
        raise DeviceError(
            f"{device_id} stores {path} wrongly (its SHA-256 differs from what was sent): check its disk or card.",
            device_id,
        )

    def _hash(self, transport: Transport, path: str) -> str:
        found = transport.run(["sha256sum", "--", path], timeout_s=HASH_S)
        if found.exit_status == 127:  # no coreutils on this board
            code = "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())"
            found = transport.run([self.python, "-c", code, path], timeout_s=HASH_S)
        words = found.stdout.decode("ascii", "replace").split()
        # coreutils puts a backslash before the hash of a path that it had to escape; rc files may print before it
        candidates = [
            word.removeprefix("\\")
            for word in words
            if len(word.removeprefix("\\")) == hashlib.sha256().digest_size * 2
        ]
        return candidates[-1] if found.exit_status == 0 and candidates else ""


def prepare(transport: Transport, device: Device) -> Workplace:
    """Make the workdir (0700) where it is missing, and learn the absolute paths.

    Raises:
        DeviceError: it cannot be made or written to.
    """
    result = transport.run(["sh", "-c", _PREPARE, "sh", device.workdir], timeout_s=COMMAND_S)
    lines = result.stdout.decode("utf-8", "replace").splitlines()
    paths = [line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)]
    if result.exit_status != 0 or len(paths) != 2 or not all(path.startswith("/") for path in paths):
        raise DeviceError(
            f"The workdir {device.workdir} of {device.id} cannot be used ({complaint(result)}): make it writable for "
            f"{device.user}, free some space, or give another `workdir` in devices.yaml.",
            device.id,
        )
    home, folder = paths
    python = home + device.python[1:] if device.python.startswith("~/") else device.python
    return Workplace(home, folder, python)


def complaint(result: CommandResult) -> str:
    """A command's last words, safe to show."""
    text = (result.stderr or result.stdout).decode("utf-8", "replace").strip()
    return escape(text.splitlines()[-1], 200) if text else f"exit status {result.exit_status}"
