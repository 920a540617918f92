"""Closure: every cost model against the networks held out, the noise floor beside it, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import HEADLINE_MODEL, finite, resolve_target

if TYPE_CHECKING:
    from profiler.tables.table import CostTable

__all__ = ["closure"]

USUAL_MODEL = "additive, fused and chained"


def closure(table: CostTable, targets: Sequence[str] = (), results: Path | None = None) -> dict[str, Any]:
    """Every cost model against the held-out networks of each target, and the points of the parity plots.

    Percentages are in per cent; None stands where a figure is undefined.

    Args:
        table: the measurements that predictions are judged by.
        targets: names; by default all targets of the table.
        results: the folder that the table was read from: networks that were measured again below it
            (`edgecost.stages.repeats`) give the noise floor by measuring twice, and a verdict.

    Returns:
        {"rows", "points", "noise_floor_mape", "families", "repeats", "verdicts", "cuts"}; the last four by target:
        scores of every family, the floor by measuring twice (None where nothing was), whether closure is near enough,
        and the cut and isolation of the model that all this is about.
    """
    import numpy as np

    from edgecost.stages.choices import USUAL, choice_of, fit_chosen
    from edgecost.stages.repeats import Repeats, family_rows, repeats_of, verdict
    from predictors.evaluate import ClosureRow, noise_floor, score, without_copies
    from predictors.evaluate import closure as evaluate
    from predictors.measured import Measurements, model_points
    from predictors.models import ISOLATED_MODEL, standard_models
    from predictors.proxies import BEST_SOURCE, best_source

    ids = [resolve_target(table, t) for t in targets] or sorted(t.id for t in table.targets)
    rows: list[dict[str, Any]] = []
    points: dict[str, list[dict[str, Any]]] = {}
    floors: dict[str, float | None] = {}
    families: dict[str, list[dict[str, Any]]] = {}
    twice: dict[str, dict[str, Any] | None] = {}
    verdicts: dict[str, dict[str, Any]] = {}
    chosen: dict[str, tuple[str, str]] = {}
    repeats = Repeats(results)
    for target_id in ids:
        measurements = Measurements.from_table(table, target_id)
        models = standard_models(measurements)
        chosen[target_id] = choice_of(table, target_id)
        if chosen[target_id] != USUAL:
            # the model that predictions and searches use goes by its old name, and what it was before beside it
            models[USUAL_MODEL] = models.pop(HEADLINE_MODEL)
        for model in models.values():
            model.fit_measurements(measurements)
        if chosen[target_id] != USUAL:
            models[HEADLINE_MODEL] = fit_chosen(table, target_id)[0]
        held_out = without_copies(model_points(table, target_id, "held_out"), measurements)
        found = evaluate(models, table, target_id, held_out)
        proxy = best_source(table, target_id, held_out)
        if proxy is not None:
            said = score(proxy.predicted_ms, found.measured_ms[target_id])
            line = ClosureRow(f"{BEST_SOURCE} ({proxy.source})", target_id, said)
            rows.append(_percent(line.to_dict()))
        rows += [_percent(row.to_dict()) for row in found.rows]
        best = models[HEADLINE_MODEL].estimate_many([p.workload for p in held_out])
        isolated = found.predicted_ms[target_id].get(ISOLATED_MODEL, np.full(len(held_out), math.nan))
        again = repeats.of(target_id)
        labels = [p.label for p in held_out]
        families[target_id] = family_rows(
            labels, found.predicted_ms[target_id][HEADLINE_MODEL], found.measured_ms[target_id]
        )
        twice[target_id] = repeats_of(repeats, table, target_id, held_out)
        headline = found.row(HEADLINE_MODEL, target_id).scores
        mape = None if headline.n_missing else finite(100 * headline.mape)
        verdicts[target_id] = verdict(mape, twice[target_id])
        points[target_id] = [
            {
                "label": p.label,
                "key": p.key,
                "measured_ms": p.latency_ms,
                "predicted_ms": e.latency_ms if e.complete else None,
                "low_ms": finite(e.low_ms),
                "high_ms": finite(e.high_ms),
                "isolated_ms": finite(float(i)),
                "repeat_ms": again.get(p.key),
            }
            for p, e, i in zip(held_out, best, isolated, strict=True)
        ]
        floors[target_id] = finite(100 * noise_floor(held_out).mape)
    return {
        "rows": rows,
        "points": points,
        "noise_floor_mape": floors,
        "families": families,
        "repeats": twice,
        "verdicts": verdicts,
        "cuts": {name: {"cut": cut, "isolation": isolation} for name, (cut, isolation) in chosen.items()},
    }


def _percent(row: dict[str, Any]) -> dict[str, Any]:
    scaled = {k: None if row[k] is None else 100 * row[k] for k in ("mape", "rmspe", "within_5", "within_10")}
    answer = {"target": row["target_id"], **{k: v for k, v in row.items() if k != "target_id"}, **scaled}
    return {**answer, "headline": row["model"] == HEADLINE_MODEL}
