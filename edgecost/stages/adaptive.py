"""Adaptive profiling: kernels at sizes of our own choosing, more of them where predictions are worst, within a budget.

    references (kernels of search spaces, of common networks, of the user's files)
      -> a first batch over all kinds -> measured -> regressors, each kernel predicted without itself
      -> the next batch where errors are largest -> ... until the budget is spent

The budget is the board's time. On a board, and on this machine in a board's place, it is the wall clock from the first
job of a batch to its last, and the batch in hand is broken off when it is over. On a simulated board it is virtual
time, of which a batch is sized to take what is left.

What other runs in the results have measured on the target is known from the start: no kernel of theirs is chosen again,
and where they hold as many networks as would be measured, these are not.

What was chosen is in `sampling.jsonl` of the run's folder before it is measured, so that the same command continues an
interrupted run with the batch in hand, and what it has spent counts.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgecost.stages.places import artefact_cache
from edgecost.stages.planning import PlanOptions, reference_networks
from edgecost.stages.profiling import Run, refuse_twins
from edgecost.stages.sampling_log import Planned, SamplingLog
from profiler.errors import ConfigError, DeviceError
from profiler.fleet.targets import Device, Target
from profiler.measure.campaign import Campaign, CampaignStopped
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import Job, kernel_plan_jobs, model_jobs
from profiler.measure.limits import CampaignLimits
from profiler.measure.lowering import Lowerings
from profiler.measure.progress import NullProgress, Progress, SharedProgress
from profiler.workloads.artefacts import ArtefactCache

if TYPE_CHECKING:
    from predictors.measured import KernelPoint
    from predictors.sampling.refine import Knowledge
    from predictors.sampling.shapes import ShapeSampler
    from profiler.measure.board import ArtefactSource, SessionFactory
    from profiler.tables.table import CostTable
    from profiler.workloads.graph import Workload

__all__ = ["MINUTES", "adaptive_run_id", "profile_adaptively"]

MINUTES = 30.0
"""Of the board's time, where nothing else is asked for."""

FOR_NETWORKS = 0.3
"""The share of the budget that whole networks may take, from which the overhead and the residual are fitted."""

BATCH = 0.12
"""The share of the budget that a batch should take."""

FEWEST, MOST = 4, 64
"""Kernels of a batch."""

_JOBS_A_KERNEL = 3


@dataclass(frozen=True, slots=True)
class _Setting:
    """What holds for all targets."""

    options: PlanOptions
    config: MeasureConfig
    budget_s: float
    results: Path
    limits: CampaignLimits
    source: ArtefactSource
    connect: SessionFactory


def adaptive_run_id(options: PlanOptions, config: MeasureConfig) -> str:
    """The name of a run that the same command finds again; the budget is no part of it, so that more can be spent."""
    what = [options.space, [str(m) for m in options.models], options.fit_models, options.held_out, options.seed]
    digest = hashlib.sha256(json.dumps([what, options.supernet, config.to_dict()], sort_keys=True).encode())
    return f"adaptive-{digest.hexdigest()[:8]}"


