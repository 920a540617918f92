"""Verification: the winner of a search, measured on its board; the only way back from a search to a journal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import SIMULATED_WORDS, write_json
from edgecost.stages.energy_costs import UNIT_TEXTS, Unit
from edgecost.stages.measuring import interval_ms, measure_workload
from edgecost.stages.spaces import space_of
from profiler.errors import ConfigError, MeasurementError
from profiler.fleet.targets import Device
from profiler.tables.row import SIMULATED

if TYPE_CHECKING:
    from profiler.measure.progress import Progress
    from profiler.tables.row import Row

__all__ = ["BEYOND", "judged", "judged_energy", "read_study", "study_unit", "verify_study"]

BEYOND = "evrsnas-beyond"
"""The kind of a file that `edgecost.stages.beyond` writes."""


def read_study(path: Path, target: str | None = None) -> dict[str, Any]:
    """What `edgecost search evrsnas` wrote; of a search beyond the plain one, its winner on one of its targets.

    Args:
        path: the file.
        target: which of several targets, by its id or its device's.

    Raises:
        ConfigError: when the file is missing, is no such file, found nothing, or has several targets of which none, or
            another one, is named.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the study {path}: {error.strerror}; `edgecost search` writes one") from None
    except ValueError:
        raise ConfigError(f"{path} is not JSON; name the file that `edgecost search` wrote") from None
    found = dict(data) if isinstance(data, dict) else {}
    if found.get("kind") == BEYOND:
        try:
            found = _of_one_target(found, path, target)
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"{path} is a damaged study of `edgecost search` ({error!r}); search again to write it anew"
            ) from None
    elif target is not None and not _is_called(str(found.get("target")), target):
        raise ConfigError(f"{path} is a search on {found.get('target')}, not on {target}")
    missing = {"space", "target", f"budget_{study_unit(found)}", "best"} - set(found)
    if missing:
        raise ConfigError(f"{path} is not a study of `edgecost search`: it lacks {', '.join(sorted(missing))}")
    return found


def _of_one_target(found: dict[str, Any], path: Path, target: str | None) -> dict[str, Any]:
    """A search beyond the plain one in the form of a plain one on one of its targets."""
    best, ids = found.get("best"), found.get("targets", [])
    if not best:
        raise ConfigError(f"{path} found no network within its budget: there is nothing to measure")
    chosen = [cost for cost in best["costs"] if target is None or _is_called(cost["target"], target)]
    if len(chosen) != 1:
        among = f"is not {target}" if target else "is one of several"
        raise ConfigError(f"{path}: the target {among}; name one with --target: {', '.join(ids)}")
    unit: Unit = "mj" if "budget_mj" in chosen[0] else "ms"
    cost = {f"cost_{unit}": chosen[0][f"predicted_{unit}"]}
    return {
        **found,
        "target": chosen[0]["target"],
        f"budget_{unit}": chosen[0][f"budget_{unit}"],
        "best": {**best, **cost},
        "config": {"unit": unit},
    }


def _is_called(target_id: str, name: str) -> bool:
    """Whether a name is that of a target or of its device."""
    return name in (target_id, target_id.split("/", 1)[0])


def study_unit(study: Mapping[str, Any]) -> Unit:
    """What a study's budget is counted in: "ms", or "mj" where its cost is energy."""
    config = study.get("config")
    return "mj" if isinstance(config, dict) and config.get("unit") == "mj" else "ms"


