"""The lines between this host and the agent on a board: what is asked, what comes, and how long that may take.

A conversation that has failed once is over: it may be out of step. Nothing is kept of what has been read.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from profiler.errors import AgentCrashed, DeviceError, DeviceLost, DeviceTimeout
from profiler.fleet import messages
from profiler.fleet.messages import Hello, Message, Result, Started, escape
from profiler.fleet.sessions.ledger import Ledger
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import Channel
from profiler.measure.config import MeasureConfig

__all__ = ["PROTOCOL", "Conversation", "SessionLimits", "encoded"]

PROTOCOL = 2
"""The version of the conversation with the agent that this host speaks."""

_STATUS_S = 6.0
"""For the exit status of an agent that has closed its output."""

_BYE_S = 5.0

_Answer = TypeVar("_Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Seconds that a session waits.

    Attributes:
        start_s: for the agent's first words and for answers that it has at hand.
        machine_lease_s: for a turn on a machine that several boards share.
        silence_s: without any line, heartbeats included, until the agent counts as stuck.
        margin_s: beyond a job's own limit, until the agent counts as stuck although it still beats.
        replay_s: for the entries that the board has already.
    """

    start_s: float = 60.0
    machine_lease_s: float = 1800.0
    silence_s: float = 30.0
    margin_s: float = 60.0
    replay_s: float = 600.0


def encoded(request: dict[str, Any]) -> bytes:
    """A request as its line."""
    return json.dumps(request, allow_nan=False).encode()


