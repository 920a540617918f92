"""Verification: the winner of a search, measured on its board; the only way back from a search to a journal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import write_json
from edgecost.stages.measuring import interval_ms, measure_workload
from edgecost.stages.spaces import space_of
from profiler.errors import ConfigError
from profiler.fleet.targets import Device

if TYPE_CHECKING:
    from profiler.measure.progress import Progress
    from profiler.tables.row import Row

__all__ = ["judged", "read_study", "verify_study"]


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
    study = read_study(path)
    space = space_of(study)
    workload = space.workload(space.architecture(tuple(study["best"]["choices"])))
    row = measure_workload(devices, study["target"], workload, effort, results, progress)
    return _judge(study, row, path, results, study["budget_ms"] if budget_ms is None else budget_ms)


def _judge(study: dict[str, Any], row: Row, path: Path, results: Path, budget: float) -> dict[str, Any]:
    predicted = study["best"]["cost_ms"]
    verdict = judged(row, predicted, budget)
    answer = {"study": str(path), "target": study["target"], "architecture": study["best"].get("label", ""), **verdict}
    write_json(results / "verify.json", answer)
    return answer


def judged(row: Row, predicted_ms: float, budget_ms: float) -> dict[str, Any]:
    """A measured network held against its budget and its prediction."""
    figures = interval_ms(row)
    measured, low, high = (figures[name] for name in ("measured_ms", "low_ms", "high_ms"))
    within = measured <= budget_ms
    surely = (
        "" if (high <= budget_ms) == within and (low <= budget_ms) == within else " (the interval spans the budget)"
    )
    sentence = (
        f"measured {measured:.3f} ms ({low:.3f} to {high:.3f}) against a budget of {budget_ms:.3f} ms: "
        f"{'within' if within else 'NOT within'} budget{surely}; predicted {predicted_ms:.3f} ms, "
        f"off by {100 * (predicted_ms / measured - 1):+.1f} %"
    )
    return {
        "budget_ms": budget_ms,
        "predicted_ms": predicted_ms,
        **figures,
        "within_budget": within,
        "sentence": sentence,
    }
