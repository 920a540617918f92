"""The small model by which a runtime on a board is tried: checks and provisioning run the same one."""

from __future__ import annotations

from profiler.measure.config import MeasureConfig
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload

__all__ = ["probing_config", "probing_workload"]


def probing_config(job_timeout_s: float) -> MeasureConfig:
    """The shortest measurement there is: what counts is the output."""
    return MeasureConfig(
        rounds=1,
        min_batch_s=0.001,
        warmup_runs=1,
        warmup_s=0.0,
        min_batches=3,
        cap_s=0.2,
        job_timeout_s=job_timeout_s,
        observe_hz=0.0,
        pin=False,
        cool_s=0.0,
    )


def probing_workload() -> Workload:
    """A little of everything that runtimes differ in."""
    builder = WorkloadBuilder("probe")
    x = builder.input((1, 8, 8, 8))
    x = builder.relu(builder.conv2d(x, 8, kernel=3))
    return builder.build(builder.add(x, builder.conv2d(x, 8, kernel=1)))
