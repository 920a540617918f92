"""Verification of what S3NAS found: a stage's network, measured on every target and held against the budgets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import write_json
from edgecost.stages.energy_costs import UNIT_TEXTS
from edgecost.stages.measuring import measure_workload
from edgecost.stages.s3nas.files import KIND, file_of, read_stage
from edgecost.stages.verification import judged, judged_energy
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
    budget_mj: float | None = None,
) -> dict[str, Any]:
    """Measure the network of a stage's file on its targets; writes verify.json beside it.

    Args:
        path: search.json, scaling.json or postprocess.json of a run.
        devices: among them the targets'.
        effort: how long to measure.
        results: where the measurements go.
        progress: is told what happens.
        budget_ms, budget_mj: instead of the stage's budget, where it has one target; of the cost that it is of.

    Raises:
        ConfigError: for a file without budgets, a budget of another cost, or targets that are not among the devices.
        DeviceError, MeasurementError: where a board or a measurement fails.
    """
    from search.spaces.network import network_workload, parse_network

    stage = read_stage(path)
    rows = [row for row in stage.get("targets", []) if row.get("unit") in UNIT_TEXTS]
    if not rows:
        raise ConfigError(f"{path} names no budget in ms or mJ to hold a measurement against")
    for unit, budget in (("ms", budget_ms), ("mj", budget_mj)):
        if budget is None:
            continue
        if len(rows) > 1:
            raise ConfigError(f"{path} has {len(rows)} targets, so --budget-{unit} does not say whose budget it is")
        if rows[0]["unit"] != unit:
            raise ConfigError(f"the budget of {path} is in {rows[0]['unit']}, which --budget-{unit} is not")
        rows = [{**rows[0], "budget": budget}]
    network = parse_network(stage.get("priced") or stage["network"], str(path))
    verdicts = []
    for row in rows:
        energy = row["unit"] == "mj"
        work = network_workload(network)
        measured = measure_workload(devices, row["target"], work, effort, results, progress, energy=energy)
        verdict = (judged_energy if energy else judged)(measured, row["predicted"], row["budget"])
        verdicts.append({"target": row["target"], **verdict})
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