def profile_adaptively(
    chosen: Sequence[tuple[Device, Target]],
    options: PlanOptions,
    config: MeasureConfig,
    minutes: float,
    results: Path,
    run_id: str | None = None,
    progress: Progress | None = None,
    limits: CampaignLimits | None = None,
    connect: SessionFactory | None = None,
    source: ArtefactSource | None = None,
) -> list[Run]:
    """Profile each target within the budget: targets of one machine one after the other, machines side by side.

    Args:
        chosen: the targets.
        options: the space whose kernels and networks set the ranges (None: all spaces), and ONNX files.
        config: how long and how often a job is measured.
        minutes: of the board's time, for each target.
        results: the folder of runs; run_id: their name, by default one that the same command finds again.
        progress: is told.
        limits: how long to build and to wait.
        connect: opens a session; by default over SSH.
        source: builds artefacts; by default into the usual cache.

    Raises:
        ConfigError: no minutes, options that cannot be met, or two devices with one address.
        StorageError: results cannot be written, or a log in them is none.
    """
    if not (math.isfinite(minutes) and minutes > 0):
        raise ConfigError(f"--minutes must be above 0, not {minutes:g}")
    if options.blocks or options.scaled or options.cuts or config.energy:
        raise ConfigError("--adaptive measures the latency of kernels: leave --blocks, --scaled, --cuts, --energy out")
    refuse_twins([device for device, _ in chosen])
    if connect is None:
        from profiler.fleet.sessions.session import connect as connect_over_ssh

        connect = connect_over_ssh
    limits = limits or CampaignLimits()
    shared = SharedProgress(progress or NullProgress())
    name = run_id or adaptive_run_id(options, config)
    lanes: dict[str, list[int]] = {}
    for place, (device, _) in enumerate(chosen):
        lanes.setdefault(device.machine or device.id, []).append(place)
    runs: dict[int, Run] = {}
    with Lowerings(ArtefactCache(artefact_cache()), limits.build_s) as lowered:
        setting = _Setting(options, config, 60.0 * minutes, results, limits, source or lowered, connect)

        def lane(places: Sequence[int]) -> None:
            for place in places:
                runs[place] = _Sampling(*chosen[place], setting, name, shared.part()).run()

        with ThreadPoolExecutor(len(lanes)) as pool:
            for future in [pool.submit(lane, places) for places in lanes.values()]:
                future.result()
    return [runs[place] for place in sorted(runs)]


