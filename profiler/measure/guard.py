"""The guard: lays the sentinel around the jobs of a round, and has measured again what it does not vouch for.

When the sentinel has moved (and at once a second time, where it was so little that it may have been noise), the
campaign pauses, then asks it alone; once it is back, the jobs since the last good one are measured again and the next
sentinel judges them. After `sentinel_tries` pauses, or two such blocks in vain, they keep the figures that they have,
with the issue `drifted`, and so do all that follow until the sentinel comes back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from profiler.measure.blocks import Block
from profiler.measure.census import MOST, Census
from profiler.measure.config import MeasureConfig
from profiler.measure.handover import Handover, Outcome, Task
from profiler.measure.limits import CampaignLimits
from profiler.measure.link import CampaignStopped
from profiler.measure.preparation import Prepared
from profiler.measure.progress import Progress
from profiler.measure.record import Measurement
from profiler.measure.watch import Verdict, Watch

__all__ = ["Guard", "Pauses"]

_KILLED = frozenset({"crashed", "timed_out", "out_of_memory", "link_lost"})
"""Ends of a job that another worker process follows."""

_UNKNOWN_TRIES = 2

_MOST_AGAIN = 2
"""So often is a block measured again: a board that moves whenever it works is not changed by one more try."""


class Pauses:
    """Waits that double as long as what they wait for does not come.

    Args:
        limits: how long.
        stop: ends them.
    """

    def __init__(self, limits: CampaignLimits, stop: threading.Event) -> None:
        self._limits = limits
        self._stop = stop
        self._in_a_row = 0

    def pause(self) -> None:
        """The next one; CampaignStopped when it is ended."""
        wait_s = min(self._limits.longest_pause_s, self._limits.pause_s * 2.0 ** min(self._in_a_row, 30))
        self._in_a_row += 1
        if wait_s > 0 and self._stop.wait(wait_s):
            raise CampaignStopped

    def over(self) -> None:
        """What was waited for has come."""
        self._in_a_row = 0


class Guard:
    """The sentinel of one campaign; without one it hands jobs over as they are.

    Args:
        handover: the way to the board.
        sentinel: the sentinel with its artefact; None where the campaign has none.
        key_of: its job key in a round, by whether a process begins with it and its number among such.
        task_of: a job that is measured again, by round and job key.
        keep: journals anew the figures of these jobs, as ones that have drifted.
        config, limits, progress, pauses: of the campaign.
        watches: what the journal says of each round.
        census: of the worker processes; each sentinel with which one begins enters it.
    """

    def __init__(
        self,
        handover: Handover,
        sentinel: Prepared | None,
        key_of: Callable[[int, bool, int], str],
        task_of: Callable[[int, str], Task | None],
        keep: Callable[[Sequence[str]], None],
        config: MeasureConfig,
        limits: CampaignLimits,
        progress: Progress,
        pauses: Pauses,
        watches: Sequence[Watch],
        census: Census,
    ) -> None:
        self._handover = handover
        self._sentinel = sentinel
        self._key_of = key_of
        self._task_of = task_of
        self._keep = keep
        self._config = config
        self._limits = limits
        self._progress = progress
        self._pauses = pauses
        self._watches = watches
        self._census = census
        self._round = 0
        self._begun = False  # whether this round's worker has been started
        self._jobs = 0
        self._seconds = 0.0
        self._name = handover.device_id

    @property
    def watch(self) -> Watch:
        """Of the present round."""
        return self._watches[self._round]

    def begin(self, round_: int) -> None:
        """A round begins, or is taken up again."""
        self._round = round_
        self._begun = False
        self._reset_spacing()

    def full(self, jobs: int) -> bool:
        """Whether the sentinel is due after so many more jobs."""
        if self._sentinel is None:
            return False
        seconds = self._seconds + jobs * self._handover.pace.job_s
        return self._jobs + jobs >= self._config.sentinel_jobs or seconds >= self._config.sentinel_s

    def run(self, tasks: Sequence[Task]) -> None:
        """Have a block measured, with a sentinel before it where a process begins, and behind it where one is due.

        Raises:
            DeviceError, StorageError, CampaignStopped: as `Handover.run`.
        """
        self._choose_process()
        due = self.full(len(tasks))
        self._hand_over([*self._ahead(), *tasks, *(self._sentinel_task() if due else [])])
        self._restore()

    def close(self) -> None:
        """What was measured since the last sentinel gets one; raises as `run`."""
        if self._sentinel is not None and (self.watch.unwatched or self.watch.in_doubt):
            self._hand_over(self._ahead() or self._sentinel_task())
            self._restore()

    # What happens to jobs

    def saw_job(self, measurement: Measurement, outcome: Outcome) -> None:
        """A job has been journaled."""
        self._jobs += 1
        self._seconds += _seconds(outcome)
        self._census.replay(measurement)
        if self._sentinel is None:
            return
        if measurement.status == "ok":
            self.watch.saw_job(measurement.job_key)
        if measurement.status in _KILLED:
            self.watch.unsettle()

    def saw_sentinel(self, measurement: Measurement, verdict: Verdict, moved: float | None) -> None:
        """A sentinel has been journaled."""
        self._reset_spacing()
        self.watch.replay(measurement)
        self._census.replay(measurement)
        if verdict == "drifted":
            self._say(f"the sentinel has moved by {100 * (moved or 0):+.1f} %")
        elif verdict == "failed":
            self._say(f"the sentinel has failed ({measurement.status}: {measurement.error})")

    def broke(self) -> None:
        """The link broke: what answers next may have a new worker."""
        self.watch.unsettle()

    # Measuring again

    def _restore(self) -> None:
        """Until every figure up to the last sentinel is vouched for, or kept with its doubt."""
        watch, again = self.watch, 0
        self._ask_again()
        for _ in range(self._tries()):
            if not watch.in_doubt or watch.lost or self._sentinel is None or again == self._most_again():
                break
            if not watch.good:
                self._pauses.pause()
                self._hand_over(self._sentinel_task())
                if not watch.good:
                    continue
            self._measure_again()
            again += 1
        if not watch.in_doubt:
            self._pauses.over()
        elif self._sentinel is not None:
            self._give_up()

    def _is_known(self) -> bool:
        """Whether the sentinel has ever succeeded."""
        return any(watch.reference for watch in self._watches)

    def _tries(self) -> int:
        """How often a board that has moved is waited for; what has never succeeded is not waited for so long."""
        tries = self._config.sentinel_tries
        return tries if self._is_known() else min(tries, _UNKNOWN_TRIES)

    def _most_again(self) -> int:
        """How often a block is measured again; spells of a shared machine are over at some time."""
        return self._config.sentinel_tries if self._config.sentinel_gross else _MOST_AGAIN

    def _ask_again(self) -> None:
        """Whether a sentinel that seems to have moved was only noisy."""
        if self.watch.doubtful:
            self._hand_over(self._sentinel_task())

    def _measure_again(self) -> None:
        tasks = [task for key in self.watch.in_doubt if (task := self._task_of(self._round, key)) is not None]
        self._say(f"{len(tasks)} jobs are measured again")
        *most, last = self._chunks(tasks) if tasks else [[]]
        for chunk in most:
            self._hand_over(chunk)
        self._hand_over([*last, *self._sentinel_task()])
        self._ask_again()

    def _give_up(self) -> None:
        watch = self.watch
        keys = watch.in_doubt
        if self._is_known():
            self._say(f"the sentinel did not come back; {len(keys)} figures are kept as drifted")
            self._keep(keys)
            watch.lost = not watch.good
        else:
            self._say("the sentinel never succeeded on this target: nothing is known of drifts in this run")
            self._sentinel = None
        for key in keys:
            watch.settle(key)

    # Processes

    def _choose_process(self) -> None:
        """Begin the round's process with a sentinel, and a new one as long as it is in a state that most are not in, or
        as long as the census is not complete."""
        if self._begun or self._sentinel is None or not self._census.wanted:
            return
        before = self._census.states
        for _ in range(2 * MOST):
            self._begun = False
            self._hand_over(self._ahead())
            if not self.watch.good or (self._census.complete and self._census.is_usual()):
                break
        states = self._census.states
        if states is not None and (before is None or states.leads != before.leads):
            self._say(states.sentence())

    # Ways to the board

    def _hand_over(self, tasks: Sequence[Task]) -> None:
        if not tasks:
            return
        fresh, self._begun = not self._begun, True
        self._handover.run(tasks, fresh)

    def _ahead(self) -> list[Task]:
        """The sentinel with which a process begins."""
        return [] if self._begun else self._sentinel_task(begins=True)

    def _sentinel_task(self, begins: bool = False) -> list[Task]:
        """The sentinel; nothing where there is none."""
        if self._sentinel is None:
            return []
        number = self.watch.begun if begins else self.watch.sentinels
        key = self._key_of(self._round, begins, number)
        return [Task(self._sentinel, self._round, key, key, begins=begins)]

    def _chunks(self, tasks: Iterable[Task]) -> Iterator[list[Task]]:
        """Tasks in lots that a board takes at once."""
        block, lot = Block(self._limits, self._handover.pace), list[Task]()
        for task in tasks:
            if not block.takes([task.item]):
                yield lot
                block, lot = Block(self._limits, self._handover.pace), []
            block.add([task.item])
            lot.append(task)
        if lot:
            yield lot

    def _reset_spacing(self) -> None:
        self._jobs, self._seconds = 0, 0.0

    def _say(self, what: str) -> None:
        self._progress.message(f"{self._name}, round {self._round + 1}: {what}")


def _seconds(outcome: Outcome) -> float:
    """How long a job took by the worker's clock where it tells, which may be a simulated one, else by the agent's."""
    env = outcome.reply.env if outcome.reply else {}
    parts = [env.get(name) for name in ("warmup_s", "sampling_s", "cooled_s")]
    told = sum(float(part) for part in parts if isinstance(part, int | float) and part >= 0)
    return max(told, outcome.attempt_s or 0.0)
