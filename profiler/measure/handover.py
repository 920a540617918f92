"""Handing jobs over to a board and taking their outcomes, over as many connections as it takes.

A fault is an end of the conversation with the board that no job accounts for. It is met with a new connection, over
which everything that has not ended yet is asked for again; what the board did meanwhile it answers at once. A job
that was in the board's hands too often when its agent died is given up.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Literal

from profiler.errors import AgentCrashed, BoardFull, DeviceError, DeviceLost
from profiler.fleet.targets import Target
from profiler.measure.blocks import Pace
from profiler.measure.board import Board, BoardJob, ReplyLike
from profiler.measure.config import MeasureConfig
from profiler.measure.limits import CampaignLimits
from profiler.measure.link import FAULTS, CampaignStopped, Link
from profiler.measure.preparation import Prepared
from profiler.measure.progress import Progress
from profiler.measure.record import Status

__all__ = ["Again", "Handover", "Outcome", "Task"]

Again = Literal["", "drift", "gate", "process"]
"""Why a job is measured once more in its round: the sentinel had moved, its own figure failed a gate, or its process
was in a state that most are not in."""


@dataclass(frozen=True, slots=True)
class Task:
    """A job on its way to a board.

    Attributes:
        item: what is measured.
        round: in which round.
        key: its job key, under which it is journaled.
        name: what the board calls it: another one for each try, since it answers from its journal what it has done.
        again: why it is measured once more; "" for the first time.
        begins: of a sentinel: whether a worker process begins with it.
    """

    item: Prepared
    round: int
    key: str
    name: str
    again: Again = ""
    begins: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended, before it is journaled.

    Attributes:
        status, error: in short.
        reply: the board's; None where there is none.
    """

    status: Status
    error: str = ""
    reply: ReplyLike | None = None

    @property
    def attempt_s(self) -> float | None:
        """How long the board was at it; None where it does not say."""
        found = self.reply.env.get("attempt_s") if self.reply else None
        return float(found) if isinstance(found, int | float) and 0 <= found < _MOST_ATTEMPT_S else None


_MOST_ATTEMPT_S = 1e6


class Handover:
    """The way of one campaign's jobs to its board and back.

    Args:
        link: to the board.
        ended: is told each outcome, and journals it.
        broke: is told when a fault was met: the board may have lost its worker.
        target, config, limits: where and how jobs run, and what is waited for.
        progress: is told of faults.
        stop: ends the campaign after the outcome at hand when it is set.

    Attributes:
        pace: how long jobs take.
        device_id: of the board.
    """

    def __init__(
        self,
        link: Link,
        ended: Callable[[Task, Outcome], None],
        broke: Callable[[], None],
        target: Target,
        config: MeasureConfig,
        limits: CampaignLimits,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self.pace = Pace(config)
        self.device_id = link.device.id
        self._link = link
        self._ended = ended
        self._broke = broke
        self._target = target
        self._config = config
        self._limits = limits
        self._progress = progress
        self._stop = stop
        self._faults_in_a_row = 0
        self._given_up_in_a_row = 0

    def run(self, tasks: Sequence[Task], fresh: bool) -> None:
        """Have a board do these tasks, in their order; with `fresh`, the first of them begins a new worker process.

        Raises:
            DeviceError: the board is lost for good.
            StorageError: the journal cannot be written.
            CampaignStopped: by `stop`.
        """
        pending = {task.name: task for task in tasks}
        first = next(iter(pending), "") if fresh else ""
        while pending:
            board = self._link.board()
            self._give_up_on(board, pending)
            jobs = [self._job(task, task.name == first) for task in pending.values()]
            try:
                self._attend(board, jobs, pending)
            except BoardFull as full:
                if len(jobs) == 1:
                    self._ended(pending.popitem()[1], Outcome("disk_full", str(full)))
                else:  # together they do not fit; alone they may
                    for name, task in pending.items():
                        self.run([task], name == first)
                return
            except FAULTS as fault:
                self._link.broke(fault)
                self._broke()
                self._count(fault)

    def _job(self, task: Task, fresh: bool) -> BoardJob:
        return BoardJob(task.name, task.item.artefact, fresh, self._config.half_width_of(task.item.job.role.kind))

    def _attend(self, board: Board, jobs: list[BoardJob], pending: dict[str, Task]) -> None:
        last = monotonic()
        for name, reply in board.run(jobs, self._target, self._config) if jobs else ():
            task = pending.pop(name, None)
            if task is None:
                continue
            self._link.held()
            self._faults_in_a_row = self._given_up_in_a_row = 0
            outcome = Outcome(reply.status, reply.error, reply)
            self._ended(task, outcome)
            now = monotonic()
            self.pace.saw(now - last if outcome.attempt_s is None else outcome.attempt_s)
            last = now
            if self._stop.is_set():
                raise CampaignStopped
        if pending:
            name = self.device_id
            raise AgentCrashed(f"the session with {name} ended a block and left {len(pending)} of its jobs out", name)

    def _give_up_on(self, board: Board, pending: dict[str, Task]) -> None:
        """End the tasks that were being run too often when an agent died, or when the board did."""
        deaths = Counter(board.interrupted())
        fault = self._link.last_fault
        status: Status = "crashed" if isinstance(fault, AgentCrashed) else "link_lost"
        who = "the agent died" if status == "crashed" else "the board was lost"
        for name in [name for name in pending if deaths[name] >= self._limits.faults_a_job]:
            last = f", the last time with: {fault}" if fault else ""
            self._ended(pending.pop(name), Outcome(status, f"{who} {deaths[name]} times while it ran{last}"))
            self._faults_in_a_row = 0
            self._given_up_in_a_row += 1
            if self._given_up_in_a_row >= self._limits.faults_in_a_row:
                self._open_breaker(f"had to give up {self._given_up_in_a_row} jobs in a row", fault)

    def _count(self, fault: DeviceError) -> None:
        self._faults_in_a_row += 1
        if self._faults_in_a_row >= self._limits.faults_in_a_row:
            self._open_breaker(f"failed {self._faults_in_a_row} times in a row without ending a job", fault)
        self._progress.message(f"{self.device_id}: {str(fault).rstrip('.')}; connecting again")

    def _open_breaker(self, what: str, fault: DeviceError | None) -> None:
        last = f", the last time with: {str(fault).rstrip('.')}" if fault else ""
        raise DeviceLost(
            f"board {self.device_id!r} {what}{last}; see to the board and give the same command again to continue",
            self.device_id,
        ) from fault
