"""The rounds of a campaign: blocks of groups under the sentinel's eyes, then what failed a gate once more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from profiler.fleet.targets import Target
from profiler.measure.blocks import Block
from profiler.measure.config import MeasureConfig
from profiler.measure.guard import Guard, Pauses
from profiler.measure.handover import Again, Handover, Outcome, Task
from profiler.measure.jobs import Job
from profiler.measure.ledger import Ledger
from profiler.measure.limits import CampaignLimits
from profiler.measure.link import Link
from profiler.measure.plan import RoundPlan
from profiler.measure.preparation import Preparation, Prepared
from profiler.measure.progress import Progress
from profiler.measure.scribe import Scribe
from profiler.measure.watch import estimate_of

__all__ = ["Execution"]


class Execution:
    """One campaign on one target, from its first round to its last.

    Args:
        link, ledger, plan, preparation, scribe: of this campaign.
        sentinel: the sentinel, prepared; None where the campaign has none.
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
        scribe: Scribe,
        sentinel: Prepared | None,
        target: Target,
        config: MeasureConfig,
        limits: CampaignLimits,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self._ledger = ledger
        self._plan = plan
        self._preparation = preparation
        self._scribe = scribe
        self._config = config
        self._limits = limits
        self._progress = progress
        self._pauses = Pauses(limits, stop)
        self._handover = Handover(link, self._ended, self._broke, target, config, limits, progress, stop)
        self._guard = Guard(
            self._handover, sentinel, scribe.sentinel_key, self._task_of, scribe.keep_drifted, config, limits, progress,
            self._pauses, ledger.watches, ledger.census,
        )  # fmt: skip

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
            self._round(round_)
            now = self._ledger.measured + self._ledger.left(round_ + 1)
            if now != total:  # a lowering has changed since an earlier run, or a job has failed for good
                total = now
                self._progress.start(total, self._ledger.measured)
        for round_ in range(self._config.rounds):
            self._round_in_usual_state(round_)

    def _round(self, round_: int) -> None:
        self._guard.begin(round_)
        for items in self._blocks(self._plan.groups(round_), lambda item: self._can_run(item, round_)):
            self._guard.run([self._task(item, round_) for item in items])
        self._guard.close()
        for _ in range(self._config.retries):
            groups = self._chosen_groups(round_, lambda item: self._ledger.is_doubtful(item, round_))
            if not groups:
                break
            self._progress.message(
                f"{self._handover.device_id}, round {round_ + 1}: {sum(map(len, groups))} jobs are measured again, "
                "since some of their figures failed a gate"
            )
            self._pauses.pause()
            for items in self._blocks(groups, lambda item: self._ledger.has_figure(item, round_)):
                self._guard.run([self._task(item, round_, "gate") for item in items])
            self._guard.close()
        self._pauses.over()

    def _round_in_usual_state(self, round_: int) -> None:
        """Measure again what was measured before anybody knew that its process was in a state that most are not in."""
        groups = self._chosen_groups(round_, lambda item: self._ledger.is_off(item, round_))
        if not groups:
            return
        self._progress.message(
            f"{self._handover.device_id}, round {round_ + 1}: {sum(map(len, groups))} jobs are measured again, "
            "since their process was in the less usual of two states"
        )
        self._guard.begin(round_)
        for items in self._blocks(groups, lambda item: self._ledger.has_figure(item, round_)):
            self._guard.run([self._task(item, round_, "process") for item in items])
        self._guard.close()

    # Which jobs

    def _blocks(self, groups: Iterable[Sequence[Job]], wanted: Callable[[Prepared], bool]) -> Iterator[list[Prepared]]:
        """The wanted jobs in blocks; a board does not wait for a full one while artefacts are still being made."""
        block = Block(self._limits, self._handover.pace)
        for group in groups:
            if block.items and not self._preparation.ready(group):
                yield block.items
                block = Block(self._limits, self._handover.pace)
            runnable = [item for item in map(self._open, group) if wanted(item)]
            if runnable and (not block.takes(runnable) or self._guard.full(len(block.items))):
                if block.items:
                    yield block.items
                block = Block(self._limits, self._handover.pace)
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
            self._ended(self._task(item, round_), Outcome(item.failure, item.error))
            return False
        return True

    def _chosen_groups(self, round_: int, chosen: Callable[[Prepared], bool]) -> list[list[Job]]:
        """Groups of which a job is chosen, whole: the jobs of a group are compared with each other."""
        groups = ([*group] for group in self._plan.groups(round_))
        return [group for group in groups if any(chosen(self._open(job)) for job in group)]

    def _task(self, item: Prepared, round_: int, again: Again = "") -> Task:
        return Task(item, round_, self._ledger.key(item, round_), self._ledger.board_key(item, round_), again)

    def _task_of(self, round_: int, key: str) -> Task | None:
        """A job that is measured again since the sentinel has moved; None for one that this campaign does not have."""
        item = self._ledger.item(key)
        if item is None:  # of an earlier part of the run, and not looked at yet
            for job in self._plan.jobs.values():
                self._open(job)
            item = self._ledger.item(key)
        return None if item is None or item.artefact is None else self._task(item, round_, "drift")

    # Outcomes

    def _ended(self, task: Task, outcome: Outcome) -> None:
        if task.item.job.role.kind == "sentinel":
            self._sentinel_ended(task, outcome)
            return
        doubts = ("process_states",) if self._ledger.census.undecided else ()
        measurement = self._scribe.record(task, outcome, doubts)
        self._ledger.ended(task.item, measurement)
        self._guard.saw_job(measurement, outcome)
        if not task.again:
            self._progress.advance(task.item.job.label or task.item.job.role.subject_key[:8])

    def _sentinel_ended(self, task: Task, outcome: Outcome) -> None:
        measurement = self._scribe.measurement(task, outcome)
        verdict, moved = self._guard.watch.judge(estimate_of(measurement), task.begins)
        recorded = self._scribe.record_sentinel(measurement, verdict, moved, task.begins)
        self._guard.saw_sentinel(recorded, verdict, moved)

    def _broke(self) -> None:
        self._guard.broke()
