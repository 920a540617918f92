"""A campaign: many jobs on one target, in rounds of random order, each outcome journaled at once.

    build every artefact on the host -> connect -> round 0, 1, ...: fresh worker, groups in random order, jobs

A group is all jobs of one subject (chains of m and 2m, and the kernel alone): they run next to each other, so that
slow drift of the board cancels in their differences. What is journaled is never measured again: the same command
continues an interrupted run with the jobs that are missing.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from profiler.errors import AgentCrashed, ArtefactError, DeviceError, DeviceLost, UnsupportedOperator
from profiler.fleet.targets import Device, Target
from profiler.measure.board import ArtefactLike, ArtefactSource, Link, ReplyLike, SessionFactory
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import Job, subjects_of
from profiler.measure.journal import Journal, iter_journal
from profiler.measure.progress import NullProgress, Progress
from profiler.measure.record import Measurement, Role, Status
from profiler.measure.runfolder import RunFolder, stable_facts

__all__ = ["PROTOCOL_VERSION", "Campaign", "CampaignResult", "Job"]

PROTOCOL_VERSION = 1
"""Part of every job key: a change in how a job is measured raises it."""

FAULTS_IN_A_ROW = 5
"""So many jobs in a row that the board did not survive, and the campaign stops: the board is at fault, not they."""

NOT_MEASURED: frozenset[Status] = frozenset({"link_lost", "disk_full"})
"""Failures of the surroundings, not of the job: later rounds and later runs of the same command try it again."""

_MAX_ERROR_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class CampaignResult:
    """What a campaign did; the figures are in the journal.

    Attributes:
        run_dir: results/<device>/<run-id>.
        measured: jobs journaled now.
        resumed: jobs found in the journal and not measured again.
        skipped: jobs left out because an earlier round ended in a failure of their own.
        failures: how many of the jobs journaled now failed, by status.
    """

    run_dir: Path
    measured: int
    resumed: int
    skipped: int
    failures: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A job with its artefact, or with why it has none."""

    job: Job
    workload_key: str
    artefact: ArtefactLike | None
    failure: Status = "ok"
    error: str = ""

    @property
    def identity(self) -> tuple[str, Role]:
        """What stays the same from round to round."""
        return (self.workload_key, self.job.role)


class Campaign:
    """Measures jobs on boards, into a folder of results.

    Args:
        session_factory: opens a session with a device (`profiler.fleet.session.connect`).
        cache: builds artefacts.
        results_dir: runs are kept in results_dir/<device>/<run-id>.
        config: how long and how often to measure.
        progress: is told what happens.
        retry_wait_s: pause before a lost board is called again; it grows with every attempt.
    """

    def __init__(
        self,
        session_factory: SessionFactory,
        cache: ArtefactSource,
        results_dir: Path,
        config: MeasureConfig,
        progress: Progress | None = None,
        retry_wait_s: float = 2.0,
    ) -> None:
        self.session_factory = session_factory
        self.cache = cache
        self.results_dir = results_dir
        self.config = config
        self.progress: Progress = progress or NullProgress()
        self.retry_wait_s = retry_wait_s

    def run(self, device: Device, target: Target, jobs: Sequence[Job], run_id: str) -> CampaignResult:
        """Measure every job in every round, less what the journal of this run holds already.

        Raises:
            ConfigError: the run folder holds a run of another device, target or configuration.
            StorageError: the results cannot be written; what was journaled stays valid.
            DeviceError: the board cannot be reached, or was lost for good; the same command continues later.
        """
        folder = RunFolder.create(self.results_dir, device.id, run_id)
        folder.check_same(device, target, self.config)
        with Journal(folder.journal_path) as journal:
            folder.add_subjects(subjects_of(jobs))
            prepared = self._build(jobs, target)

            def check(facts: dict[str, Any]) -> None:
                # also after a reconnect: what answers now must still be the board that the run was begun with
                folder.write_header(device, target, self.config, facts)

            with Link(
                self.session_factory, device, target, self.config, check, self.progress, self.retry_wait_s
            ) as link:
                return _Run(self, target, folder, journal, link, prepared).work()

    def _build(self, jobs: Sequence[Job], target: Target) -> list[_Prepared]:
        """Every job once, with its artefact; what cannot be built carries its typed failure."""
        self.progress.message(f"building {len(jobs)} workloads for {target.runtime} {target.precision}")
        prepared: dict[tuple[str, Role], _Prepared] = {}
        for job in jobs:
            key = job.workload.key
            if (key, job.role) in prepared:
                continue
            try:
                item = _Prepared(job, key, self.cache.get(job.workload, target.runtime, target.precision))
            except UnsupportedOperator as error:
                item = _Prepared(job, key, None, "unsupported_operator", str(error))
            except ArtefactError as error:
                item = _Prepared(job, key, None, "conversion_failed", str(error))
            prepared[item.identity] = item
        return list(prepared.values())


