"""One session with a board: its agent attached, artefacts pushed, blocks of jobs handed over, results read.

    connect -> (first use) workdir, agent, lease on the board, hello, old entries -> facts / run ... -> close or finish

The agent works on without us: a session that has failed is over, and the next one of the same name finds what was done
meanwhile. Reconnecting is the campaign's decision.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from profiler.errors import ArtefactError, DeviceError, DeviceLost
from profiler.fleet import messages
from profiler.fleet.leases import machine_lease
from profiler.fleet.messages import Facts, Hello, Reply
from profiler.fleet.sessions.attaching import Attacher
from profiler.fleet.sessions.conversation import Conversation, SessionLimits
from profiler.fleet.sessions.identity import passing_session_id
from profiler.fleet.sessions.jobs import batches, request
from profiler.fleet.sessions.pushing import Store
from profiler.fleet.targets import Device, Target
from profiler.fleet.transport.base import Transport
from profiler.measure.board import BoardJob
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import Artefact

__all__ = ["BoardSession", "SessionLimits", "connect"]


def connect(device: Device, session: str | None = None) -> BoardSession:
    """Reach a board over SSH; the agent is attached at first use.

    Args:
        device: the board.
        session: the name of its journal (`identity.session_id`); None for one that is forgotten when it is closed.

    Raises:
        Unreachable, DeviceTimeout, HostKeyMismatch, AuthenticationFailed: see profiler.errors.
        ConfigError: a key file cannot be read.
    """
    from profiler.fleet.transport.ssh import connect as connect_ssh

    return BoardSession(device, connect_ssh(device), session)


class BoardSession:
    """A `profiler.measure.board.Board`: an attached agent; a context manager, for one thread at a time.

    Args:
        device: the board.
        transport: the link to it, which this session closes in the end.
        session: as for `connect`.
        limits: how long to wait.
    """

    def __init__(
        self, device: Device, transport: Transport, session: str | None = None, limits: SessionLimits | None = None
    ) -> None:
        self.device = device
        self._transport = transport
        self._limits = limits or SessionLimits()
        self._passing = session is None
        self._attacher = Attacher(
            device, transport, session or passing_session_id(), self._limits, passing=session is None
        )
        self._conversation: Conversation | None = None
        self._store: Store | None = None
        self._interrupted: Sequence[str] = ()
        self._turn = contextlib.ExitStack()
        self._has_turn = False
        self._over = False

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
        return self._agent().ask({"op": "facts"}, messages.FactsMessage).facts

    def interrupted(self) -> Sequence[str]:
        """Keys of jobs that were begun before this session was opened and neither ended nor run now, once for each
        time; DeviceError as `facts`."""
        self._agent()
        return self._interrupted

    def run(self, block: Sequence[BoardJob], target: Target, config: MeasureConfig) -> Iterator[tuple[str, Reply]]:
        """Hand a block over and yield (key, reply) as its jobs end: first what the board has done already.

        What fails on the board inside a job is a Reply with a status, not an exception. Boards that share a machine
        wait here for their turn. Whoever stops half-way leaves the rest to the board.

        Raises:
            DeviceTimeout: the agent fell silent, or came to nothing within a job's limit and the margin.
            DeviceLost, AgentCrashed: the link broke, or the agent did.
            DeviceBusy: the machine stayed in use for all of `machine_lease_s`.
            BoardFull: there was no room for some of the artefacts. All jobs but theirs have been yielded by then.
            ArtefactError: an artefact is not for this target, or its file is gone or changed.
        """
        self._check(block, target)
        conversation = self._agent()
        wanted = {job.key: job for job in block}
        self._take_turn()
        try:
            for result in self._work(conversation, wanted, target, config):
                if wanted.pop(result.id, None) is not None:
                    yield result.id, result.reply()
        finally:
            self._pass_turn()

    def measure(self, artefact: Artefact, target: Target, config: MeasureConfig, *, fresh: bool = False) -> Reply:
        """Run one job that nobody will ask for again; raises as `run`."""
        job = BoardJob(passing_session_id(), artefact, fresh)
        (found,) = self.run([job], target, config)
        return found[1]

    def finish(self) -> None:
        """Let the board forget this session, and close it; a board that cannot be told forgets nothing. Never raises
        DeviceError."""
        self._passing = True
        self.close()

    def close(self) -> None:
        """Leave the board and break the link; never raises DeviceError, may be called twice.

        An agent that still has something to do goes on with it. An idle one is let go, so that it does not keep the
        board from others; its journal stays.
        """
        conversation, self._conversation = self._conversation, None
        self._over = True
        with contextlib.ExitStack() as last:
            last.callback(self._turn.close)
            last.callback(self._transport.close)
            if conversation is not None:
                last.callback(conversation.close)
                if not conversation.over and (self._passing or conversation.ledger.idle):
                    with contextlib.suppress(DeviceError):
                        conversation.quit(forget=self._passing)

    def _agent(self) -> Conversation:
        """The attached agent, whose old entries have been read."""
        if self._over or (self._conversation is not None and self._conversation.over):
            raise DeviceLost(f"The session with {self.device.id} is over: connect again.", self.device.id)
        if self._conversation is None:
            if self.device.shared:
                self._take_turn()  # a queue that was left here goes on as soon as we are attached
            try:
                self._conversation = self._attach()
            except BaseException:
                self._over = True
                raise
            finally:
                self._pass_turn()
        return self._conversation

    def _attach(self) -> Conversation:
        attached = self._attacher.attach()
        conversation = attached.conversation
        try:
            for _ in conversation.replay():
                pass  # nobody has asked for these yet; `run` has them told again
            self._interrupted = conversation.ledger.interrupted(attached.hello.running)
            self._store = Store(self.device, self._transport, attached.place, conversation)
        except BaseException:
            conversation.close()
            raise
        return conversation

    def _check(self, block: Sequence[BoardJob], target: Target) -> None:
        for job in block:
            made_for = (job.artefact.runtime, job.artefact.precision)
            if target.device_id != self.device.id or made_for != (target.runtime, target.precision):
                raise ArtefactError(
                    f"An artefact for {' '.join(made_for)} cannot run on {self.device.id} as {target.id}."
                )
        if len({job.key for job in block}) != len(block):
            raise ValueError("a block holds two jobs of one key")

    def _work(
        self, conversation: Conversation, wanted: dict[str, BoardJob], target: Target, config: MeasureConfig
    ) -> Iterator[messages.Result]:
        """All results that the board tells until it has done all that it was given; those of others among them."""
        assert self._store is not None
        done = [conversation.ledger.place(key) for key in wanted if conversation.ledger.has_ended(key)]
        if done:
            yield from self._told_again(conversation, min(done))
        yield from conversation.results(config)  # the queue that an earlier host process left behind
        full = self._store.supply([job.artefact for job in wanted.values()])
        ready = [job for job in wanted.values() if self._store.holds(job.artefact)]
        path = self._store.path
        for jobs in batches([request(job, path(job.artefact), self.device, target, config) for job in ready]):
            conversation.ledger.hand_over(job["id"] for job in jobs)
            conversation.send({"op": "block", "jobs": jobs})
            yield from conversation.results(config, queued=True)
        yield from conversation.results(config)
        if full is not None:
            raise full

    def _told_again(self, conversation: Conversation, since: int) -> Iterator[messages.Result]:
        hello = conversation.ask(self._attacher.hello(since), Hello)
        conversation.greet(hello, self._attacher.session, since)
        yield from conversation.replay()

    def _take_turn(self) -> None:
        if not self._has_turn:
            machine, purpose = self.device.machine or self.device.id, f"a measurement on {self.device.id}"
            self._turn.enter_context(machine_lease(machine, purpose, wait_s=self._limits.machine_lease_s))
            self._has_turn = True

    def _pass_turn(self) -> None:
        """Let another board of this machine have its turn, unless this one is still at work."""
        conversation = self._conversation
        if conversation is None or conversation.over or conversation.ledger.idle:
            self._turn.close()
            self._has_turn = False
