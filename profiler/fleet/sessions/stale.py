"""Who holds a board when it is taken, and ending an agent that nobody will come back to.

Nothing here goes by the wall clock, nor by a process number alone.
"""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from profiler.errors import DeviceBusy, DeviceError
from profiler.fleet.fields import ProcessId, Text, escape
from profiler.fleet.sessions.identity import host_id, is_dead
from profiler.fleet.sessions.workplace import Workplace
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import Transport

__all__ = ["Holder", "busy", "end", "is_stale", "parse_holder"]

_END_S = 30.0
"""For ending an agent and its worker, which get two seconds each to do it themselves."""


class Holder(BaseModel):
    """Who has a board, by the text of the board's lease.

    Attributes:
        host, user, owner, pid, start: of the process that the agent works for; `start` is its `process_start`.
        session: what the agent works at.
        agent_pid, agent_start: of the agent itself, on the board.
        since: in words, by the board's clock; for people only.
        expired: the agent has not renewed the lease for as long as it said it would, by the board's own steady clock.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    host: Text = ""
    user: Text = ""
    owner: Text = ""
    pid: ProcessId
    start: Text = ""
    session: Text = ""
    agent_pid: ProcessId
    agent_start: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]
    since: Text = ""
    expired: bool = False


def parse_holder(said: bytes) -> Holder | None:
    """The lease's text as the agent printed it; None where no line is one (its holder may just be writing it)."""
    for line in reversed(said.splitlines()):
        try:
            return Holder.model_validate(json.loads(line))
        except (ValueError, RecursionError, ValidationError):
            continue
    return None


def is_stale(holder: Holder) -> bool:
    """Whether nobody will come back to that agent: its host process is dead here, or it hangs."""
    return holder.expired or (holder.host == host_id() and is_dead(holder.pid, holder.start))


def end(transport: Transport, place: Workplace, agent: str, holder: Holder) -> bool:
    """End a stale agent with its worker; whether it is gone.

    The board makes sure once more that it is the process meant.

    Args:
        transport: the link.
        place: the workdir that is leased.
        agent: path of the agent's code on the board.
        holder: who.
    """
    words = [place.folder, str(holder.agent_pid), holder.agent_start]
    return transport.run([place.python, "-u", agent, "end", *words], timeout_s=_END_S).exit_status == 0


def busy(device: Device, holder: Holder | None) -> DeviceError:
    """The board is taken: by whom, and since when."""
    who = "somebody else"
    if holder is not None:
        who = f"{holder.owner or holder.user or 'somebody else'} (process {holder.pid}"
        who += f", since {holder.since})" if holder.since else ")"
    return DeviceBusy(
        f"The board {device.id} is in use by {escape(who, 200)}: wait for it, or end it, and run this again.", device.id
    )
