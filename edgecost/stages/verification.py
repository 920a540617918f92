"""Verification: the winner of a search, measured on its board; the only way back from a search to a journal."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import write_json
from edgecost.stages.places import artefact_cache
from edgecost.stages.planning import measure_config
from edgecost.stages.targets import find_target
from profiler.errors import ConfigError, MeasurementError
from profiler.fleet.targets import Device

if TYPE_CHECKING:
    from profiler.measure.progress import Progress
    from profiler.tables.row import Row

__all__ = ["read_study", "verify_study"]


def read_study(path: Path) -> dict[str, Any]:
    """What `edgecost search` wrote.

    Raises:
        ConfigError: when the file is missing or is no such file.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the study {path}: {error.strerror}; `edgecost search` writes one") from None
    except ValueError:
        raise ConfigError(f"{path} is not JSON; name the file that `edgecost search` wrote") from None
    missing = {"space", "target", "budget_ms", "best"} - set(data if isinstance(data, dict) else ())
    if missing:
        raise ConfigError(f"{path} is not a study of `edgecost search`: it lacks {', '.join(sorted(missing))}")
    return dict(data)


def verify_study(
    path: Path,
    devices: Sequence[Device],
    effort: str,
    results: Path,
    progress: Progress | None = None,
    budget_ms: float | None = None,
) -> dict[str, Any]:
    """Measure a study's winner end to end and hold it against budget and prediction; writes RESULTS/verify.json.

    Args:
        path: the study's file.
        devices: among them the study's target.
        effort: how long to measure.
        results: where the run and the verdict go.
        progress: is told what happens.
        budget_ms: what to hold it against, where that is not the budget that the search was given.

    Raises:
        ConfigError: for a file that is no study, or a target that is not among the devices.
        DeviceError: when the board cannot be used.
        MeasurementError: when the measurement failed on the board.
    """
    from profiler.fleet.sessions.session import connect
    from profiler.measure.campaign import Campaign
    from profiler.measure.jobs import model_jobs
    from profiler.measure.lowering import Lowerings
    from profiler.tables.table import CostTable
    from profiler.workloads.artefacts import ArtefactCache
    from search.spaces import find_space
    from search.spaces.base import Architecture

    study = read_study(path)
    device, target = find_target(devices, study["target"])
    space = find_space(study["space"])
    arch = Architecture(study["space"], tuple(study["best"]["choices"]))
    workload = space.workload(arch)
    config = replace(measure_config(effort), rounds=5)
    run_id = f"verify-{target.id.split('/', 1)[1]}-{workload.key[:8]}-{effort}"
    with Lowerings(ArtefactCache(artefact_cache())) as source:
        campaign = Campaign(connect, source, results, config, progress)
        run = campaign.run(device, target, model_jobs([workload]), run_id)
    (row,) = CostTable.from_runs([run.run_dir]).rows(target_id=target.id, kind="model", with_failed=True)
    if row.status != "ok" or not math.isfinite(row.latency_ns):
        raise MeasurementError(f"the winner could not be measured on {target.id}: {row.status}; see {run.run_dir}")
    return _judge(study, row, path, results, study["budget_ms"] if budget_ms is None else budget_ms)


def _judge(study: dict[str, Any], row: Row, path: Path, results: Path, budget: float) -> dict[str, Any]:
    measured, low, high = (value / 1e6 for value in (row.latency_ns, row.low_ns, row.high_ns))
    predicted = study["best"]["cost_ms"]
    within = measured <= budget
    surely = "" if (high <= budget) == within and (low <= budget) == within else " (the interval spans the budget)"
    sentence = (
        f"measured {measured:.3f} ms ({low:.3f} to {high:.3f}) against a budget of {budget:.3f} ms: "
        f"{'within' if within else 'NOT within'} budget{surely}; predicted {predicted:.3f} ms, "
        f"off by {100 * (predicted / measured - 1):+.1f} %"
    )
    answer = {
        "study": str(path),
        "target": study["target"],
        "architecture": study["best"].get("label", ""),
        "budget_ms": budget,
        "predicted_ms": predicted,
        "measured_ms": measured,
        "low_ms": low,
        "high_ms": high,
        "within_budget": within,
        "issues": list(row.issues),
        "sentence": sentence,
    }
    write_json(results / "verify.json", answer)
    return answer
