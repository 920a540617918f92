"""What of a campaign is done, by what its journal says; the journal itself stays on the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from profiler.measure.journal import iter_journal
from profiler.measure.plan import RoundPlan
from profiler.measure.preparation import Identity, Prepared
from profiler.measure.record import Measurement, Status

__all__ = ["NOT_MEASURED", "Ledger"]

NOT_MEASURED: frozenset[Status] = frozenset({"link_lost", "disk_full"})
"""Failures of the surroundings, not of the job: later rounds and later runs of the same command try it again."""


class Ledger:
    """Which jobs are open in which round; a job that failed by itself is not tried in later rounds.

    A job's keys are known once its artefact is made. Until then the ledger goes by its identity, which is right unless
    the lowering has changed since.

    Args:
        plan: the jobs.
        rounds: how many there are.
        key_of: the job key of a prepared job in a round.

    Attributes:
        measured: jobs journaled by this campaign; resumed: jobs found in the journal.
        failures: of those journaled by this campaign, by status.
    """

    def __init__(self, plan: RoundPlan, rounds: int, key_of: Callable[[Prepared, int], str]) -> None:
        self.measured = 0
        self.resumed = 0
        self.failures: Counter[str] = Counter()
        self._plan = plan
        self._rounds = range(rounds)
        self._key_of = key_of
        # these grow with the number of jobs only: samples are in the journal, not here
        self._seen: dict[str, Status] = {}
        self._tries: Counter[str] = Counter()
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
            elif record.status in NOT_MEASURED:
                self._tries[record.job_key] += 1
            else:
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
            self._done.discard((identity, round_))
            if key in self._seen:
                self.resumed += 1
                self._note(identity, round_, self._seen[key])

    def key(self, item: Prepared, round_: int) -> str:
        """The job key of an entered job."""
        return self._keys[item.identity, round_]

    def board_key(self, item: Prepared, round_: int) -> str:
        """What the board calls the job: each new try of one that the surroundings failed has a name of its own, since
        the board answers what it has done once from its journal."""
        key = self.key(item, round_)
        return f"{key}.{self._tries[key]}" if self._tries[key] else key

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

    def ended(self, item: Prepared, round_: int, status: Status) -> None:
        """A job was journaled."""
        self.measured += 1
        if status != "ok":
            self.failures[status] += 1
        self._note(item.identity, round_, status)

    def _note(self, identity: Identity, round_: int, status: Status) -> None:
        if status in NOT_MEASURED:
            return
        self._done.add((identity, round_))
        if status != "ok":
            self._failed[identity] = min(round_, self._failed.get(identity, round_))
