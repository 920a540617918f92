"""A campaign: many jobs on one target, in rounds of random order, each outcome journaled at once.

    connect, and meanwhile lower on the host -> round 0, 1, ...: a fresh worker, blocks of groups in random order

A group is all jobs of one subject (chains of m and 2m, and the kernel alone): they run next to each other, so that
slow drift of the board cancels in their differences. What is journaled is never measured again: the same command
continues an interrupted run with the jobs that are missing, and takes what the board has done by itself meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from profiler.fleet.sessions.identity import session_id
from profiler.fleet.targets import Device, Target
from profiler.measure.board import ArtefactSource, SessionFactory
from profiler.measure.config import MeasureConfig
from profiler.measure.execution import Execution
from profiler.measure.jobs import Job, subjects_of
from profiler.measure.journal import Journal
from profiler.measure.ledger import Ledger
from profiler.measure.limits import CampaignLimits
from profiler.measure.link import CampaignStopped, Link
from profiler.measure.plan import RoundPlan
from profiler.measure.preparation import Preparation, Prepared
from profiler.measure.progress import NullProgress, Progress
from profiler.measure.runfolder import RunFolder
from profiler.measure.scribe import PROTOCOL_VERSION, Scribe, digest
from profiler.measure.sentinel import sentinel_job
from profiler.measure.sufficiency import Sufficiency

__all__ = ["PROTOCOL_VERSION", "Campaign", "CampaignResult", "CampaignStopped", "Job", "session_name"]


@dataclass(frozen=True, slots=True)
class CampaignResult:
    """What a campaign did; the figures are in the journal.

    Attributes:
        run_dir: results/<device>/<run-id>.
        measured: jobs journaled now.
        resumed: jobs found in the journal and not measured again.
        skipped: jobs left out because an earlier round ended in a failure of their own.
        failures: how many of the jobs journaled now failed, by status.
        repeated: how often a job was measured once more in its round, for the sentinel or a gate.
        sufficiency: how many of the run's figures are known as closely as was asked for, and what the others lack.
    """

    run_dir: Path
    measured: int
    resumed: int
    skipped: int
    failures: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    sufficiency: Sufficiency = field(default_factory=Sufficiency)


class Campaign:
    """Measures jobs on boards, into a folder of results.

    Args:
        session_factory: opens a session with a device (`profiler.fleet.sessions.session.connect`).
        source: builds artefacts; asked from several threads.
        results_dir: runs are kept in results_dir/<device>/<run-id>.
        config: how long and how often to measure.
        progress: is told what happens.
        limits: how long to build and to wait.
        stop: set by somebody else, it ends the campaign soon; the journal stays whole.
        gate: called once the board is open, before it gets its first job; measuring begins when it returns.
    """

    def __init__(
        self,
        session_factory: SessionFactory,
        source: ArtefactSource,
        results_dir: Path,
        config: MeasureConfig,
        progress: Progress | None = None,
        limits: CampaignLimits | None = None,
        stop: threading.Event | None = None,
        gate: Callable[[], None] | None = None,
    ) -> None:
        self.session_factory = session_factory
        self.source = source
        self.results_dir = results_dir
        self.config = config
        self.progress: Progress = progress or NullProgress()
        self.limits = limits or CampaignLimits()
        self.stop = stop or threading.Event()
        self.gate = gate

    def run(self, device: Device, target: Target, jobs: Sequence[Job], run_id: str) -> CampaignResult:
        """Measure every job in every round, less what the journal of this run holds already.

        Raises:
            ConfigError: the run folder holds a run of another device, target or configuration.
            StorageError: the results cannot be written; what was journaled stays valid.
            DeviceError: the board cannot be reached, or was lost for good; the same command continues later.
            CampaignStopped: by `stop`.
        """
        folder = RunFolder.create(self.results_dir, device.id, run_id)
        folder.check_same(device, target, self.config)
        plan = RoundPlan(jobs, self.config.seed, mirrored=self.config.energy)
        watchers = [sentinel_job()] if self.config.sentinel_jobs else []

        def check(facts: dict[str, Any]) -> None:
            # also after a reconnect: what answers now must still be the board that the run was begun with
            folder.write_header(device, target, self.config, facts)

        session = session_name(device, target, self.config, self.results_dir, run_id)
        link = Link(
            self.session_factory, device, session, check, self.limits, self.progress, self.stop, met=folder.is_begun
        )
        wanted = (*watchers, *(job for group in plan.groups(0) for job in group))
        with (
            Journal(folder.journal_path) as journal,
            Preparation(self.source, target, wanted, self.stop) as preparation,
        ):
            folder.add_subjects(subjects_of([*jobs, *watchers]))
            with link:
                scribe = Scribe(journal, device, target, link)
                ledger = Ledger(plan, self.config, scribe.job_key)
                corrupt = ledger.read(folder.journal_path)
                if corrupt:
                    self.progress.message(f"{folder.journal_path}: {corrupt} corrupt lines skipped")
                if device.emulation == "loopback":
                    preparation.wait()  # the board is this machine, and building would disturb it
                if self.gate is not None:
                    self.gate()
                Execution(
                    link, ledger, plan, preparation, scribe, self._sentinel(preparation, target), target, self.config,
                    self.limits, self.progress, self.stop,
                ).run()  # fmt: skip
                link.finish()
        worth = ledger.tally.sufficiency()
        if not worth.is_enough:
            self.progress.message(f"{target.id}: {worth.sentence()}")
        return CampaignResult(
            folder.path, ledger.measured, ledger.resumed, ledger.skipped(), dict(sorted(ledger.failures.items())),
            ledger.repeated, worth,
        )  # fmt: skip

    def _sentinel(self, preparation: Preparation, target: Target) -> Prepared | None:
        """The sentinel with its artefact; None where the target cannot have it, or it is switched off."""
        if not self.config.sentinel_jobs:
            return None
        item = preparation.take(sentinel_job())
        if item.artefact is None:
            self.progress.message(f"{target.id}: no sentinel, so that drifts stay unnoticed: {item.error}")
            return None
        return item


def session_name(device: Device, target: Target, config: MeasureConfig, results_dir: Path, run_id: str) -> str:
    """What a board calls the work of one run: the same run from the same host and user finds its results again.

    The configuration is part of it, since a board answers what it has done from its own journal.
    """
    return digest([session_id(device, results_dir, run_id), target.id, config.to_dict()])
