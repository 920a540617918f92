"""From a link to an attached agent: workdir, agent, the board's lease, hello. One command where all is in place.

The first command finds the workdir and hashes the agent in it. Where that is the right one, the command becomes the
agent's `attach`; otherwise the agent is put there, and the same command is given again and verifies what arrived.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any

from profiler.errors import AgentCrashed, DeviceError, DeviceLost
from profiler.fleet import messages
from profiler.fleet.agent_bundle import build_agent
from profiler.fleet.plugins import agent_plugins
from profiler.fleet.sessions import stale
from profiler.fleet.sessions.conversation import Conversation, SessionLimits, encoded
from profiler.fleet.sessions.identity import owner_json
from profiler.fleet.sessions.pushing import put
from profiler.fleet.sessions.workplace import COMMAND_S, Arrival, Workplace, arrive_command, unusable
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import Transport

__all__ = ["Attached", "Attacher"]

BUSY_EXIT = 75
"""Exit status of `attach` when another session's agent has the board (EX_TEMPFAIL of sysexits)."""

_GREETING_LINES = 200
"""So many lines may a login shell's rc file print before our own first words."""

_PATIENCE_S = 5.0
"""So long does the board itself wait for its lease before its holder is looked at again."""

_ENDINGS = 3
"""So many stale agents are ended before the board counts as taken."""


@dataclass(frozen=True, slots=True)
class Attached:
    """What an attempt came to.

    Attributes:
        conversation: with the agent, greeted; its old entries come next.
        place: the workdir.
        hello: the agent's first words.
    """

    conversation: Conversation
    place: Workplace
    hello: messages.Hello


class Attacher:
    """Attaches to one session's agent, which is started where there is none.

    Args:
        device, transport: the board and the link to it.
        session: which agent.
        limits: how long to wait.
        passing: whether nobody will come back to this session: without a host its agent ends soon.
    """

    def __init__(
        self, device: Device, transport: Transport, session: str, limits: SessionLimits, *, passing: bool = False
    ) -> None:
        self._device = device
        self._transport = transport
        self.session = session
        self._limits = limits
        self._passing = passing

    def hello(self, since: int = 0) -> dict[str, Any]:
        """Our first words; said again, they make the agent tell its entries from `since` on once more."""
        lease = self._device.lease
        return {
            "op": "hello",
            "since": since,
            # what shares its machine must not go on there while another board has its turn
            "alone_s": 0 if self._device.shared or self._passing else None,
            "linger_s": min(lease.linger_s, _PATIENCE_S) if self._passing else lease.linger_s,
        }

    def attach(self) -> Attached:
        """Attach, waiting for the board's lease for as long as devices.yaml says.

        Raises:
            DeviceBusy: somebody else has the board.
            BoardFull: there is no room for the agent.
            DeviceError: the workdir or Python cannot be used.
            DeviceTimeout, DeviceLost, AgentCrashed: the conversation did not begin.
            ConfigError: a plug-in for one of the device's runtimes cannot be loaded.
        """
        data, sha256 = build_agent(agent_plugins(target.runtime for target in self._device.targets))
        until: float | None = None
        wait_s, puts, endings = 0.0, 0, 0
        while True:
            arrival, conversation, hello = self._attempt(sha256, wait_s)
            place = arrival.workplace
            assert place is not None
            if hello is not None:
                return Attached(conversation, place, hello)
            if arrival.agent_sha256 not in (sha256, ""):
                conversation.close()
                puts += 1
                if puts > 2:
                    raise _stores_wrongly(self._device, place.agent(sha256))
                put(self._transport, self._device, place, data, place.agent(sha256))
                continue
            holder = stale.parse_holder(conversation.last_words())
            conversation.close()
            if holder is not None and stale.is_stale(holder) and endings < _ENDINGS:
                endings += 1
                if stale.end(self._transport, place, place.agent(sha256), holder):
                    continue
            if until is None:
                until = time.monotonic() + self._device.lease.wait_s
            wait_s = min(until - time.monotonic(), _PATIENCE_S)
            if wait_s <= 0:
                raise stale.busy(self._device, holder)

    def _attempt(self, sha256: str, wait_s: float) -> tuple[Arrival, Conversation, messages.Hello | None]:
        """Give the command, and hear what it says; no hello where the agent is missing or the board is taken."""
        words = [self.session, owner_json(), f"{wait_s:.3f}"]
        channel = self._transport.open(arrive_command(self._device, sha256, *words))
        conversation = Conversation(self._device, channel, self._device.python, self._limits)
        try:
            # said before anybody listens, which saves the wait for the first line; if nobody will, reading tells why
            with contextlib.suppress(DeviceLost):
                channel.write_line(encoded(self.hello()))
            arrival = self._arrive(conversation)
            place = arrival.workplace
            if place is None:
                raise AgentCrashed(
                    f"{self._device.id} says that its workdir is where no folder can be: check its rc files.",
                    self._device.id,
                )
            conversation.python = place.python
            if arrival.agent_sha256 not in (sha256, ""):
                return arrival, conversation, None
            return arrival, conversation, self._greeted(conversation, wait_s)
        except BaseException:
            conversation.close()
            raise

    def _arrive(self, conversation: Conversation) -> Arrival:
        arrival = Arrival(self._device)
        deadline = time.monotonic() + COMMAND_S
        for _ in range(_GREETING_LINES):
            line = conversation.optional_line(deadline - time.monotonic())
            if line is None:
                if conversation.exit_status() == 1:
                    raise unusable(self._device, conversation.last_word())
                raise conversation.ended()
            if arrival.take(line):
                return arrival
        raise AgentCrashed(
            f"{self._device.id} prints and prints, but not what we asked for: check its rc files.", self._device.id
        )

    def _greeted(self, conversation: Conversation, wait_s: float) -> messages.Hello | None:
        line = conversation.optional_line(wait_s + self._limits.start_s)
        if line is None:
            if conversation.exit_status() == BUSY_EXIT:
                return None
            raise conversation.ended()
        message = messages.parse_message(line, self._device.id)
        if not isinstance(message, messages.Hello):
            raise conversation.out_of_turn(message)
        conversation.greet(message, self.session, 0)
        return message


def _stores_wrongly(device: Device, path: str) -> DeviceError:
    return DeviceError(
        f"{device.id} stores {messages.escape(path, 200)} wrongly (its SHA-256 differs from what was sent): check its "
        "disk or card.",
        device.id,
    )
