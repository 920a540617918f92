"""The winners of a study on targets of our own: what each was predicted to take, within which interval, and what it
took when it was measured, beside the budget.

All winners of a target are measured in one campaign, in rounds of random order. What was measured is kept in a file
beside the study, so that making the study again, which takes seconds, loses nothing; and in runs of their own, which
are no part of the table that the predictor was fitted on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import finite, write_json
from profiler.errors import StorageError

if TYPE_CHECKING:
    from edgecost.stages.evrsnas.cells import OwnTarget
    from profiler.measure.progress import Progress
    from profiler.tables.row import Row
    from profiler.workloads.graph import Workload
    from search.spaces.base import SearchSpace

__all__ = ["Measuring", "beside_measured", "board_sentence", "measuring_on", "simulated_targets"]

Measuring = Callable[[str, "Sequence[Workload]"], "dict[str, Row]"]
"""(target id, networks) -> rows by key."""
Rows = Sequence[Mapping[str, Any]]

ROUNDS = 9
"""In fresh processes: a machine's slow minutes move the median of so many less than that of three."""


def measuring_on(devices: Path | None, effort: str, out: Path, progress: Progress | None = None) -> Measuring:
    """Measuring on boards; runs go below OUT/runs.

    Args:
        devices: the fleet's file, as of every verb.
        effort: "record", "shared" or "quick".
        out: folder of the study.
        progress: is told what happens.
    """
    from edgecost.stages.measuring import measure_together
    from edgecost.stages.targets import all_devices

    fleet = all_devices(devices)

    def measure(target: str, networks: Sequence[Workload]) -> dict[str, Row]:
        return measure_together(fleet, target, networks, effort, out / "runs", progress, "evrsnas", ROUNDS)

    return measure


def beside_measured(
    rows: Rows,
    own: Sequence[OwnTarget],
    space: SearchSpace,
    out: Path,
    method: str,
    measuring: Measuring | None = None,
) -> list[dict[str, Any]]:
    """One row a target, budget and winner of `method`: seeds, prediction with its interval, measurement, budget.

    Args:
        rows: judged rows of a study.
        own: targets of our own.
        space: what was searched.
        out: folder of the study; OUT/measured-TARGET.json holds what was measured.
        method: whose answers are the winners.
        measuring: measures the winners; None takes what an earlier call measured.

    Raises:
        DeviceError, MeasurementError: where a board or a measurement fails.
        StorageError: where the file of what was measured is damaged, or cannot be written.
    """
    table: list[dict[str, Any]] = []
    for one in own:
        won: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
        for row in rows:
            if row["device"] == one.target and row["method"] == method and row["position"] is not None:
                won.setdefault((row["cell"], row["position"]), []).append(row)
        workloads = {at: space.workload(space.at(at)) for at in sorted({position for _, position in won})}
        path = _file(out, one.target)
        measured = _read(path)
        if measuring is not None and workloads:
            measured |= _kept(measuring(one.target, list(workloads.values())))
            write_json(path, {"schema": 1, "target": one.target, "unit": "ms", "networks": measured})
        predictions = dict(zip(workloads, _predicted(one, list(workloads.values())), strict=True))
        for (_, position), answers in won.items():
            first = answers[0]
            found = measured.get(workloads[position].key, {})
            table.append(
                {
                    "target": one.target,
                    "unit": first["unit"],
                    "budget": first["budget"],
                    "architecture": first["architecture"],
                    "seeds": [row["seed"] for row in answers],
                    "feasible": first["feasible"],
                    "accuracy": first["accuracy"],
                    **predictions[position],
                    **_measured(found, first["unit"]),
                    **_verdict(found, first, predictions[position]),
                }
            )
    return table


def _predicted(one: OwnTarget, workloads: Sequence[Workload]) -> list[dict[str, Any]]:
    unit = "ms" if one.costs.unit == "ms" else "mj"
    name = "latency_ms" if unit == "ms" else "energy_mj"
    found = []
    for workload in workloads:
        p: Any = one.model.estimate(workload)
        figures = (getattr(p, name), getattr(p, f"low_{unit}"), getattr(p, f"high_{unit}"))
        found.append(dict(zip(("predicted", "low", "high"), map(finite, figures), strict=True)) | {"level": p.level})
    return found


def _measured(found: Mapping[str, Any], unit: str) -> dict[str, Any]:
    names = ("measured", "measured_low", "measured_high")
    kept: dict[str, Any] = {name: found.get(name) if unit == "ms" else None for name in names}
    return {**kept, "issues": found.get("issues", []), "status": found.get("status", "not measured")}


def _verdict(found: Mapping[str, Any], row: Mapping[str, Any], predicted: Mapping[str, Any]) -> dict[str, Any]:
    value = found.get("measured") if row["unit"] == "ms" else None
    if value is None:
        return {"within_budget": None, "within_interval": None, "off_pct": None}
    high = math.inf if predicted["high"] is None else predicted["high"]
    return {
        "within_budget": value <= row["budget"],
        "within_interval": predicted["low"] is not None and predicted["low"] <= value <= high,
        "off_pct": None if predicted["predicted"] is None else 100 * (predicted["predicted"] / value - 1),
    }


def board_sentence(table: Rows) -> str:
    """What the table comes to, target by target; "" where there is none."""
    told = []
    for target in dict.fromkeys(row["target"] for row in table):
        own = [row for row in table if row["target"] == target]
        seen = [row for row in own if row["within_budget"] is not None]
        if not seen:
            told.append(f"{target}: {len(own)} winners, none measured yet (--measure)")
            continue
        errors = [abs(row["off_pct"]) for row in seen if row["off_pct"] is not None]
        off = f", predictions off by {fmean(errors):.1f} % on average" if errors else ""
        told.append(
            f"{target}: {len(seen)} of {len(own)} winners measured, {sum(row['within_budget'] for row in seen)} within "
            f"their budget, {sum(row['within_interval'] for row in seen)} within their interval{off}"
        )
    return "; ".join(told)


def _file(out: Path, target: str) -> Path:
    return out / f"measured-{target.replace('/', '-')}.json"


def _kept(rows: Mapping[str, Row]) -> dict[str, Any]:
    """What the file keeps of rows, by key of the network."""
    from edgecost.stages.measuring import interval_ms

    kept: dict[str, Any] = {}
    for key, row in rows.items():
        if row.has_figure:
            found = interval_ms(row)
            figures = {"measured": found["measured_ms"], "measured_low": found["low_ms"]}
            figures |= {"measured_high": found["high_ms"], "issues": found["issues"], "status": row.status}
        else:
            figures = {"issues": list(row.issues), "status": row.status}
        kept[key] = {"label": row.label, "emulation": row.emulation, **figures}
    return kept


def _read(path: Path) -> dict[str, Any]:
    """What was measured, by key of the network; nothing where nothing was.

    Raises:
        StorageError: where the file is damaged.
    """
    try:
        return {str(key): dict(row) for key, row in json.loads(path.read_text(encoding="utf-8"))["networks"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, AttributeError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path}, which holds what winners took, cannot be read ({error!r}); put a good copy in its place, or "
            "remove it and measure again with --measure"
        ) from None


def simulated_targets(own: Sequence[OwnTarget], results: Path) -> str:
    """What a sentence about targets without hardware behind them ends with; else ""."""
    from edgecost.stages.costs import load_table
    from edgecost.stages.energy_costs import simulated_words

    table = load_table(results)
    return "".join(dict.fromkeys(simulated_words(table, one.target) for one in own))
