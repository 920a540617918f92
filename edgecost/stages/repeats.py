"""The noise floor by measuring twice: the same networks again, in another run, held against their first measurement.

    RESULTS/<device>/<run>           the first measurement: what predictions are judged by
    RESULTS/repeat/<device>/<run>    the repeat: `edgecost profile --suite closure --part networks`

The floor is how far the repeat is from the first measurement, by the scores that a predictor gets. A predictor that
knew every true latency would do better than the repeat, since it has only the first measurement's noise against it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.suite import FAMILIES, family_of

if TYPE_CHECKING:
    from predictors.evaluate import Scores
    from predictors.measured import ModelPoint
    from profiler.tables.table import CostTable

__all__ = ["FLOORS_WORTH", "LEAST_TARGET_MAPE", "REPEAT", "Repeats", "family_rows", "repeats_of", "verdict"]

REPEAT = "repeat"
"""Repeats lie in RESULTS/repeat/<device>/<run>."""

LEAST_TARGET_MAPE = 5.0
"""Below this mean error, in per cent, closure is good enough whatever the floor."""

FLOORS_WORTH = 1.5
"""So many times the floor is as near as closure has to come."""


class Repeats:
    """The table of the repeats below a folder of results, if there are any."""

    def __init__(self, results: Path | None) -> None:
        from edgecost.stages.costs import load_table

        folder = results / REPEAT if results is not None else None
        found = folder is not None and any(folder.glob("*/*/run.json"))
        self.table: CostTable | None = load_table(folder) if folder is not None and found else None

    def of(self, target_id: str) -> dict[str, float]:
        """Latencies in ms of what was measured again on a target, by key."""
        from predictors.measured import model_points

        if self.table is None or all(target.id != target_id for target in self.table.targets):
            return {}
        points = (*model_points(self.table, target_id, "held_out"), *model_points(self.table, target_id, "fit"))
        return {point.key: point.latency_ms for point in points}


def repeats_of(
    repeats: Repeats, table: CostTable, target_id: str, held_out: Sequence[ModelPoint]
) -> dict[str, Any] | None:
    """The floor of a target, in per cent, and which runs it is between; None where nothing was measured twice.

    Returns:
        Scores in per cent ("n", "mape", "within_5", "within_10", "kendall_tau", ...), "families" of them,
        "first_runs" and "repeat_runs" as [{"run", "first", "last"}], and "hours_apart", the time from the last record
        of the first runs to the first record of the repeats: negative where the two overlap.
    """
    import numpy as np

    again = repeats.of(target_id)
    both = [point for point in held_out if point.key in again]
    if not both or repeats.table is None:
        return None
    first = np.array([point.latency_ms for point in both])
    second = np.array([again[point.key] for point in both])
    keys = {point.key for point in both}
    first_runs, repeat_runs = (_runs(one, target_id, keys) for one in (table, repeats.table))
    return {
        **scores_row(score_of(second, first)),
        "families": family_rows([point.label for point in both], second, first),
        "first_runs": first_runs,
        "repeat_runs": repeat_runs,
        "hours_apart": _hours_apart(first_runs, repeat_runs),
    }


def verdict(mape: float | None, floor: Mapping[str, Any] | None) -> dict[str, Any]:
    """Whether a target's closure is near enough: {"mape", "limit", "floor", "met"}; in per cent.

    Without a repeat the limit is `LEAST_TARGET_MAPE`; where that is missed, `met` is None: nobody can tell.
    """
    repeat = None if floor is None else floor["mape"]
    limit = LEAST_TARGET_MAPE if repeat is None else max(LEAST_TARGET_MAPE, FLOORS_WORTH * repeat)
    met = mape is not None and mape <= limit
    return {"mape": mape, "limit": limit, "floor": repeat, "met": met if met or repeat is not None else None}


def family_rows(labels: Sequence[str], predicted: Any, measured: Any) -> list[dict[str, Any]]:
    """Scores of every family that is there, in per cent; none where there are no families."""
    import numpy as np

    families = np.array([family_of(label) for label in labels])
    return [
        {"family": family, **scores_row(score_of(predicted[families == family], measured[families == family]))}
        for family in FAMILIES
        if (families == family).any()
    ]


def score_of(predicted: Any, measured: Any) -> Scores:
    """`predictors.evaluate.score`."""
    from predictors.evaluate import score

    return score(predicted, measured)


def scores_row(scores: Scores) -> dict[str, Any]:
    """Scores in per cent, None where one is undefined."""
    percent = ("mape", "rmspe", "within_5", "within_10")
    row = {name: 100 * value if name in percent else value for name, value in asdict(scores).items()}
    return {name: value if math.isfinite(value) else None for name, value in row.items()}


def _runs(table: CostTable, target_id: str, keys: set[str]) -> list[dict[str, str]]:
    """The runs that the figures of networks come from: folder, and when their first and last record was begun."""
    from profiler.measure.journal import iter_journal
    from profiler.measure.record import Measurement

    wanted = {row.run_id for row in table.rows(target_id, "model") if row.key in keys}
    found = []
    for folder in (Path(source) for source in table.sources):
        if folder.name in wanted:
            begun = [
                record.started_at
                for record in iter_journal(folder / "journal.jsonl")
                if isinstance(record, Measurement) and record.target_id == target_id and record.started_at
            ]
            if begun:
                found.append({"run": folder.as_posix(), "first": min(begun), "last": max(begun)})
    return found


def _hours_apart(first: list[dict[str, str]], repeat: list[dict[str, str]]) -> float | None:
    if not first or not repeat:
        return None
    ended = max(datetime.fromisoformat(run["last"]) for run in first)
    begun = min(datetime.fromisoformat(run["first"]) for run in repeat)
    return (begun - ended).total_seconds() / 3600
