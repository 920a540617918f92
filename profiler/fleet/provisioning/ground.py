"""The host's end of what happens in a board's workdir: one command an operation, every answer validated."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from profiler.errors import BoardFull, DeviceError
from profiler.fleet.messages import escape
from profiler.fleet.provisioning.answers import (
    Cleared,
    Distributions,
    Done,
    Look,
    Missing,
    Piped,
    Record,
    Trial,
    Unpacked,
    nonsense,
)
from profiler.fleet.provisioning.wheels import Wheel
from profiler.fleet.sessions.pushing import put
from profiler.fleet.sessions.workplace import COMMAND_S, MAKE_WORKDIR, Workplace, complaint, prepare
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import Transport

__all__ = ["Ground", "Tree", "break_ground"]

_MARK = b"edgecost:"
_BOOTSTRAP = "import json,sys;exec(json.loads(sys.stdin.readline()))"
"""The text comes by stdin: some login shells take no line breaks inside quotes."""

_VERSION = "import sys;print('edgecost:%d.%d'%sys.version_info[:2])"

_MADE = "umask 077; d=$1; " + MAKE_WORKDIR

_UNPACK_S = 1800.0
_PIP_S = 3600.0
_MARGIN_BYTES = 32 << 20
_GROWTH = 1.2
"""Of an unpacked tree: what Python compiles at first use comes on top, and so does what blocks of a disk waste."""

_Answer = TypeVar("_Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Tree:
    """One runtime's environment, in use or yet to be tried."""

    runtime: str
    digest: str
    record: Record


def break_ground(transport: Transport, device: Device) -> Ground:
    """Make the workdir where it is missing; its parents are noted, so that they can be removed again.

    Raises:
        DeviceError: it cannot be made.
    """
    transport.run(["sh", "-c", _MADE, "sh", device.workdir], timeout_s=COMMAND_S)  # if it fails, the next one says why
    return Ground(transport, device, prepare(transport, device))


