"""Jobs as the agent is asked for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from profiler.fleet.targets import Device, Target
from profiler.measure.board import BoardJob
from profiler.measure.config import MeasureConfig

__all__ = ["batches", "request"]

_BATCH_BYTES = 1 << 20
"""Of jobs in one line: what a slow link takes well within its limit for one request."""


def request(job: BoardJob, path: str, device: Device, target: Target, config: MeasureConfig) -> dict[str, Any]:
    """One job; its artefact lies at `path` on the board."""
    cpus = device.affinity(target)
    artefact = job.artefact
    return {
        "id": job.key,
        "path": path,
        "format": artefact.format,
        "runtime": target.runtime,
        "precision": target.precision,
        "threads": target.threads,
        "inputs": artefact.inputs,
        "layout": artefact.layout,
        "expected": asdict(artefact.expected),
        "config": {**config.to_dict(), **({} if job.half_width is None else {"target_half_width": job.half_width})},
        "fresh": job.fresh,
        "cpus": None if cpus is None else list(cpus),
        "memory_mb": device.memory_limit_mb,
        "accelerator": target.accelerator,
        "library": dict(device.libraries).get(target.accelerator, ""),
        "allow_fallback": target.allow_fallback,
        "board": {
            "governor": device.governor,
            "clock": target.clock,
            "heat": asdict(device.heat),
            "sensors": [asdict(sensor) for sensor in device.sensors],
            # nothing of its own to read: a meter beside it may be looking on
            "meter": bool(device.sensors) and all(sensor.kind == "external" for sensor in device.sensors),
        },
    }


def batches(jobs: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The jobs in lots whose lines are no longer than a link takes at once; a job that is longer goes alone."""
    lot: list[dict[str, Any]] = []
    size = 0
    for job in jobs:
        length = len(json.dumps(job))
        if lot and size + length > _BATCH_BYTES:
            yield lot
            lot, size = [], 0
        lot.append(job)
        size += length
    if lot:
        yield lot
