"""Profiling: which jobs a target needs, and the campaigns that run them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.places import artefact_cache
from profiler.errors import ConfigError, DeviceError
from profiler.fleet.targets import Device, Target
from profiler.measure.campaign import Campaign
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import Job, kernel_plan_jobs, model_jobs
from profiler.workloads.graph import Workload

if TYPE_CHECKING:
    from profiler.measure.progress import Progress

__all__ = ["EFFORTS", "PlanOptions", "Run", "measure_config", "plan_jobs", "prebuild", "profile_targets"]

EFFORTS: dict[str, MeasureConfig] = {
    "record": MeasureConfig(),
    "quick": MeasureConfig(
        rounds=3, min_batch_s=0.002, warmup_runs=3, warmup_s=0.02, min_batches=12, target_half_width=0.01,
        cap_s=0.12, job_timeout_s=60.0,
    ),
}  # fmt: skip
"""record: the protocol as it stands. quick: the same protocol in tenths of a second a job, with wider intervals."""

COVERING_ARCHITECTURES = 400
"""So many random architectures are cut to find a space's kernels; rarer ones are left to the regressors."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What to profile.

    Attributes:
        space: a search space whose kernels and random networks are measured, or None.
        models: ONNX files whose kernels are measured, and they themselves too.
        fit_models, held_out: random networks of the space to fit on and to validate on; never the same class.
        seed: of the choice of networks.
    """

    space: str | None = None
    models: tuple[Path, ...] = ()
    fit_models: int = 10
    held_out: int = 20
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """What profiling one target came to."""

    target_id: str
    run_dir: str
    kernels: int
    models: int
    measured: int
    resumed: int
    failures: dict[str, int] = field(default_factory=dict)
    wall_s: float = 0.0
    fault: str = ""

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
            return f"{self.target_id}: stopped: {self.fault}"
        failed = "".join(f", {n} {status}" for status, n in self.failures.items())
        again = f", {self.resumed} were journaled before" if self.resumed else ""
        return (
            f"{self.target_id}: {self.kernels} kernels, {self.models} networks; {self.measured} jobs measured in "
            f"{self.wall_s:.0f} s{again}{failed}; {self.run_dir}"
        )


def measure_config(effort: str, rounds: int | None = None, seed: int = 0) -> MeasureConfig:
    """The settings of an effort, with the rounds replaced where given.

    Raises:
        ConfigError: for an unknown effort or no round at all.
    """
    if effort not in EFFORTS:
        raise ConfigError(f"there is no effort {effort!r}; choose one of {', '.join(EFFORTS)}")
    if rounds is not None and rounds < 1:
        raise ConfigError(f"--rounds must be at least 1, not {rounds}")
    config = replace(EFFORTS[effort], seed=seed)
    return config if rounds is None else replace(config, rounds=rounds)


def _sampled_networks(options: PlanOptions) -> tuple[list[Workload], list[Workload], list[Workload]]:
    """(networks that cover the kernels, networks to fit on, networks held out), the latter two without isomorphs."""
    import numpy as np

    from search.spaces import find_space

    if options.space is None:
        return [], [], []
    space = find_space(options.space)
    rng = np.random.default_rng([options.seed, 201])
    seen: set[str] = set()
    whole: list[Workload] = []
    while len(whole) < options.fit_models + options.held_out:
        arch = space.sample(rng)
        label = space.canonical(arch)
        if label not in seen and space.connected(arch):
            seen.add(label)
            whole.append(space.workload(arch))
    covering = [space.workload(space.sample(rng), cells_per_stage=2) for _ in range(COVERING_ARCHITECTURES)]
    return covering, whole[: options.fit_models], whole[options.fit_models :]


def _read_model(path: Path) -> Workload:
    from profiler.errors import UnsupportedOperator
    from profiler.workloads.importer import read_onnx

    read = read_onnx(path)
    if read.unsupported:
        names = tuple(dict.fromkeys(u.op_type for u in read.unsupported))
        raise UnsupportedOperator(f"{path} holds operators that edgecost does not know: {', '.join(names)}", names)
    return replace(read.workload, name=path.name)


def plan_jobs(options: PlanOptions, target: Target) -> tuple[Job, ...]:
    """All jobs that a target needs: kernels in stretches of 1, m and 2m, and whole networks.

    Raises:
        ConfigError: when nothing is asked for, or a model file cannot be read.
        UnsupportedOperator: when a model file holds operators that are not known.
    """
    from profiler.workloads.fusion import kernels_of
    from profiler.workloads.isolation import kernel_jobs

    if options.space is None and not options.models:
        raise ConfigError("nothing to profile; name a search space with --space or an ONNX file with --model")
    covering, fit, held_out = _sampled_networks(options)
    files = [_read_model(path) for path in options.models]
    kernels = kernels_of([*covering, *fit, *held_out, *files], target.runtime, target.precision)
    plans = kernel_jobs(kernels, target.runtime, target.precision)
    return (*kernel_plan_jobs(plans), *model_jobs([*fit, *files], "fit"), *model_jobs(held_out, "held_out"))


def _build_one(workload: dict[str, Any], runtime: str, precision: str, root: str) -> None:
    from profiler.errors import EdgeCostError
    from profiler.workloads.artefacts import ArtefactCache

    with suppress(EdgeCostError):  # the campaign meets it again and journals it with its type
        ArtefactCache(Path(root)).get(Workload.from_dict(workload), runtime, precision)  # type: ignore[arg-type]


def prebuild(jobs: Iterable[tuple[Target, Job]], cache_root: Path) -> int:
    """Lower all workloads on all cores before the boards are timed, so that building disturbs no measurement.

    Returns:
        how many distinct artefacts were asked for.
    """
    import joblib
    from joblib.externals.loky import get_reusable_executor

    wanted = {(job.workload.key, t.runtime, t.precision): job.workload for t, job in jobs}
    calls = [
        joblib.delayed(_build_one)(w.to_dict(), runtime, precision, str(cache_root))
        for (_, runtime, precision), w in wanted.items()
    ]
    joblib.Parallel(n_jobs=-1, batch_size=8)(calls)
    # idle workers would go on holding the memory of every runtime that they imported
    get_reusable_executor().shutdown(wait=True)
    return len(calls)


def default_run_id(options: PlanOptions, config: MeasureConfig) -> str:
    """The name of a run that the same command finds again."""
    what = [options.space, [str(m) for m in options.models], options.fit_models, options.held_out, options.seed]
    digest = hashlib.sha256(json.dumps([what, config.to_dict()], sort_keys=True).encode()).hexdigest()[:8]
    return f"{options.space or 'models'}-{digest}"


def profile_targets(
    chosen: Sequence[tuple[Device, Target]],
    options: PlanOptions,
    config: MeasureConfig,
    results: Path,
    run_id: str | None = None,
    progress: Progress | None = None,
) -> list[Run]:
    """Profile several targets, one after the other; a board that fails does not keep the others from their turn.

    Raises:
        ConfigError: for options that cannot be met.
        StorageError: when results cannot be written.
    """
    from profiler.fleet.session import connect
    from profiler.measure.progress import NullProgress
    from profiler.workloads.artefacts import ArtefactCache

    told = progress or NullProgress()
    plans = [(device, target, plan_jobs(options, target)) for device, target in chosen]
    told.message(f"lowering workloads for {len(plans)} targets")
    started = time.monotonic()
    built = prebuild(((t, job) for _, t, jobs in plans for job in jobs), artefact_cache())
    told.message(f"{built} artefacts are ready after {time.monotonic() - started:.0f} s")
    campaign = Campaign(connect, ArtefactCache(artefact_cache()), results, config, told)
    runs: list[Run] = []
    for device, target, jobs in plans:
        kernels = len({j.role.subject_key for j in jobs if j.role.kind == "kernel"})
        models = sum(j.role.kind == "model" for j in jobs)
        name = f"{run_id or default_run_id(options, config)}-{target.id.split('/', 1)[1]}"
        folder = str(results / device.id / name)
        started = time.monotonic()
        try:
            result = campaign.run(device, target, jobs, name)
        except DeviceError as error:
            told.message(f"{target.id}: {error}")
            runs.append(Run(target.id, folder, kernels, models, 0, 0, fault=str(error)))
            continue
        wall_s = time.monotonic() - started
        runs.append(Run(target.id, folder, kernels, models, result.measured, result.resumed, result.failures, wall_s))
    return runs
