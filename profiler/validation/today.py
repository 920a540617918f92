"""The protocol of today's tools: a process for each model, 10 runs to warm up, 50 runs, their mean.

Models are taken in the order of the list. Nothing is pinned, cooled, watched or repeated, and nothing is refused. The
interval is the one that the mean of 50 independent samples would have; most tools give none at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from profiler.fleet.sessions.session import connect
from profiler.fleet.targets import Device
from profiler.measure.board import BoardJob
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import Job
from profiler.workloads.artefacts import ArtefactCache

__all__ = ["RUNS", "WARM_UPS", "measure", "twin"]

WARM_UPS = 10
RUNS = 50

CONFIG = MeasureConfig(
    rounds=1, min_batch_s=0.0, warmup_runs=WARM_UPS, warmup_s=0.0, min_batches=RUNS, target_half_width=1e9, cap_s=1e6,
    job_timeout_s=300.0, observe_hz=0.0, pin=False, cool_s=0.0, sentinel_jobs=0, retries=0,
)  # fmt: skip
"""Every run is a sample, and 50 of them are enough whatever they show."""

_NORMAL = 1.959963984540054


def twin(board_id: str) -> str:
    """The name of the second board of the same description, on which this protocol runs."""
    return f"{board_id}-today"


def measure(device: Device, jobs: Sequence[Job], files: ArtefactCache) -> dict[str, dict[str, float]]:
    """Mean and interval of every whole network in ns, by its key.

    Raises:
        DeviceError: the board cannot be used.
        ArtefactError: a network cannot be lowered.
    """
    target = device.targets[0]
    models = [job.workload for job in jobs if job.role.kind == "model"]
    block = [
        BoardJob(workload.key, files.get(workload, target.runtime, target.precision), fresh=True) for workload in models
    ]
    with connect(device) as session:
        return {
            key: _figure(reply.samples_ns, reply.runs_per_batch) for key, reply in session.run(block, target, CONFIG)
        }


def _figure(samples_ns: Sequence[int], runs: int) -> dict[str, float]:
    values = [sample / runs for sample in samples_ns]
    mean = fmean(values)
    half = _NORMAL * stdev(values) / math.sqrt(len(values))
    return {"mean_ns": mean, "low_ns": mean - half, "high_ns": mean + half, "samples": len(values)}
