"""What of a campaign is done, by what its journal says; the journal itself stays on the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from profiler.measure.census import Census
from profiler.measure.config import MeasureConfig
from profiler.measure.gate import fails_gate
from profiler.measure.journal import iter_journal
from profiler.measure.level import Level
from profiler.measure.plan import RoundPlan
from profiler.measure.preparation import Identity, Prepared
from profiler.measure.record import Measurement, Status
from profiler.measure.sufficiency import Tally
from profiler.measure.watch import Watch

__all__ = ["NOT_MEASURED", "Ledger"]

NOT_MEASURED: frozenset[Status] = frozenset({"link_lost", "disk_full"})
"""Failures of the surroundings, not of the job: later rounds and later runs of the same command try it again."""


class Ledger:
    """Which jobs are open in which round; a job that failed by itself is not tried in later rounds.

    A job's keys are known once its artefact is made. Until then the ledger goes by its identity, which is right unless
    the lowering has changed since.

    Args:
        plan: the jobs.
        config: how many rounds there are, and what they have to come up to.
        key_of: the job key of a prepared job in a round.

    Attributes:
        measured: jobs journaled by this campaign; resumed: jobs found in the journal.
        repeated: how many jobs this campaign has measured once more in their round.
        failures: of those journaled by this campaign, by status.
        watches: what the sentinel has seen, by round.
        census: of the worker processes.
        tally: of the figures.
    """

    def __init__(self, plan: RoundPlan, config: MeasureConfig, key_of: Callable[[Prepared, int], str]) -> None:
        self.measured = 0
        self.resumed = 0
        self.repeated = 0
        self.failures: Counter[str] = Counter()
        self.watches: list[Watch] = []
        level = Level(config.sentinel_gross)
        for _ in range(config.rounds):
            self.watches.append(Watch(config.sentinel_drift, self.watches, level))
        self.census = Census(config.process_probes if config.sentinel_jobs else 0)
        self.tally = Tally(config)
        self._plan = plan
        self._config = config
        self._rounds = range(config.rounds)
        self._key_of = key_of
        # these grow with the number of jobs only: samples are in the journal, not here
        self._seen: dict[str, Status] = {}
        self._tries: Counter[str] = Counter()
        self._retries: Counter[str] = Counter()
        self._doubtful: set[str] = set()
        self._items: dict[str, Prepared] = {}
        self._keys: dict[tuple[Identity, int], str] = {}
        self._done: set[tuple[Identity, int]] = set()
        self._failed: dict[Identity, int] = {}

    def read(self, journal: Path) -> int:
        """Find what is done; returns how many lines could not be read.

        Raises:
            StorageError: the journal cannot be read.
        """
        corrupt = 0
        for record in iter_journal(journal):
            if not isinstance(record, Measurement):
                corrupt += 1
                continue
            if self._config.sentinel_jobs and record.round in self._rounds:
                self.watches[record.round].replay(record)
            self.census.replay(record)
            if record.role.kind == "sentinel":
                continue
            self._judge(record)
            if record.status not in NOT_MEASURED:
                if self._seen.get(record.job_key) != "ok":
                    self._seen[record.job_key] = record.status
                identity = (record.workload_key, record.role)
                if identity in self._plan.jobs and record.round in self._rounds:
                    self._note(identity, record.round, record.status)
        return corrupt

    def enter(self, item: Prepared) -> None:
        """Take up a prepared job: from now on its keys count; entering it again changes nothing."""
        identity = item.identity
        if (identity, 0) in self._keys:
            return
        self._failed.pop(identity, None)
        for round_ in self._rounds:
            key = self._keys[identity, round_] = self._key_of(item, round_)
            self._items[key] = item
            self._done.discard((identity, round_))
            if key in self._seen:
                self.resumed += 1
                self._note(identity, round_, self._seen[key])

    def key(self, item: Prepared, round_: int) -> str:
        """The job key of an entered job."""
        return self._keys[item.identity, round_]

    def board_key(self, item: Prepared, round_: int) -> str:
        """What the board calls the job: each new try of one that is journaled already has a name of its own, since the
        board answers what it has done once from its journal."""
        key = self.key(item, round_)
        return f"{key}.{self._tries[key]}" if self._tries[key] else key

    def item(self, key: str) -> Prepared | None:
        """The entered job of a key; None where none has it."""
        return self._items.get(key)

    def has_figure(self, item: Prepared, round_: int) -> bool:
        """Whether an entered job has been measured in a round."""
        return self._seen.get(self.key(item, round_)) == "ok"

    def is_doubtful(self, item: Prepared, round_: int) -> bool:
        """Whether an entered job's figure failed a gate and may be tried again."""
        key = self.key(item, round_)
        return key in self._doubtful and self._retries[key] < self._config.retries

    def is_off(self, item: Prepared, round_: int) -> bool:
        """Whether an entered job's figure is from a process that was in the less usual of two states."""
        key = self.key(item, round_)
        return self._seen.get(key) == "ok" and self.census.is_off(key)

    def is_open(self, identity: Identity, round_: int) -> bool:
        """Whether a job is still to be done in a round: not journaled, and not failed in an earlier one."""
        return self._failed.get(identity, round_) >= round_ and (identity, round_) not in self._done

    def left(self, first_round: int = 0) -> int:
        """How many jobs are open in that round and the later ones."""
        rounds = self._rounds[first_round:]
        return sum(self.is_open(identity, round_) for round_ in rounds for identity in self._plan.jobs)

    def skipped(self) -> int:
        """How many jobs are neither done nor to be done, since an earlier round ended in a failure of their own."""
        return len(self._plan.jobs) * len(self._rounds) - self.measured - self.resumed

    def ended(self, item: Prepared, measurement: Measurement) -> None:
        """A job was journaled."""
        key, status = measurement.job_key, measurement.status
        if self._seen.get(key) == "ok":  # it has a figure, and was measured again
            self.repeated += 1
        else:
            self.measured += 1
            if status != "ok":
                self.failures[status] += 1
            if status not in NOT_MEASURED:
                self._seen[key] = status
            self._note(item.identity, measurement.round, status)
        self._judge(measurement)

    def _judge(self, measurement: Measurement) -> None:
        """Count a try, and see whether it calls for another one."""
        key = measurement.job_key
        if (measurement.workload_key, measurement.role) in self._plan.jobs and measurement.round in self._rounds:
            self.tally.saw(measurement)
        self._tries[key] += 1
        self._retries[key] += measurement.env.get("again") == "gate"
        if fails_gate(measurement, self._config):
            self._doubtful.add(key)
        elif measurement.status == "ok":
            self._doubtful.discard(key)

    def _note(self, identity: Identity, round_: int, status: Status) -> None:
        if status in NOT_MEASURED or ((identity, round_) in self._done and status != "ok"):
            return
        self._done.add((identity, round_))
        if status != "ok":
            self._failed[identity] = min(round_, self._failed.get(identity, round_))
