"""Verification of what S3NAS found: a stage's network, measured on every target and held against the budgets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import write_json
from edgecost.stages.measuring import measure_workload
from edgecost.stages.s3nas.files import KIND, file_of, read_stage
from edgecost.stages.verification import judged
from profiler.errors import ConfigError
from profiler.fleet.targets import Device

if TYPE_CHECKING:
    from profiler.measure.progress import Progress

__all__ = ["verifiable", "verify_stage"]

VERDICT = "verify.json"


def verifiable(path: Path) -> Path | None:
    """The stage's file that a path means: itself, or the last one of a run's folder; None where it is neither.

    Raises:
        ConfigError: for a folder without one.
    """
    if path.is_dir():
        found = [file_of(stage, path) for stage in ("postprocess", "scale", "search")]
        last = next((file for file in found if file.exists()), None)
        if last is None:
            raise ConfigError(f"{path} holds no run of S3NAS: it has no {', '.join(f.name for f in found)}")
        return last
    try:
        read_stage(path)
    except ConfigError:
        return None
    return path


def verify_stage(
    path: Path,
    devices: Sequence[Device],
    effort: str,
    results: Path,
    progress: Progress | None = None,
    budget_ms: float | None = None,
) -> dict[str, Any]:
    """Measure the network of a stage's file on its targets; writes verify.json beside it.

    Args:
        path: search.json, scaling.json or postprocess.json of a run.
        devices: among them the targets'.
        effort: how long to measure.
        results: where the measurements go.
        progress: is told what happens.
        budget_ms: instead of the stage's budget, where it has one target.

    Raises:
        ConfigError: for a file without budgets in milliseconds, or targets that are not among the devices.
        DeviceError, MeasurementError: where a board or a measurement fails.
    """
    from search.spaces.network import network_workload, parse_network

    stage = read_stage(path)
    rows = [row for row in stage.get("targets", []) if row.get("unit") == "ms"]
    if not rows:
        raise ConfigError(f"{path} names no budget in milliseconds to hold a measurement against")
    if budget_ms is not None:
        if len(rows) > 1:
            raise ConfigError(f"{path} has {len(rows)} targets, so --budget-ms does not say whose budget it is")
        rows = [{**rows[0], "budget": budget_ms}]
    network = parse_network(stage.get("priced") or stage["network"], str(path))
    verdicts = []
    for row in rows:
        measured = measure_workload(devices, row["target"], network_workload(network), effort, results, progress)
        verdicts.append({"target": row["target"], **judged(measured, row["predicted"], row["budget"])})
    answer = {
        "kind": KIND,
        "study": str(path),
        "stage": stage["stage"],
        "architecture": network.text,
        "targets": verdicts,
        "within_budget": all(v["within_budget"] for v in verdicts),
        "sentence": "; ".join(f"{v['target']}: {v['sentence']}" for v in verdicts),
    }
    write_json(path.parent / VERDICT, answer)
    return answer