class _Run:
    """The state of one `Campaign.run`."""

    def __init__(
        self,
        campaign: Campaign,
        target: Target,
        folder: RunFolder,
        journal: Journal,
        link: Link,
        prepared: Sequence[_Prepared],
    ) -> None:
        self.campaign = campaign
        self.config = campaign.config
        self.target = target
        self.folder = folder
        self.journal = journal
        self.link = link
        self.prepared = prepared
        self.measured = 0
        self.failures: Counter[str] = Counter()
        self.faults_in_a_row = 0
        self.started_at = ""
        # these grow with the number of jobs only: samples are in the journal, not here
        rounds = range(self.config.rounds)
        self.keys = {(item.identity, r): self._job_key(item, r) for r in rounds for item in prepared}
        self.done: set[str] = set()
        self.failed: dict[tuple[str, Role], int] = {}

    def work(self) -> CampaignResult:
        """All rounds."""
        self._read_journal()
        resumed = len(self.done)
        todo = sum(self._is_open(item, r) for r in range(self.config.rounds) for item in self.prepared)
        self.campaign.progress.start(todo)
        for round_ in range(self.config.rounds):
            self._round(round_)
        skipped = len(self.keys) - self.measured - resumed
        return CampaignResult(self.folder.path, self.measured, resumed, skipped, dict(sorted(self.failures.items())))

    def _read_journal(self) -> None:
        """Find what is done; records of other jobs, and of these jobs with other artefacts, do not count."""
        wanted = {key: place for place, key in self.keys.items()}
        corrupt = 0
        for item in iter_journal(self.folder.journal_path):
            if not isinstance(item, Measurement):
                corrupt += 1
            elif item.job_key in wanted:
                self._note(*wanted[item.job_key], item.status)
        if corrupt:
            self.campaign.progress.message(f"{self.folder.journal_path}: {corrupt} corrupt lines skipped")

    def _note(self, identity: tuple[str, Role], round_: int, status: Status) -> None:
        """Remember how a job ended in a round."""
        if status in NOT_MEASURED:
            return
        self.done.add(self.keys[identity, round_])
        if status != "ok":
            self.failed[identity] = min(round_, self.failed.get(identity, round_))

    def _is_open(self, item: _Prepared, round_: int) -> bool:
        """Whether a job is still to be done in a round: not journaled, and not failed in an earlier one."""
        return self.failed.get(item.identity, round_) >= round_ and self.keys[item.identity, round_] not in self.done

    def _job_key(self, item: _Prepared, round_: int) -> str:
        """Hash of all that makes a measurement what it is; equal keys are never measured twice."""
        role = item.job.role
        parts = {
            "protocol": PROTOCOL_VERSION,
            "workload": item.workload_key,
            "artefact": item.artefact.sha256 if item.artefact else "",
            "target": self.target.id,
            "facts": stable_facts(self.link.facts, self.target.runtime),
            "role": [role.kind, role.subject_key, role.mode, role.repeats, role.split],
            "round": round_,
        }
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def order(self, round_: int) -> Iterator[_Prepared]:
        """The jobs of a round: groups in random order, and the jobs within a group too.

        The order depends on the seed and the round only, so that an interrupted round goes on where it stopped.
        """
        rng = np.random.default_rng([self.config.seed, round_])
        groups: dict[tuple[str, str], list[_Prepared]] = {}
        for item in self.prepared:
            groups.setdefault((item.job.role.kind, item.job.role.subject_key), []).append(item)
        members = list(groups.values())
        for group in rng.permutation(len(members)):
            for place in rng.permutation(len(members[group])):
                yield members[group][place]

    def _round(self, round_: int) -> None:
        todo = [item for item in self.order(round_) if self._is_open(item, round_)]
        if any(item.artefact is not None for item in todo):
            self.link.fresh_worker()
        for item in todo:
            self.started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
            if item.artefact is None:
                self._record(item, round_, item.failure, None, item.error)
                continue
            outcome = self.link.measure(item.artefact)
            if isinstance(outcome, DeviceError):
                status: Status = "crashed" if isinstance(outcome, AgentCrashed) else "link_lost"
                self._record(item, round_, status, None, str(outcome))
                self._count_fault(outcome)
            else:
                self.faults_in_a_row = 0
                self._record(item, round_, outcome.status, outcome, outcome.error)

    def _count_fault(self, fault: DeviceError) -> None:
        self.faults_in_a_row += 1
        if self.faults_in_a_row >= FAULTS_IN_A_ROW:
            raise DeviceLost(
                f"board {self.link.device.id!r} failed {FAULTS_IN_A_ROW} jobs in a row, the last with: {fault}; see to "
                "the board and give the same command again to continue",
                self.link.device.id,
            ) from fault

    def _record(self, item: _Prepared, round_: int, status: Status, reply: ReplyLike | None, error: str) -> None:
        self.journal.append(
            Measurement(
                job_key=self.keys[item.identity, round_],
                workload_key=item.workload_key,
                artefact_sha256=item.artefact.sha256 if item.artefact else "",
                device_id=self.target.device_id,
                target_id=self.target.id,
                role=item.job.role,
                round=round_,
                status=status,
                issues=tuple(reply.issues) if reply else (),
                samples_ns=tuple(reply.samples_ns) if reply else (),
                runs_per_batch=reply.runs_per_batch if reply else 0,
                load_ns=reply.load_ns if reply else None,
                first_run_ns=reply.first_run_ns if reply else None,
                warmup_runs=reply.warmup_runs if reply else 0,
                output_error=reply.output_error if reply else None,
                energy_mj=reply.energy_mj if reply else None,
                error=error[:_MAX_ERROR_CHARACTERS],
                env=dict(reply.env) if reply else {},
                started_at=self.started_at,
            )
        )
        self.measured += 1
        if status != "ok":
            self.failures[status] += 1
        self._note(item.identity, round_, status)
        self.campaign.progress.advance(item.job.label or item.job.role.subject_key[:8])
