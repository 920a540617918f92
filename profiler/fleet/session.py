"""One session with a board: the agent pushed and started, artefacts pushed, jobs measured.

    connect -> (first use) workdir, agent, lease on the board, hello -> facts / fresh_worker / measure ... -> close

A session that has failed once is over: its conversation may be out of step. Reconnecting is the campaign's decision.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from profiler.errors import AgentCrashed, ArtefactError, DeviceBusy, DeviceError, DeviceLost, DeviceTimeout
from profiler.fleet import messages
from profiler.fleet.agent_bundle import build_agent
from profiler.fleet.leases import BOARD_LEASE, BUSY_EXIT, machine_lease, owner_text
from profiler.fleet.messages import Facts, Reply, escape
from profiler.fleet.targets import Device, Target
from profiler.fleet.transport.base import Channel, Transport
from profiler.fleet.workplace import COMMAND_S, Workplace, prepare
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import Artefact

__all__ = ["PROTOCOL", "BoardSession", "SessionLimits", "connect"]

PROTOCOL = 1
"""The version of the conversation with the agent that this host speaks."""

_GREETING_LINES = 200
"""So many lines may a login shell's rc file print before the agent's first words."""

_Answer = TypeVar("_Answer")


def connect(device: Device) -> BoardSession:
    """Reach a board over SSH; the agent is started at first use.

    Raises:
        Unreachable, DeviceTimeout, HostKeyMismatch, AuthenticationFailed: see profiler.errors.
        ConfigError: a key file cannot be read.
    """
    from profiler.fleet.transport.ssh import connect as connect_ssh

    return BoardSession(device, connect_ssh(device))


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Seconds that a session waits.

    Attributes:
        start_s: for the agent's first words, the wait for the board's lease not counted.
        board_lease_s: for the lease on the board: an agent whose host was killed needs a moment to notice.
        machine_lease_s: for a turn on a machine that several boards share.
        silence_s: without a heartbeat while a job runs, until the agent counts as stuck.
        margin_s: beyond a job's own limit, until the agent counts as stuck although it still beats.
    """

    start_s: float = 60.0
    board_lease_s: float = 15.0
    machine_lease_s: float = 1800.0
    silence_s: float = 30.0
    margin_s: float = 60.0


