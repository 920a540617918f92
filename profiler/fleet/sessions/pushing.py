"""Files that a board lacks, brought there once, whole and verified by the board itself."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Sequence

from profiler.errors import ArtefactError, BoardFull, DeviceError
from profiler.fleet import messages
from profiler.fleet.sessions.conversation import Conversation
from profiler.fleet.sessions.workplace import COMMAND_S, Workplace
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import Transport
from profiler.workloads.artefacts import Artefact

__all__ = ["Store", "put"]

_ANSWER_S = 60.0
_HASHING_BYTES_PER_S = 2e6
"""What a slow card reads."""

_FILES = 2000
"""So many files are asked for at a time."""

_FULL = ("no space", "quota", "disk full")

_SLACK_BYTES = 65536

_MAKE_ROOM = 'cd "$1" || exit 1; k=" $(cat) "; for f in *; do case "$k" in *" $f "*) ;; *) rm -f -- "./$f";; esac; done'
"""Removes all files of the folder `$1` whose names are not on stdin."""


def put(transport: Transport, device: Device, place: Workplace, data: bytes, path: str) -> None:
    """Write one file.

    Raises:
        BoardFull: there is no room for it.
        DeviceError: anything else that goes wrong.
    """
    try:
        transport.put(data, path)
    except BoardFull:
        raise
    except DeviceError as error:
        if not any(word in str(error).lower() for word in _FULL) and not _is_full(transport, place, len(data)):
            raise
        raise BoardFull(
            f"{device.id} has no room for a file of {max(1, len(data) >> 20)} MB in {place.folder}: free some space "
            "there.",
            device.id,
        ) from error


def _is_full(transport: Transport, place: Workplace, size: int) -> bool:
    """Whether that much does not fit: servers seldom say why they could not store something."""
    with contextlib.suppress(DeviceError, ValueError, IndexError):
        answer = transport.run(["df", "-Pk", place.folder], timeout_s=COMMAND_S)
        return int(answer.stdout.decode("ascii", "replace").splitlines()[-1].split()[3]) * 1024 < size + _SLACK_BYTES
    return False


class Store:
    """The artefacts of one board, as far as this session has seen to them.

    Args:
        device, transport, place: the board.
        conversation: with its agent, which hashes what lies there.
    """

    def __init__(self, device: Device, transport: Transport, place: Workplace, conversation: Conversation) -> None:
        self._device = device
        self._transport = transport
        self._place = place
        self._conversation = conversation
        self._verified: set[str] = set()

    def path(self, artefact: Artefact) -> str:
        """Where it lies on the board."""
        return self._place.artefact(artefact.sha256, artefact.path.suffix)

    def supply(self, artefacts: Sequence[Artefact]) -> BoardFull | None:
        """Bring there what is missing; the board must be idle.

        Returns:
            None, or why not everything is there: `holds` tells which of them are.

        Raises:
            ArtefactError: a file is gone or has changed on this host.
            DeviceError: the board stores wrongly, or the link or the agent failed.
        """
        block = {self.path(artefact): artefact for artefact in artefacts}
        wanted = {path: artefact for path, artefact in block.items() if path not in self._verified}
        full: BoardFull | None = None
        too_large = None
        missing = self._ask(wanted)
        for _ in range(2):
            sent = {}
            for path in missing:
                data = _read(wanted[path])
                if too_large is not None and len(data) >= too_large:
                    continue
                try:
                    self._put(data, path, block, cleared=full is not None)
                    sent[path] = wanted[path]
                except BoardFull as error:
                    full, too_large = error, len(data)
            missing = self._ask(sent)
            if not missing:
                return full
        raise DeviceError(
            f"{self._device.id} stores {messages.escape(missing[0], 200)} wrongly (its SHA-256 differs from what was "
            "sent): check its disk or card.",
            self._device.id,
        )

    def holds(self, artefact: Artefact) -> bool:
        """Whether it is known to be there, whole."""
        return self.path(artefact) in self._verified

    def _ask(self, wanted: dict[str, Artefact]) -> list[str]:
        """Which of these the board lacks; the others count as verified for as long as the session lasts."""
        missing = []
        paths = list(wanted)
        for start in range(0, len(paths), _FILES):
            part = paths[start : start + _FILES]
            request = {"op": "have", "files": [[path, wanted[path].sha256] for path in part]}
            limit_s = _ANSWER_S + sum(_size(wanted[path]) for path in part) / _HASHING_BYTES_PER_S
            answer = self._conversation.ask(request, messages.Missing, limit_s)
            if any(number >= len(part) for number in answer.places):
                raise self._conversation.out_of_turn(answer)
            lacking = {part[number] for number in answer.places}
            self._verified |= set(part) - lacking
            missing += [path for path in part if path in lacking]
        return missing

    def _put(self, data: bytes, path: str, block: Collection[str], *, cleared: bool) -> None:
        try:
            put(self._transport, self._device, self._place, data, path)
        except BoardFull:
            if cleared:
                raise
            self._clear(path.rpartition("/")[0], block)
            put(self._transport, self._device, self._place, data, path)

    def _clear(self, folder: str, block: Collection[str]) -> None:
        """Remove the artefacts of earlier blocks and runs: whoever has the board's lease is alone here."""
        names = " ".join(path.rpartition("/")[2] for path in block)
        self._transport.run(["sh", "-c", _MAKE_ROOM, "sh", folder], timeout_s=COMMAND_S, stdin=names.encode())
        self._verified &= set(block)


def _size(artefact: Artefact) -> int:
    with contextlib.suppress(OSError):
        return artefact.path.stat().st_size
    return 0


def _read(artefact: Artefact) -> bytes:
    try:
        data = artefact.path.read_bytes()
    except OSError as error:
        raise ArtefactError(
            f"The artefact {artefact.path} cannot be read ({error.strerror}): delete the cache and try again."
        ) from error
    if hashlib.sha256(data).hexdigest() != artefact.sha256:
        raise ArtefactError(f"The artefact {artefact.path} has changed: delete the cache and run this again.")
    return data
