"""A study's rows in few lines: each method's regret over all cells, by device, and where it is worst."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

__all__ = ["by_budget", "regrets_by_budget", "summary"]

Rows = Sequence[Mapping[str, Any]]


def summary(rows: Rows, tops: Rows) -> list[dict[str, Any]]:
    """One row a data set and method, in the order of the rows, and one of "random feasible", which is an expectation.

    Each holds `regret` (mean over answers that meet their budgets), `regret_by_device`, `worst` (the cell of the
    largest mean over seeds), `answers`, `infeasible` (answers beyond their budget, or none at all), `violations`
    (answers that were called feasible and are not) and `evaluations` (mean).
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["dataset"], row["method"]].append(row)
    for top in tops:
        regret = top["optimum"] - top["mean_within"]
        expected = {**top, "regret": regret, "feasible": True, "evaluations": 1, "cost": None}
        groups[top["dataset"], "random feasible"].append(expected)
    return [_line(dataset, method, found) for (dataset, method), found in groups.items()]


def _line(dataset: str, method: str, rows: Rows) -> dict[str, Any]:
    judged = [row for row in rows if row["regret"] is not None]
    devices: dict[str, list[float]] = defaultdict(list)
    cells: dict[str, list[float]] = defaultdict(list)
    for row in judged:
        devices[row["device"]].append(row["regret"])
        cells[f"{row['device']} {row['budget']:.4g} {row['unit']}"].append(row["regret"])
    worst = max(cells, key=lambda cell: fmean(cells[cell]), default=None)
    evaluations = [row["evaluations"] for row in rows if row["evaluations"] is not None]
    broken = [r for r in rows if r["feasible"] and r["cost"] is not None and r["cost"] > r["budget"]]
    return {
        "dataset": dataset,
        "method": method,
        "regret": fmean(row["regret"] for row in judged) if judged else None,
        "regret_by_device": {device: fmean(found) for device, found in devices.items()},
        "worst": worst,
        "worst_regret": None if worst is None else fmean(cells[worst]),
        "answers": len(rows),
        "infeasible": sum(not row["feasible"] for row in rows),
        "violations": len(broken),
        "evaluations": fmean(evaluations) if evaluations else None,
    }


def by_budget(rows: Rows, tops: Rows, method: str = "hw-evrsnas") -> list[dict[str, Any]]:
    """One row a cell: the optimum, and mean, least and largest accuracy of a method's answers over seeds."""
    found: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        if row["method"] == method and row["accuracy"] is not None:
            found[row["cell"]].append(row["accuracy"])
    lines = []
    for top in tops:
        own = found.get(top["cell"], [])
        figures = {"accuracy": fmean(own), "least": min(own), "largest": max(own)} if own else {}
        lines.append({**top, "accuracy": None, "least": None, "largest": None, **figures, "seeds": len(own)})
    return lines


def regrets_by_budget(rows: Rows) -> list[dict[str, Any]]:
    """One row a method and cell: mean, least and largest regret of the answers within the budget, over seeds; those of
    whole spaces, which have no seeds, are left out."""
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["seed"] is not None and row["regret"] is not None:
            groups[row["method"], row["cell"]].append(row)
    names = ("cell", "dataset", "device", "unit", "budget")
    found = []
    for (method, _), own in groups.items():
        regrets = [row["regret"] for row in own]
        figures = {"regret": fmean(regrets), "least": min(regrets), "largest": max(regrets), "seeds": len(own)}
        found.append({**{name: own[0][name] for name in names}, "method": method, **figures})
    return found
