"""The rounds of a campaign: blocks of jobs handed to a board, outcomes journaled as they come, faults met.

A fault is an end of the conversation with the board that no job accounts for. It is met with a new connection, over
which everything that is not journaled yet is asked for again; what the board did meanwhile it answers at once. A job
that was in the board's hands too often when its agent died is given up.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic

from profiler.errors import AgentCrashed, BoardFull, DeviceError, DeviceLost
from profiler.fleet.targets import Target
from profiler.measure.blocks import Block, Pace
from profiler.measure.board import Board, BoardJob, ReplyLike
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import Job
from profiler.measure.ledger import Ledger
from profiler.measure.limits import CampaignLimits
from profiler.measure.link import FAULTS, CampaignStopped, Link
from profiler.measure.plan import RoundPlan
from profiler.measure.preparation import Preparation, Prepared
from profiler.measure.progress import Progress
from profiler.measure.record import Status

__all__ = ["Execution", "Outcome", "Record"]


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

Record = Callable[[Prepared, int, str, Outcome], None]
"""Journals an outcome of a job in a round, under its key."""


class Execution:
    """One campaign on one target, from its first round to its last.

    Args:
        link, ledger, plan, preparation: of this campaign.
        record: journals one outcome.
        target, config, limits: where and how jobs run, and what is waited for.
        progress: is told.
        stop: ends the campaign after the outcome at hand when it is set.
    """

    def __init__(
        self,
        link: Link,
        ledger: Ledger,
        plan: RoundPlan,
        preparation: Preparation,
        record: Record,
        target: Target,
        config: MeasureConfig,
        limits: CampaignLimits,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self._link = link
        self._ledger = ledger
        self._plan = plan
        self._preparation = preparation
        self._record = record
        self._target = target
        self._config = config
        self._limits = limits
        self._progress = progress
        self._stop = stop
        self._pace = Pace(config)
        self._faults_in_a_row = 0
        self._given_up_in_a_row = 0

    def run(self) -> None:
        """All rounds.

        Raises:
            DeviceError: the board is lost for good.
            StorageError: the journal cannot be written.
            CampaignStopped: by `stop`.
        """
        total = self._ledger.left()
        self._progress.start(total)
        for round_ in range(self._config.rounds):
            fresh = True
            for items in self._blocks(round_):
                self._hand_over(items, round_, fresh)
                fresh = False
            now = self._ledger.measured + self._ledger.left(round_ + 1)
            if now != total:  # a lowering has changed since an earlier run, or a job has failed for good
                total = now
                self._progress.start(total, self._ledger.measured)

    # Blocks

    def _blocks(self, round_: int) -> Iterator[list[Prepared]]:
        """The open jobs of a round; a board does not wait for a full block while artefacts are still being made."""
        block = Block(self._limits, self._pace)
        for group in self._plan.groups(round_):
            if block.items and not self._preparation.ready(group):
                yield block.items
                block = Block(self._limits, self._pace)
            runnable = [item for item in map(self._open, group) if self._can_run(item, round_)]
            if not block.takes(runnable):
                yield block.items
                block = Block(self._limits, self._pace)
            block.add(runnable)
        if block.items:
            yield block.items

    def _open(self, job: Job) -> Prepared:
        item = self._preparation.take(job)
        self._ledger.enter(item)
        return item

    def _can_run(self, item: Prepared, round_: int) -> bool:
        """Whether a board is needed; what has no artefact is journaled here."""
        if not self._ledger.is_open(item.identity, round_):
            return False
        if item.artefact is None:
            self._end(item, round_, Outcome(item.failure, item.error))
            return False
        return True

    # One block

    def _hand_over(self, items: list[Prepared], round_: int, fresh: bool) -> None:
        """Have a board do these jobs, over as many connections as it takes."""
        pending = {self._ledger.board_key(item, round_): item for item in items}
        first = next(iter(pending)) if fresh else ""
        while pending:
            board = self._link.board()
            self._give_up_on(board, pending, round_)
            jobs = [BoardJob(key, item.artefact, fresh=key == first) for key, item in pending.items()]
            try:
                self._attend(board, jobs, pending, round_)
            except BoardFull as full:
                if len(jobs) == 1:
                    self._end(pending.popitem()[1], round_, Outcome("disk_full", str(full)))
                else:  # together they do not fit; alone they may
                    for key, item in pending.items():
                        self._hand_over([item], round_, key == first)
                return
            except FAULTS as fault:
                self._link.broke(fault)
                self._count(fault)

    def _attend(self, board: Board, jobs: list[BoardJob], pending: dict[str, Prepared], round_: int) -> None:
        last = monotonic()
        for key, reply in board.run(jobs, self._target, self._config) if jobs else ():
            item = pending.pop(key, None)
            if item is None:
                continue
            self._link.held()
            self._faults_in_a_row = self._given_up_in_a_row = 0
            outcome = Outcome(reply.status, reply.error, reply)
            self._end(item, round_, outcome)
            now = monotonic()
            self._pace.saw(now - last if outcome.attempt_s is None else outcome.attempt_s)
            last = now
            if self._stop.is_set():
                raise CampaignStopped
        if pending:
            name = self._link.device.id
            raise AgentCrashed(f"the session with {name} ended a block and left {len(pending)} of its jobs out", name)

    def _give_up_on(self, board: Board, pending: dict[str, Prepared], round_: int) -> None:
        """Journal the jobs that were being run too often when an agent died, or when the board did."""
        deaths = Counter(board.interrupted())
        fault = self._link.last_fault
        status: Status = "crashed" if isinstance(fault, AgentCrashed) else "link_lost"
        who = "the agent died" if status == "crashed" else "the board was lost"
        for key in [key for key in pending if deaths[key] >= self._limits.faults_a_job]:
            last = f", the last time with: {fault}" if fault else ""
            self._end(pending.pop(key), round_, Outcome(status, f"{who} {deaths[key]} times while it ran{last}"))
            self._faults_in_a_row = 0
            self._given_up_in_a_row += 1
            if self._given_up_in_a_row >= self._limits.faults_in_a_row:
                self._open_breaker(f"had to give up {self._given_up_in_a_row} jobs in a row", fault)

    def _count(self, fault: DeviceError) -> None:
        self._faults_in_a_row += 1
        if self._faults_in_a_row >= self._limits.faults_in_a_row:
            self._open_breaker(f"failed {self._faults_in_a_row} times in a row without ending a job", fault)
        self._progress.message(f"{self._link.device.id}: {str(fault).rstrip('.')}; connecting again")

    def _open_breaker(self, what: str, fault: DeviceError | None) -> None:
        name = self._link.device.id
        last = f", the last time with: {str(fault).rstrip('.')}" if fault else ""
        raise DeviceLost(
            f"board {name!r} {what}{last}; see to the board and give the same command again to continue", name
        ) from fault

    def _end(self, item: Prepared, round_: int, outcome: Outcome) -> None:
        self._record(item, round_, self._ledger.key(item, round_), outcome)
        self._ledger.ended(item, round_, outcome.status)
        self._progress.advance(item.job.label or item.job.role.subject_key[:8])