class Ground:
    """A board's workdir, as provisioning uses it."""

    def __init__(self, transport: Transport, device: Device, place: Workplace) -> None:
        self._transport = transport
        self._device = device
        self.place = place

    def look(self) -> Look:
        """What the board's Python is, and what is there.

        Raises:
            DeviceError: it runs no Python, or too old a one.
        """
        return self._do("look", "look", Look, {}, COMMAND_S)

    def push(self, wheels: Sequence[Wheel], free_bytes: int) -> int:
        """Bring wheels to the board, unless they are there whole; how many bytes were sent.

        Raises:
            BoardFull: there is no space for them and their tree.
            DeviceError: what arrives is not what was sent.
        """
        by_hash = {wheel.sha256: wheel for wheel in wheels}
        sent = 0
        for _ in range(2):
            missing = self._do("trees", "have", Missing, {"wheels": sorted(by_hash)}, _UNPACK_S).missing
            if not missing:
                return sent
            self._check_space([by_hash[sha] for sha in missing if sha in by_hash], wheels, free_bytes)
            for sha in missing:
                if sha not in by_hash:
                    raise nonsense(self._device.id, "a wheel that nobody asked about")
                data = by_hash[sha].path.read_bytes()
                put(self._transport, self._device, self.place, data, f"{self.place.folder}/env/wheels/{sha}.whl")
                sent += len(data)
        if self._do("trees", "have", Missing, {"wheels": sorted(by_hash)}, _UNPACK_S).missing:
            raise DeviceError(
                f"{self._device.id} stores wheels wrongly (their SHA-256 differs from what was sent): check its disk "
                "or card.",
                self._device.id,
            )
        return sent

    def _check_space(self, missing: Iterable[Wheel], wheels: Iterable[Wheel], free_bytes: int) -> None:
        unpacked = sum(wheel.unpacked_bytes for wheel in wheels)
        needed = sum(wheel.packed_bytes for wheel in missing) + int(unpacked * _GROWTH) + _MARGIN_BYTES
        if needed > free_bytes:
            raise BoardFull(
                f"{self._device.id} has {free_bytes >> 20} MB free in {self.place.folder} and needs {needed >> 20} MB: "
                "free some space, or give another `workdir` in devices.yaml.",
                self._device.id,
            )

    def unpack(self, tree: Tree, wheels: Iterable[Wheel], *, anew: bool) -> bool:
        """Make a tree of wheels that were pushed; whether that was necessary. `anew` replaces one that is there."""
        spec = self._spec(tree, wheels=sorted(wheel.sha256 for wheel in wheels), anew=anew)
        return not self._do("trees", "unpack", Unpacked, spec, _UNPACK_S).there

    def by_pip(self, runtime: str, requirements: Sequence[str], record: Record) -> tuple[str, Distributions, int] | str:
        """Make a tree with the board's own pip: its digest, what it holds and its size, or why that failed."""
        spec = {
            "runtime": runtime,
            "digest": "",
            "requirements": list(requirements),
            "timeout_s": _PIP_S,
            "record": record.model_dump(),
        }
        answer = self._do("trees", "by_pip", Piped, spec, _PIP_S + COMMAND_S)
        if not answer.pip:
            return "its Python has no pip"
        if answer.error or not answer.digest:
            return escape((answer.error.strip().splitlines() or ["it said nothing"])[-1], 300)
        return answer.digest, answer.distributions, answer.bytes

    def try_out(self, tree: Tree) -> tuple[str, str]:
        """Make a workdir in which that tree is the only environment; its path, and a token for ending the trial."""
        token = secrets.token_hex(8)
        folder = self._do("trees", "try_out", Trial, self._spec(tree, token=token), COMMAND_S).folder
        if folder != f"{self.place.folder}/env/trial-{token}":
            raise nonsense(self._device.id, "another folder than it was told")
        return folder, token

    def accept(self, tree: Tree, token: str) -> None:
        """Have agents use the tree from now on; what it replaces is removed."""
        self._do("trees", "accept", Done, self._spec(tree, token=token), _UNPACK_S)

    def discard(self, tree: Tree, token: str) -> None:
        """End a trial, and remove the tree unless it is in use."""
        self._do("trees", "discard", Done, self._spec(tree, token=token), _UNPACK_S)

    def clear(self) -> Cleared:
        """Remove all that is ours."""
        return self._do("clear", "clear", Cleared, {}, _UNPACK_S)

    def _spec(self, tree: Tree, **more: Any) -> dict[str, Any]:
        record = tree.record.model_dump()
        distributions = tree.record.distributions
        return {
            "runtime": tree.runtime,
            "digest": tree.digest,
            "record": record,
            "distributions": distributions,
            **more,
        }

    def _do(self, text: str, operation: str, kind: type[_Answer], spec: dict[str, Any], timeout_s: float) -> _Answer:
        name = self._device.id
        stdin = json.dumps(_text(text)) + "\n" + json.dumps({"root": self.place.folder, **spec})
        command = [self.place.python, "-c", _BOOTSTRAP, operation]
        result = self._transport.run(command, timeout_s=timeout_s, stdin=stdin.encode("ascii"))
        lines = [line for line in result.stdout.splitlines() if line.startswith(_MARK)]
        if not lines:
            raise self._no_python(complaint(result))
        try:
            answer = json.loads(lines[-1][len(_MARK) :])
            if isinstance(answer, dict) and isinstance(answer.get("failed"), str):
                raise DeviceError(
                    f"{name} could not {operation.replace('_', ' ')} in {self.place.folder} "
                    f"({escape(answer['failed'], 300)}): free some space or mend the folder, then run this again.",
                    name,
                )
            return kind.model_validate(answer)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise nonsense(name, escape(f"{where}: {first['msg']}".lstrip(": "), 200)) from None
        except (ValueError, RecursionError) as error:
            raise nonsense(name, escape(str(error), 200)) from None

    def _no_python(self, said: str) -> DeviceError:
        """Why our text was not understood: a Python that is too old says so by itself when it is asked simply."""
        name, python = self._device.id, self.place.python
        result = self._transport.run([python, "-c", _VERSION], timeout_s=COMMAND_S)
        for line in result.stdout.splitlines():
            if line.startswith(_MARK):
                version = escape(line[len(_MARK) :].decode("ascii", "replace"), 20)
                return DeviceError(
                    f"{name} cannot be provisioned with {python}, a Python {version} ({said}): set `python` in "
                    "devices.yaml to one of version 3.7 or later.",
                    name,
                )
        return DeviceError(
            f"{name} cannot run {python!r} ({said}): install Python there, or correct `python` in devices.yaml.", name
        )


@cache
def _text(name: str) -> str:
    folder = resources.files("profiler.fleet.provisioning.far_end")
    return "\n".join((folder / f"{part}.py").read_text("utf-8") for part in ("common", name))
