"""Profiling: campaigns on many boards at once, none of which waits for another one that is slow or dead."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.places import artefact_cache
from edgecost.stages.planning import PlanOptions, default_run_id, plan_jobs
from profiler.errors import ConfigError, DeviceError, EdgeCostError
from profiler.fleet.targets import Device, Target
from profiler.measure.campaign import Campaign, CampaignStopped
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import Job
from profiler.measure.limits import CampaignLimits
from profiler.measure.lowering import Lowerings
from profiler.measure.preparation import Preparation
from profiler.measure.progress import NullProgress, Progress, SharedProgress
from profiler.measure.record import RoleKind
from profiler.workloads.artefacts import ArtefactCache

if TYPE_CHECKING:
    from profiler.measure.board import SessionFactory

__all__ = ["Run", "profile_targets", "refuse_twins"]

Chosen = tuple[Device, Target]

Plan = Callable[[PlanOptions, Target], tuple[Job, ...]]
"""What is measured on a target."""

_POLL_S = 0.2

_STOP_S = 3.0
"""So long are boards given after Ctrl-C to end what is in hand; their journals are whole at any moment."""


@dataclass(frozen=True, slots=True)
class Run:
    """What profiling one target came to: distinct kernels, networks and blocks; jobs measured now and before."""

    target_id: str
    run_dir: str
    kernels: int
    models: int
    measured: int
    resumed: int
    failures: dict[str, int] = field(default_factory=dict)
    wall_s: float = 0.0
    fault: str = ""
    blocks: int = 0

    @property
    def failed_boards(self) -> bool:
        """Whether the board was lost before the end."""
        return bool(self.fault)

    def to_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)

    def sentence(self) -> str:
        """One line for people."""
        if self.fault:
            return f"{self.target_id}: stopped after {self.measured} jobs: {self.fault}"
        failed = "".join(f", {n} {status}" for status, n in self.failures.items())
        again = f", {self.resumed} were journaled before" if self.resumed else ""
        blocks = f"{self.blocks} distinct blocks, " if self.blocks else ""
        return (
            f"{self.target_id}: {blocks}{self.kernels} kernels, {self.models} networks; {self.measured} jobs measured "
            f"in {self.wall_s:.0f} s{again}{failed}; {self.run_dir}"
        )


def profile_targets(
    chosen: Sequence[Chosen],
    options: PlanOptions,
    config: MeasureConfig,
    results: Path,
    run_id: str | None = None,
    progress: Progress | None = None,
    limits: CampaignLimits | None = None,
    connect: SessionFactory | None = None,
    plan: Plan | None = None,
) -> list[Run]:
    """Profile several targets: those of one board one after the other, boards side by side.

    A target that fails is a Run with a `fault`; only where all of them fail, and by no fault of a board, is that
    raised.

    Args:
        chosen: the targets.
        options, config: what is measured and how.
        results: the folder of runs; run_id: their name, by default one that the same command finds again.
        progress: is told, by one thread at a time.
        limits: how long to build and to wait.
        connect: opens a session; by default over SSH.
        plan: makes the jobs; by default `plan_jobs`.

    Raises:
        ConfigError: for options that cannot be met, or two devices with one address.
        StorageError: when results cannot be written.
    """
    refuse_twins([device for device, _ in chosen])
    if connect is None:
        from profiler.fleet.sessions.session import connect as connect_over_ssh

        connect = connect_over_ssh
    limits = limits or CampaignLimits()
    with Lowerings(ArtefactCache(artefact_cache()), limits.build_s) as source:
        name = run_id or default_run_id(options, config)
        crew = _Crew(chosen, options, config, results, name, SharedProgress(progress or NullProgress()), limits, source)
        crew.plan = plan or plan_jobs
        return crew.work(connect)


def refuse_twins(devices: Sequence[Device]) -> None:
    """Refuse two ids for one address: both would measure one board at a time, each as if it had it for itself.

    Raises:
        ConfigError: naming both, unless they declare the same machine and so take turns.
    """
    seen: dict[tuple[Any, ...], Device] = {}
    for device in devices:
        twin = seen.setdefault(_address(device), device)
        if twin.id != device.id and (not device.machine or device.machine != twin.machine):
            raise ConfigError(
                f"devices {twin.id!r} and {device.id!r} have one address ({device.user}@{device.host}:{device.port}); "
                "choose one of them, or declare the same `machine` for both so that they take turns"
            )


def _address(device: Device) -> tuple[Any, ...]:
    jump = (device.jump.host, device.jump.port) if device.jump else None
    return device.host, device.port, device.user, jump


def _sort_of(target: Target) -> tuple[str, str, bool]:
    """Targets of one sort have one plan."""
    return target.runtime, target.precision, bool(target.accelerator)


def _subjects(jobs: Sequence[Job], kind: RoleKind) -> int:
    return len({job.role.subject_key for job in jobs if job.role.kind == kind})


class _Crew:
    """Campaigns side by side."""

    def __init__(
        self,
        chosen: Sequence[Chosen],
        options: PlanOptions,
        config: MeasureConfig,
        results: Path,
        run_id: str,
        progress: SharedProgress,
        limits: CampaignLimits,
        source: Lowerings,
    ) -> None:
        self._chosen = list(chosen)
        self._options = options
        self._config = config
        self._results = results
        self._run_id = run_id
        self._progress = progress
        self._limits = limits
        self._source = source
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.plan: Plan = plan_jobs
        self._plans: dict[tuple[str, str, bool], tuple[Job, ...]] = {}
        self._ahead: list[Preparation] = []
        self._runs: dict[int, Run] = {}
        self._errors: dict[int, BaseException] = {}

    def work(self, connect: SessionFactory) -> list[Run]:
        """All campaigns; a device's targets, and devices of one address, one after the other."""
        self._plan(self._chosen[0][1])  # what is wrong with the options is wrong for all
        if any(device.emulation == "loopback" for device, _ in self._chosen):
            # planning and lowering would disturb a board that is this very machine
            distinct = {_sort_of(t): t for _, t in self._chosen}
            self._ahead = [Preparation(self._source, t, self._plan(t), self._stop) for t in distinct.values()]
        lanes: dict[tuple[Any, ...], list[int]] = {}
        for place, (device, _) in enumerate(self._chosen):
            lanes.setdefault(_address(device), []).append(place)
        try:
            if len(lanes) == 1:
                self._lane(range(len(self._chosen)), connect)
            else:
                self._side_by_side(list(lanes.values()), connect)
        finally:
            self._stop.set()  # whatever is still being lowered is for nobody
        return self._outcome()

    def _side_by_side(self, lanes: Sequence[Sequence[int]], connect: SessionFactory) -> None:
        # not by joining threads: a join that Ctrl-C interrupts may take a living thread for an ended one
        bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        ended: list[Sequence[int]] = []

        def walk(lane: Sequence[int]) -> None:
            try:
                self._lane(lane, connect)
            finally:
                ended.append(lane)
                bell.put(None)

        def wait(until: float) -> None:
            while len(ended) < len(lanes) and time.monotonic() < until:
                with suppress(queue.Empty):
                    bell.get(timeout=_POLL_S)

        for lane in lanes:
            threading.Thread(target=walk, args=(lane,), daemon=True).start()
        try:
            wait(math.inf)
        except KeyboardInterrupt:
            self._stop.set()
            wait(time.monotonic() + _STOP_S)  # a thread that waits for a board's next result is left behind
            raise

    def _lane(self, places: Sequence[int], connect: SessionFactory) -> None:
        for place in places:
            try:
                self._runs[place] = self._campaign(place, connect)
            except CampaignStopped:
                return
            except Exception as error:  # noqa: BLE001 (another thread raises it)
                self._errors[place] = error
                return

    def _campaign(self, place: int, connect: SessionFactory) -> Run:
        device, target = self._chosen[place]
        name = f"{self._run_id}-{target.id.split('/', 1)[1]}"
        run = Run(target.id, str(self._results / device.id / name), 0, 0, 0, 0)
        told = self._progress.part()
        gate = self._wait_for_lowering if device.emulation == "loopback" else None
        campaign = Campaign(connect, self._source, self._results, self._config, told, self._limits, self._stop, gate)
        started = time.monotonic()
        try:
            jobs = self._plan(target)
            run = replace(
                run,
                kernels=_subjects(jobs, "kernel"),
                blocks=_subjects(jobs, "block"),
                models=sum(job.role.kind == "model" for job in jobs),
            )
            done = campaign.run(device, target, jobs, name)
        except EdgeCostError as error:
            told.message(f"{target.id}: {error}")
            if not isinstance(error, DeviceError):
                self._errors[place] = error
            return replace(run, measured=told.advanced, wall_s=time.monotonic() - started, fault=str(error))
        wall_s = time.monotonic() - started
        return replace(run, measured=done.measured, resumed=done.resumed, failures=done.failures, wall_s=wall_s)

    def _plan(self, target: Target) -> tuple[Job, ...]:
        """The jobs of a target; targets of one runtime and precision, all on CPUs or none, share them."""
        with self._lock:
            key = _sort_of(target)
            if key not in self._plans:
                self._plans[key] = self.plan(self._options, target)
            return self._plans[key]

    def _wait_for_lowering(self) -> None:
        for preparation in self._ahead:
            preparation.wait()

    def _outcome(self) -> list[Run]:
        bugs = [error for error in self._errors.values() if not isinstance(error, EdgeCostError)]
        if bugs or len(self._errors) == len(self._chosen):
            raise (bugs or list(self._errors.values()))[0]
        return [self._runs[place] for place in sorted(self._runs)]
