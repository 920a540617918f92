"""Planning: what is to be profiled, how thoroughly, and the jobs that come of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import Job, kernel_plan_jobs, model_jobs
from profiler.workloads.graph import Workload

__all__ = ["EFFORTS", "PlanOptions", "default_run_id", "measure_config", "plan_jobs"]

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


def default_run_id(options: PlanOptions, config: MeasureConfig) -> str:
    """The name of a run that the same command finds again."""
    what = [options.space, [str(m) for m in options.models], options.fit_models, options.held_out, options.seed]
    digest = hashlib.sha256(json.dumps([what, config.to_dict()], sort_keys=True).encode()).hexdigest()[:8]
    return f"{options.space or 'models'}-{digest}"