class _Sampling:
    """One target's batches."""

    def __init__(self, device: Device, target: Target, setting: _Setting, run_id: str, progress: Progress) -> None:
        self._device = device
        self._target = target
        self._set = setting
        self._name = f"{run_id}-{target.id.split('/', 1)[1]}"
        self._told = progress
        self._log = SamplingLog(setting.results / device.id / self._name)
        self._virtual = device.emulation == "simulated"
        self._measured = 0
        self._resumed = 0
        self._failures: dict[str, int] = {}

    def run(self) -> Run:
        """Batches until the budget is spent, or the board is lost."""
        started = time.monotonic()
        fault = ""
        sampler, networks = self._references()
        self._log.begin(self._set.options.seed, {kind: len(found) for kind, found in sampler.kinds.items()})
        try:
            self._finish_what_was_begun()
            if not self._log.batches:
                self._measure(self._networks(networks))
            while (batch := self._next(sampler)) is not None:
                self._measure(batch)
        except CampaignStopped:
            self._told.message(f"{self._target.id}: the budget is spent")
        except DeviceError as error:
            fault = str(error)
            self._told.message(f"{self._target.id}: {error}")
        planned = self._log.batches
        return Run(
            self._target.id,
            str(self._log.folder),
            len({kernel.key for batch in planned for kernel in batch.kernels}),
            sum(len(batch.fit) + len(batch.held_out) for batch in planned),
            self._measured,
            self._resumed,
            self._failures,
            time.monotonic() - started,
            fault,
        )

    # ---------------------------------------------------------------- what

    def _references(self) -> tuple[ShapeSampler, tuple[tuple[Workload, ...], tuple[Workload, ...]]]:
        from predictors.sampling.shapes import ShapeSampler
        from predictors.sampling.typical import typical_blocks
        from profiler.workloads.fusion import kernels_of

        covering, fit, held_out = reference_networks(self._set.options)
        where = self._target.runtime, self._target.precision
        kernels = kernels_of([*covering, *typical_blocks()], *where)
        return ShapeSampler(kernels, *where), (fit, held_out)

    def _networks(self, networks: tuple[tuple[Workload, ...], tuple[Workload, ...]]) -> Planned:
        """As many whole networks as their share of the budget is likely to hold, half of them to fit on; none where
        others have measured as many."""
        from predictors.measured import model_points

        fit, held_out = networks
        table = self._table()
        known = [len(model_points(table, self._target.id, split)) for split in ("fit", "held_out")] if table else []
        if sum(known) >= len(fit) + len(held_out):
            return Planned(0, ())
        room = int(FOR_NETWORKS * self._set.budget_s / self._job_s())
        n_fit = min(len(fit), max(3, room // 2))
        return Planned(0, (), fit[:n_fit], held_out[: max(0, room - n_fit)])

    def _next(self, sampler: ShapeSampler) -> Planned | None:
        import numpy as np

        from predictors.sampling.refine import first_batch, next_batch

        left_s = self._left_s()
        rate_s = _JOBS_A_KERNEL * self._job_s()
        n = min(max(FEWEST, int(BATCH * self._set.budget_s / rate_s)), MOST, int(left_s / rate_s))
        if n < 1:
            return None
        number = len(self._log.batches)
        rng = np.random.default_rng([self._set.options.seed, number, 77])
        chosen_before = {kernel.key for batch in self._log.batches for kernel in batch.kernels}
        points = self._points()
        if not points:
            batch = first_batch(sampler, n, rng, chosen_before)
        else:
            batch, knowledge = next_batch(sampler, points, n, rng, chosen_before)
            self._tell(number, len(points), knowledge, left_s)
        return Planned(number, tuple(kernel.workload for kernel in batch.kernels)) if batch.kernels else None

    def _tell(self, number: int, n: int, knowledge: Knowledge, left_s: float) -> None:
        worst = knowledge.worst
        self._told.message(
            f"{self._target.id}: batch {number}: {n} kernels measured; left out they are predicted within "
            f"{knowledge.overall:.1%} (RMS by time){f', worst {worst} {knowledge.rms[worst]:.1%}' if worst else ''}; "
            f"{left_s:.0f} s left"
        )

    def _points(self) -> tuple[KernelPoint, ...]:
        from predictors.measured import Measurements
        from profiler.errors import UnknownWorkload

        table = self._table()
        try:
            return Measurements.from_table(table, self._target.id).kernels if table else ()
        except UnknownWorkload:
            return ()

    def _table(self) -> CostTable | None:
        """All that was measured on the device, by this run and by others; None before the first of them."""
        from profiler.tables.table import CostTable

        runs = sorted(path.parent for path in self._log.folder.parent.glob("*/run.json"))
        return CostTable.from_runs(runs, with_emulated=True) if runs else None

    # ---------------------------------------------------------------- time

    def _left_s(self) -> float:
        return self._set.budget_s - self._log.spent_s()

    def _job_s(self) -> float:
        """Seconds a job has taken so far; before the first, what the configuration lets expect."""
        config = self._set.config
        return self._log.job_s() or config.rounds * (config.warmup_s + 0.7 * config.cap_s + 0.05)

    # ---------------------------------------------------------------- measuring

    def _finish_what_was_begun(self) -> None:
        if self._log.batches and not self._log.batches[-1].whole and self._left_s() > 0:
            self._measure(self._log.batches[-1], again=True)

    def _measure(self, batch: Planned, again: bool = False) -> None:
        jobs = self._jobs(batch)
        if not again:
            self._log.plan(replace(batch, jobs=len(jobs)))
        left_s = self._left_s()
        stop = threading.Event()
        timer = threading.Timer(max(left_s, 0.1), stop.set)
        opened_at: list[float] = []

        def gate() -> None:  # the board is open, and on this machine all is lowered: only now does its time begin
            opened_at.append(time.monotonic())
            if not self._virtual:
                timer.start()

        campaign = Campaign(
            self._set.connect, self._set.source, self._set.results, self._set.config, self._told, self._set.limits,
            stop, gate,
        )  # fmt: skip
        whole = False
        try:
            done = campaign.run(self._device, self._target, jobs, self._name) if jobs else None
            whole = True
        finally:
            timer.cancel()
            wall_s = time.monotonic() - opened_at[0] if opened_at else 0.0
            # a board that keeps no time of its own is taken at its word by the wall clock, or it would never end
            virtual_s = self._log.board_s() if self._virtual else 0.0
            self._log.end(batch.number, virtual_s or wall_s, whole)
        if done is not None:
            self._measured += done.measured
            self._resumed += done.resumed
            for status, count in done.failures.items():
                self._failures[status] = self._failures.get(status, 0) + count

    def _jobs(self, batch: Planned) -> list[Job]:
        from profiler.workloads.isolation import kernel_jobs

        where = self._target.runtime, self._target.precision
        plans = kernel_jobs(batch.kernels_for(*where), *where)
        return [*kernel_plan_jobs(plans), *model_jobs(batch.fit, "fit"), *model_jobs(batch.held_out, "held_out")]