class BoardSession:
    """A conversation with the agent on one board; a context manager, for one thread at a time.

    Args:
        device: the board.
        transport: the link to it, which this session closes in the end.
        limits: how long to wait.
    """

    def __init__(self, device: Device, transport: Transport, limits: SessionLimits | None = None) -> None:
        self.device = device
        self._transport = transport
        self._limits = limits or SessionLimits()
        self._workplace: Workplace | None = None
        self._channel: Channel | None = None
        self._failed = False
        self._stored: set[str] = set()
        self._serial = itertools.count()

    def __enter__(self) -> Self:
        try:
            self._agent()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def facts(self) -> Facts:
        """What the board is and which runtimes it has.

        Raises:
            DeviceError: DeviceTimeout, DeviceLost or AgentCrashed.
        """
        return self._ask({"op": "facts"}, messages.FactsMessage).facts

    def fresh_worker(self) -> None:
        """Replace the worker process; DeviceError as `facts`."""
        self._ask({"op": "fresh_worker"}, messages.WorkerStarted)

    def measure(self, artefact: Artefact, target: Target, config: MeasureConfig) -> Reply:
        """Run one job; what fails on the board inside the job is a Reply with a status, not an exception.

        Boards that share a machine wait here for their turn, the sending of the artefact included.

        Raises:
            DeviceTimeout: the agent fell silent, or outran the job's limit and the margin.
            DeviceLost, AgentCrashed: the link broke, or the agent did.
            DeviceBusy: the machine stayed in use for all of `machine_lease_s`.
            ArtefactError: the artefact is not for this target, or its file is gone or changed.
        """
        if target.device_id != self.device.id or (artefact.runtime, artefact.precision) != (
            target.runtime,
            target.precision,
        ):
            raise ArtefactError(
                f"An artefact for {artefact.runtime} {artefact.precision} cannot run on {self.device.id} "
                f"as {target.id}."
            )
        self._agent()
        purpose = f"a measurement on {self.device.id}"
        with machine_lease(self.device.machine or self.device.id, purpose, wait_s=self._limits.machine_lease_s):
            return self._guard(lambda: self._run(self._job(artefact, target, config), config))

    def close(self) -> None:
        """Let the agent go, and break the link; never raises, may be called twice."""
        channel, self._channel = self._channel, None
        self._failed = True
        if channel is not None:
            channel.close()
        self._transport.close()

    # The conversation

    def _agent(self) -> Channel:
        """The agent, started when it is not yet."""
        if self._failed:
            raise DeviceLost(f"The session with {self.device.id} is over: connect again.", self.device.id)
        if self._channel is None:
            self._guard(self._start)
        assert self._channel is not None
        return self._channel

    def _guard(self, action: Callable[[], _Answer]) -> _Answer:
        """Do something after whose failure the conversation may be out of step."""
        try:
            return action()
        except BaseException:
            self._failed = True
            raise

    def _start(self) -> None:
        place = self._workplace = prepare(self._transport, self.device)
        data, sha256 = build_agent()
        path = place.agent(sha256)
        place.store(self._transport, self.device.id, data, sha256, path)
        wait_s = self._limits.board_lease_s
        lease = [place.lease, owner_text("a session"), str(wait_s)]
        self._channel = self._transport.open([place.python, "-c", BOARD_LEASE, *lease, path, "serve"])
        hello = self._hello(time.monotonic() + wait_s + self._limits.start_s)
        if hello.protocol != PROTOCOL:
            raise AgentCrashed(
                f"The agent on {self.device.id} speaks version {hello.protocol} of its protocol and this host speaks "
                f"{PROTOCOL}: delete {place.folder}/agent there.",
                self.device.id,
            )

    def _hello(self, deadline: float) -> messages.Hello:
        for _ in range(_GREETING_LINES):
            line = self._line(deadline - time.monotonic())
            if not line.lstrip().startswith(b"{"):
                continue
            message = messages.parse_message(line, self.device.id)
            if isinstance(message, messages.Hello):
                return message
            raise self._nonsense(message)
        raise AgentCrashed(
            f"{self.device.id} prints and prints, but not what an agent says: check its rc files.", self.device.id
        )

    def _line(self, timeout_s: float) -> bytes:
        assert self._channel is not None
        try:
            line = self._channel.read_line(max(0.0, timeout_s))
        except DeviceTimeout as error:
            raise DeviceTimeout(
                f"The agent on {self.device.id} has said nothing for {timeout_s:.3g} s: see whether the board hangs "
                "or is overloaded, then run this again.",
                self.device.id,
            ) from error
        if line is None:
            raise self._ended(self._channel)
        return line

    def _ended(self, channel: Channel) -> DeviceError:
        """Why the agent's output ended while the link holds."""
        status = channel.exit_status(COMMAND_S / 10)
        words = channel.stderr_tail().decode("utf-8", "replace").strip()
        name, python = self.device.id, self._workplace.python if self._workplace else self.device.python
        if status == BUSY_EXIT:
            owner = escape(words, 200) or "somebody else"
            return DeviceBusy(
                f"The board {name} is in use by {owner}: wait for it, or end it, and run this again.", name
            )
        last = escape(words.splitlines()[-1], 300) if words else "it said nothing"
        if status in (126, 127):
            return DeviceError(f"{name} cannot run {python!r} ({last}): correct `python` in devices.yaml.", name)
        how = "by a signal" if status in (None, -1) else f"with exit status {status}"
        return AgentCrashed(f"The agent on {name} ended {how} ({last}): run `edgecost devices check {name}`.", name)

    def _nonsense(self, message: messages.Message) -> AgentCrashed:
        said = f"the complaint {message.error!r}" if isinstance(message, messages.Complaint) else f"{message.event!r}"
        return AgentCrashed(f"The agent on {self.device.id} answered with {said} out of turn.", self.device.id)

    def _ask(self, request: dict[str, Any], kind: type[_Answer]) -> _Answer:
        """A request that is answered at once."""
        channel = self._agent()

        def exchange() -> _Answer:
            channel.write_line(_encoded(request))
            message = messages.parse_message(self._line(self._limits.start_s), self.device.id)
            if not isinstance(message, kind):
                raise self._nonsense(message)
            return message

        return self._guard(exchange)

    def _run(self, job: dict[str, Any], config: MeasureConfig) -> Reply:
        channel = self._agent()
        limit_s = config.job_timeout_s + self._limits.margin_s
        deadline = time.monotonic() + limit_s
        channel.write_line(_encoded(job))
        while time.monotonic() < deadline:
            message = messages.parse_message(self._line(self._limits.silence_s), self.device.id)
            if isinstance(message, messages.Result) and message.id == job["id"]:
                return message.reply()
            if not isinstance(message, messages.Heartbeat):
                raise self._nonsense(message)
        raise DeviceTimeout(
            f"The agent on {self.device.id} is alive, yet has not ended its job within {limit_s:g} s.", self.device.id
        )

    def _job(self, artefact: Artefact, target: Target, config: MeasureConfig) -> dict[str, Any]:
        return {
            "op": "job",
            "id": str(next(self._serial)),
            "path": self._stored_path(artefact),
            "format": artefact.format,
            "runtime": artefact.runtime,
            "precision": artefact.precision,
            "threads": target.threads,
            "inputs": artefact.inputs,
            "layout": artefact.layout,
            "expected": asdict(artefact.expected),
            "config": config.to_dict(),
        }

    def _stored_path(self, artefact: Artefact) -> str:
        """Where the artefact lies on the board; sent when it is not there, verified once a session."""
        assert self._workplace is not None
        path = self._workplace.artefact(artefact.sha256, artefact.path.suffix)
        if path not in self._stored:
            try:
                data = artefact.path.read_bytes()
            except OSError as error:
                raise ArtefactError(
                    f"The artefact {artefact.path} cannot be read ({error.strerror}): delete the cache and try again."
                ) from error
            if hashlib.sha256(data).hexdigest() != artefact.sha256:
                raise ArtefactError(f"The artefact {artefact.path} has changed: delete the cache and run this again.")
            self._workplace.store(self._transport, self.device.id, data, artefact.sha256, path)
            self._stored.add(path)
        return path


def _encoded(request: dict[str, Any]) -> bytes:
    return json.dumps(request, allow_nan=False).encode()