class Conversation:
    """An attached agent.

    Args:
        device: the board.
        channel: to `attach` on it.
        python: its interpreter, for errors.
        limits: how long to wait.

    Attributes:
        ledger: what the board's journal has told.
        over: whether it can go on no more.
    """

    def __init__(self, device: Device, channel: Channel, python: str, limits: SessionLimits) -> None:
        self.ledger = Ledger(device.id)
        self.over = False
        self.python = python
        self._device = device
        self._channel = channel
        self._limits = limits

    @contextlib.contextmanager
    def _in_step(self) -> Iterator[None]:
        """After whatever goes wrong in here, nothing more is said."""
        if self.over:
            raise DeviceLost(f"The session with {self._device.id} is over: connect again.", self._device.id)
        try:
            yield
        except BaseException:
            self.over = True
            raise

    def send(self, request: dict[str, Any]) -> None:
        """Say something; DeviceError where that fails."""
        with self._in_step():
            self._channel.write_line(encoded(request))

    def optional_line(self, timeout_s: float) -> bytes | None:
        """The next line, whatever it is; None where the output has ended.

        Raises:
            DeviceTimeout, DeviceLost, AgentCrashed: neither comes.
        """
        with self._in_step():
            try:
                return self._channel.read_line(max(0.0, timeout_s))
            except DeviceTimeout as error:
                raise DeviceTimeout(
                    f"The agent on {self._device.id} has said nothing for {timeout_s:.3g} s: see whether the board "
                    "hangs or is overloaded, then run this again.",
                    self._device.id,
                ) from error

    def next(self, timeout_s: float) -> Message:
        """The next message, any entry of the journal already checked against the ledger.

        Raises:
            DeviceTimeout, DeviceLost: none comes.
            AgentCrashed: the agent has ended, or what comes makes no sense.
        """
        line = self.optional_line(timeout_s)
        if line is None:
            raise self.ended()
        with self._in_step():
            message = messages.parse_message(line, self._device.id)
            if isinstance(message, (Started, Result)):
                self.ledger.take(message)
            elif isinstance(message, messages.Bye):
                raise DeviceLost(
                    f"The agent on {self._device.id} took its leave ({message.why or 'without a reason'}): connect "
                    "again.",
                    self._device.id,
                )
            return message

    def out_of_turn(self, message: Message) -> AgentCrashed:
        """The error for a message that fits nothing; the conversation is over."""
        self.over = True
        said = f"the complaint {message.error!r}" if isinstance(message, messages.Complaint) else f"{message.event!r}"
        return AgentCrashed(f"The agent on {self._device.id} answered with {said} out of turn.", self._device.id)

    def ask(self, request: dict[str, Any], kind: type[_Answer], limit_s: float | None = None) -> _Answer:
        """A request with one answer; `limit_s` is `start_s` by default."""
        self.send(request)
        return self.answer(kind, limit_s or self._limits.start_s)

    def answer(self, kind: type[_Answer], limit_s: float) -> _Answer:
        """The answer that is due; heartbeats and entries of the journal may come before it."""
        deadline = time.monotonic() + limit_s
        while True:
            message = self._next_until(deadline, limit_s, max(self._limits.start_s, self._limits.silence_s))
            if isinstance(message, kind):
                return message
            if not isinstance(message, (messages.Heartbeat, Started, Result)):
                raise self.out_of_turn(message)

    def _next_until(self, deadline: float, limit_s: float, silence_s: float) -> Message:
        """The next message, after `silence_s` at the latest; DeviceTimeout too where `deadline` has passed."""
        left_s = deadline - time.monotonic()
        try:
            if left_s > 0:
                return self.next(min(left_s, silence_s))
        except DeviceTimeout:
            if silence_s <= left_s:
                raise
        self.over = True
        raise DeviceTimeout(
            f"The agent on {self._device.id} has come to nothing within {limit_s:g} s: see whether the board hangs or "
            "is overloaded, then run this again.",
            self._device.id,
        )

    def greet(self, hello: Hello, session: str, since: int) -> None:
        """Check the agent's first words; the entries from `since` on come next."""
        if hello.protocol != PROTOCOL or hello.session != session:
            self.over = True
            which = f"version {hello.protocol} of its protocol and this host {PROTOCOL}"
            if hello.protocol == PROTOCOL:
                which = f"for session {hello.session!r} and this host has another"
            raise AgentCrashed(
                f"The agent on {self._device.id} speaks {which}: end its process {hello.pid} there.", self._device.id
            )
        with self._in_step():
            self.ledger.greet(hello, since)

    def replay(self) -> Iterator[Result]:
        """Read the entries that the board had when it was greeted; the results among them."""
        limit_s = self._limits.replay_s
        deadline = time.monotonic() + limit_s
        while self.ledger.replaying:
            message = self._next_until(deadline, limit_s, self._limits.silence_s)
            if isinstance(message, Result):
                before = time.monotonic()
                yield message
                deadline += time.monotonic() - before  # what becomes of it is not the board's time
            elif not isinstance(message, (messages.Heartbeat, Started)):
                raise self.out_of_turn(message)

    def results(self, config: MeasureConfig, *, queued: bool = False) -> Iterator[Result]:
        """Results as the board comes to them, until it has done all its jobs.

        With `queued` they end sooner: when it has confirmed that it has got a block.
        """
        limit_s = config.longest_job_s() + self._limits.margin_s
        deadline = time.monotonic() + limit_s
        while queued or not self.ledger.idle:
            message = self._next_until(deadline, limit_s, self._limits.silence_s)
            if isinstance(message, Result):
                yield message
            elif queued and isinstance(message, messages.Queued):
                return
            elif isinstance(message, messages.Heartbeat):
                continue
            elif not isinstance(message, Started):
                raise self.out_of_turn(message)
            deadline = time.monotonic() + limit_s

    def quit(self, forget: bool) -> None:
        """Let the agent go; DeviceError where it does not answer."""
        deadline = time.monotonic() + _BYE_S
        self.send({"op": "quit", "forget": forget})
        self.over = True
        while (left_s := deadline - time.monotonic()) > 0:
            line = self._channel.read_line(left_s)
            if line is None or isinstance(messages.parse_message(line, self._device.id), messages.Bye):
                return

    def ended(self) -> DeviceError:
        """Why the agent's output ended while the link holds."""
        self.over = True
        name, status, last = self._device.id, self.exit_status(), self.last_word()
        if status in (126, 127):
            return DeviceError(f"{name} cannot run {self.python!r} ({last}): correct `python` in devices.yaml.", name)
        how = "by a signal" if status in (None, -1) else f"with exit status {status}"
        return AgentCrashed(f"The agent on {name} ended {how} ({last}): run `edgecost devices check {name}`.", name)

    def exit_status(self) -> int | None:
        """Of the command on the board, once its output has ended."""
        return self._channel.exit_status(_STATUS_S)

    def last_words(self) -> bytes:
        """The end of what it wrote to stderr, as it came."""
        return self._channel.stderr_tail()

    def last_word(self) -> str:
        """The last line of it, safe to show."""
        lines = self.last_words().decode("utf-8", "replace").strip().splitlines()
        return escape(lines[-1], 300) if lines else "it said nothing"

    def close(self) -> None:
        """Leave; the agent goes on. Never raises, may be called twice."""
        self.over = True
        self._channel.close()
