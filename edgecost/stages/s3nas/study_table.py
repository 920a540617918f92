"""The table of a study of S3NAS: one row a run that is complete, and each method in one line."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import write_json
from edgecost.stages.s3nas.post import FINAL
from edgecost.stages.s3nas.scale import SCALED
from edgecost.stages.s3nas.study_measure import option_networks, read_measured

if TYPE_CHECKING:
    from edgecost.stages.s3nas.study_plan import Run, StudyOptions

__all__ = ["STUDY", "study_table"]

STUDY = "study.json"


def study_table(options: StudyOptions, runs: Sequence[Run], out: Path) -> dict[str, Any]:
    """Collect what the runs have come to so far and write OUT/study.json; returns its content."""
    from edgecost.stages.s3nas.train import schedule_of

    measured = {run.target: read_measured(out, run.target) for run in runs}
    rows = [row for run in runs if (row := _row(run, measured[run.target])) is not None]
    answer = {
        "schema": 1,
        "kind": "s3nas-study",
        "note": options.training.task().note,
        "final_schedule": schedule_of(options.training).to_dict(),
        "search_settings": options.settings,
        "quantile": options.quantile,
        "share": options.share,
        "divisor": options.divisor,
        "resolution_step": options.resolution_step,
        "imported_settings": options.imported_settings,
        "rows": rows,
        "methods": _methods(rows, {target: _slower(found["anchors"]) for target, found in measured.items()}),
        "anchors": {target: found["anchors"] for target, found in measured.items() if found["anchors"]},
        "post_processing": [found for run in runs if (found := _post(run, measured[run.target])) is not None],
        "courses": [found for run in runs if (found := _course(run)) is not None],
    }
    write_json(out / STUDY, answer)
    return answer


def _read(path: Path) -> dict[str, Any] | None:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _row(run: Run, measured: dict[str, Any]) -> dict[str, Any] | None:
    search, scale = _read(run.folder / "search.json"), _read(run.folder / "scaling.json")
    final = _read(run.folder / "final" / "final.json")
    if search is None or scale is None or final is None:
        return None
    (target,) = scale["targets"]
    seen = _seen(run.folder / SCALED, measured)
    return {
        "method": run.method.name,
        "target": run.target,
        "seed": run.seed,
        "search_budget_ms": search.get("budget_ms", run.search_budget_ms),
        "t_hat_ms": search["t_hat_ms"],
        "budget_ms": run.budget_ms,
        "phi": scale["phi"],
        "predicted_ms": target["predicted"],
        "measured_ms": seen.get("measured_ms"),
        "low_ms": seen.get("low_ms"),
        "high_ms": seen.get("high_ms"),
        "accuracy": final["accuracy"],
        "exported": {f"{e['format']} {e['precision']}": e["accuracy"] for e in final["exports"]},
        "params": final["params"],
        "macs": final["macs"],
        "search_s": search["seconds"],
        "training_s": final["train_seconds"],
        "network": final["label"],
    }


def _slower(anchors: Sequence[dict[str, Any]]) -> float | None:
    """How much slower the machine was than in its table's hour; None where nothing tells."""
    ratios = [a["measured_ms"] / a["table_ms"] for a in anchors if a["measured_ms"] is not None]
    return median(ratios) if ratios else None


def _methods(rows: Sequence[dict[str, Any]], slower: dict[str, float | None]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds of every method on every target.

    `levelled_ms` is what was measured, were the machine as fast as in its table's hour.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["method"], row["target"]].append(row)
    return [
        {
            "method": method,
            "target": target,
            "n": len(found),
            "accuracy": fmean(r["accuracy"] for r in found),
            "accuracy_sd": stdev(r["accuracy"] for r in found) if len(found) > 1 else None,
            **{name: _mean(found, name) for name in ("t_hat_ms", "predicted_ms", "measured_ms", "params", "macs")},
            "search_s": _mean(found, "search_s"),
            "search_budget_ms": found[0]["search_budget_ms"],
            "budget_ms": found[0]["budget_ms"],
            "levelled_ms": _levelled(_mean(found, "measured_ms"), slower[target]),
            "met": sum(r["measured_ms"] is not None and r["measured_ms"] <= r["budget_ms"] for r in found),
        }
        for (method, target), found in groups.items()
    ]


def _levelled(measured_ms: float | None, slower: float | None) -> float | None:
    return None if measured_ms is None or slower is None else measured_ms / slower


def _mean(rows: Sequence[dict[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows]
    return None if any(value is None for value in values) else fmean(values)


def _post(run: Run, measured: dict[str, Any]) -> dict[str, Any] | None:
    post, final = _read(run.folder / "postprocess.json"), _read(run.folder / "final+" / "final.json")
    if post is None or final is None:
        return None
    return {
        "target": run.target,
        "seed": run.seed,
        "budget_ms": run.budget_ms,
        "options": post["options"],
        "sentence": post["sentence"],
        "accuracy": final["accuracy"],
        "exported": {f"{e['format']} {e['precision']}": e["accuracy"] for e in final["exports"]},
        "params": final["params"],
        "macs": final["macs"],
        "network": final["label"],
        "predicted_option_costs": post["option_costs"],
        "measured": _measured_options(run, measured) if measured["networks"] else None,
    }


def _seen(path: Path, measured: dict[str, Any]) -> dict[str, Any]:
    """The measurement of a network's file; empty where there is none."""
    from search.spaces.network import network_workload, read_network

    key = network_workload(read_network(path)).key
    return dict(measured["networks"].get(key, {}))


def _measured_options(run: Run, measured: dict[str, Any]) -> dict[str, Any]:
    """The final network, and every option on the network as it was found."""
    from search.spaces.network import network_workload

    of = measured["networks"]
    options = [{"option": name, **of.get(network_workload(n).key, {})} for name, n in option_networks(run)]
    return {"final": _seen(run.folder / FINAL, measured), "options": options}


def _course(run: Run) -> dict[str, Any] | None:
    search = _read(run.folder / "search.json")
    if search is None or "course" not in search:
        return None
    what: dict[str, Any] = {"method": run.method.name, "target": run.target, "seed": run.seed}
    what["budget_ms"] = search.get("budget_ms", run.search_budget_ms)
    return {**what, "columns": ["step", "phase", "cross_entropy", "t_hat_ms"], "points": search["course"]}