def verify_study(
    path: Path,
    devices: Sequence[Device],
    effort: str,
    results: Path,
    progress: Progress | None = None,
    budget_ms: float | None = None,
    budget_mj: float | None = None,
    target: str | None = None,
) -> dict[str, Any]:
    """Measure a study's winner end to end and hold it against budget and prediction; writes RESULTS/verify.json.

    Args:
        path: the study's file.
        devices: among them the study's target.
        effort: how long to measure.
        results: where the run and the verdict go.
        progress: is told what happens.
        budget_ms, budget_mj: what to hold it against, where that is not the budget that the search was given; of the
            cost that the study's budget is of.
        target: which of a search's targets, where it has several.

    Raises:
        ConfigError: for a file that is no study, a budget of another cost, or a target that is not among the devices.
        DeviceError: when the board cannot be used.
        MeasurementError: when the measurement failed on the board, or gave no energy where the budget is of energy.
    """
    study = read_study(path, target)
    unit = study_unit(study)
    own, other = (budget_ms, budget_mj) if unit == "ms" else (budget_mj, budget_ms)
    if other is not None:
        raise ConfigError(f"the budget of {path} is in {UNIT_TEXTS[unit]}: name another one with --budget-{unit}")
    space = space_of(study)
    workload = space.workload(space.architecture(tuple(study["best"]["choices"])))
    row = measure_workload(devices, study["target"], workload, effort, results, progress, energy=unit == "mj")
    return _judge(study, row, path, results, study[f"budget_{unit}"] if own is None else own)


def _judge(study: dict[str, Any], row: Row, path: Path, results: Path, budget: float) -> dict[str, Any]:
    unit = study_unit(study)
    predicted = study["best"][f"cost_{unit}"]
    if unit == "mj":
        verdict = judged_energy(row, predicted, budget, study["config"].get("scope", ""))
    else:
        verdict = judged(row, predicted, budget)
    if row.emulation == SIMULATED:
        verdict["sentence"] += SIMULATED_WORDS
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


def judged_energy(row: Row, predicted_mj: float, budget_mj: float, scope: str = "") -> dict[str, Any]:
    """A measured network's energy, the board's idle power taken off, held against its budget and its prediction.

    Args:
        row: of the measurement.
        predicted_mj: what the search expected.
        budget_mj: the budget.
        scope: what the prediction includes; "" where that is not known.

    Raises:
        MeasurementError: there is no energy, and no bound within the budget either.
        ConfigError: the measured energy includes other things than the predicted one.
    """
    if scope and row.energy_scope and scope != row.energy_scope:
        raise ConfigError(
            f"the search's energies are of {scope} and the measured one of {row.energy_scope}: scopes are not compared"
        )
    measured, u_mj, upper = row.energy_mj, row.energy_u_mj, row.energy_upper_mj
    verdict = {"cost": "energy", "budget_mj": budget_mj, "predicted_mj": predicted_mj, "measured_mj": measured}
    verdict |= {"u_mj": u_mj, "upper_mj": upper, "scope": row.energy_scope, "issues": list(row.issues)}
    against = f"against a budget of {budget_mj:.4g} mJ"
    if measured is None:
        if upper is None or upper > budget_mj:
            raise MeasurementError(
                f"the energy of a network on {row.target_id} could not be measured: {_why_none(row)}"
            )
        sentence = (
            f"less than {upper:.4g} mJ ({row.energy_scope}) {against}: within budget; predicted {predicted_mj:.4g}"
        )
        return {**verdict, "within_budget": True, "sentence": f"{sentence} mJ"}
    within = measured <= budget_mj
    half = u_mj or 0.0
    spans = measured - half <= budget_mj < measured + half
    sentence = (
        f"measured {measured:.4g} mJ a run above rest (± {half:.2g}, k = 2; {row.energy_scope}) {against}: "
        f"{'within' if within else 'NOT within'} budget{' (the interval spans the budget)' if spans else ''}; "
        f"predicted {predicted_mj:.4g} mJ, off by {100 * (predicted_mj / measured - 1):+.1f} %"
    )
    return {**verdict, "within_budget": within, "sentence": sentence}


def _why_none(row: Row) -> str:
    codes = ", ".join(code for code in row.issues if code.startswith(("energy_", "sensor_")))
    bound = "" if row.energy_upper_mj is None else f", less than {row.energy_upper_mj:.4g} mJ"
    return f"{codes or 'it has no power sensor that could be read'}{bound}"
