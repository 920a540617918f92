"""Taking everything of ours from a board, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from profiler.errors import AgentCrashed, DeviceBusy, DeviceError, DeviceLost, DeviceTimeout
from profiler.fleet.provisioning.answers import nonsense
from profiler.fleet.provisioning.ground import Ground
from profiler.fleet.provisioning.installing import Say
from profiler.fleet.sessions.session import connect
from profiler.fleet.sessions.stale import busy, parse_holder
from profiler.fleet.sessions.workplace import COMMAND_S, Workplace, complaint
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import Transport

__all__ = ["Removed", "deprovision"]

_FIND = (
    'd=$1; p=$2; case "$d" in "~/"*) d="$HOME/${d#??}";; esac; case "$p" in "~/"*) p="$HOME/${p#??}";; esac; '
    'test -d "$d" && cd -- "$d" && d=$(pwd -P) && printf "\\nedgecost:%s\\n" "$HOME" "$d" "$p"; exit 0'
)
"""As `workplace` finds a workdir, but without making it."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What became of a board's workdir.

    Attributes:
        folder: the workdir; "" where there was none.
        agents: how many agents were ended.
        kept: what was left there because it is not ours, relative to the folder.
    """

    folder: str
    agents: int = 0
    kept: tuple[str, ...] = ()


def deprovision(device: Device, *, say: Say = lambda line: None) -> Removed:
    """End our agents on a board and remove environments, agent, artefacts, sessions and the workdir itself.

    Files that are not ours stay, and are told. Parents of the workdir go too where they were made for it and are empty.

    Raises:
        DeviceBusy: somebody else uses the board.
        DeviceError: it cannot be reached or used.
    """
    from profiler.fleet.transport.ssh import connect as connect_ssh

    transport = connect_ssh(device)
    try:
        place = _find(transport, device)
        if place is None:
            say(f"{device.id}: nothing is there")
            return Removed("")
        _end_our_agent(device, say)
        cleared = Ground(transport, device, place).clear()
        if cleared.busy is not None:
            raise busy(device, parse_holder(cleared.busy.encode()))
        if cleared.left and not cleared.kept:
            raise DeviceError(
                f"{place.folder} is empty, yet cannot be removed from {device.id}: do so by hand.", device.id
            )
        return Removed(place.folder, cleared.ended, tuple(cleared.kept))
    finally:
        transport.close()


def _find(transport: Transport, device: Device) -> Workplace | None:
    result = transport.run(["sh", "-c", _FIND, "sh", device.workdir, device.python], timeout_s=COMMAND_S)
    if result.exit_status != 0:
        raise DeviceError(f"{device.id} cannot look for {device.workdir} ({complaint(result)}).", device.id)
    lines = [line for line in result.stdout.decode("utf-8", "replace").splitlines() if line.startswith("edgecost:")]
    words = [line.removeprefix("edgecost:") for line in lines]
    if not words:
        return None
    if len(words) != 3 or not all(word.startswith("/") and word.isprintable() for word in words[:2]):
        raise nonsense(device.id, "a workdir where no folder can be")
    return Workplace(*words)


def _end_our_agent(device: Device, say: Say) -> None:
    """Take the lease, by which agents that nobody will come back to are ended, and give it back.

    Raises:
        DeviceBusy: somebody has the board.
    """
    try:
        with connect(device):
            pass
    except (DeviceBusy, DeviceLost, DeviceTimeout):
        raise
    except (AgentCrashed, DeviceError) as error:  # what is to be removed may be the very reason
        say(f"{device.id}: no agent can be started there ({error}); going on, since nobody has the board")
