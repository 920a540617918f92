"""The charts of a study of HW-EvRSNAS: fronts by device, regret by budget, scores against accuracy, courses of runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from edgecost.report.charts import Series, chart
from edgecost.report.figures import ACCENT, COOL, INK, SOFT, WARM

__all__ = ["charts_of"]

Rows = Sequence[Mapping[str, Any]]
Charts = list[tuple[str, str, list[str]]]
"""Heading, a sentence, and charts."""

OWN = "hw-evrsnas"
COLORS = (ACCENT, COOL, WARM, "#8a5fb0", "#b8860b", INK)
RIVALS = {"by macs": COOL, "random": WARM, "hw-evrsnas, no finalists": "#8a5fb0"}
"""Controls that stand in the charts of regret, by colour."""
MOST_SCATTERS = 8


def charts_of(data: Mapping[str, Any]) -> Charts:
    """All charts of a study's content; those that need rows are left out where it has none.

    Raises:
        KeyError, TypeError: where it is none.
    """
    found: Charts = [
        (
            "Fronts",
            "Grey: the most accurate architecture that there is at any cost (all 15,625 looked up). Dots: the answers "
            "at what they cost, all budgets and seeds; a dot on the line is optimal. Dashed: what a random network "
            "within the budget is expected to reach.",
            _fronts(data),
        ),
        (
            "Regret by budget",
            "How far the answers lie below the best that meets the budget, in accuracy points; mean over seeds, bars "
            "from the least to the largest.",
            _regrets(data),
        ),
        (
            "Scores against accuracy",
            "One dot an isomorphism class, a sample of them; test accuracy from 80 % on.",
            [*_by_step(data.get("ablations", ())), *_scatters(data)],
        ),
        (
            "The course of a run",
            "Regret of the best by score within the budget up to each generation, mean over a device's budgets and "
            "seeds. The search sees the score only: its accuracy may fall.",
            _courses(data),
        ),
    ]
    return [(heading, sentence, [c for c in charts if c]) for heading, sentence, charts in found if any(charts)]


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["dataset"], row["device"]


def _by_key(rows: Rows) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found[_key(row)].append(row)
    return found


def _fronts(data: Mapping[str, Any]) -> list[str]:
    budgets = _by_key(data["budgets"])
    answers = _by_key([r for r in data.get("rows", ()) if r["method"] == OWN and r["accuracy"] is not None])
    charts = []
    for front in data.get("fronts", ()):
        key = _key(front)
        costs, best = zip(*front["points"], strict=True)
        own, chance = answers[key], sorted(budgets[key], key=lambda row: row["budget"])
        shown = [row["accuracy"] for row in own] + [row["mean_within"] for row in chance]
        low = max(min(shown, default=best[-1]), best[-1] - 30)
        notes = [
            f"{r['accuracy']:.2f} % at {r['cost']:.4g} {r['unit']} within {r['budget']:.4g}, seed {r['seed']}: "
            f"{r['architecture']}"
            for r in own
        ]
        series = [
            Series("optimum", "step", costs, best, SOFT, size=3),
            Series("random", "line", [r["budget"] for r in chance], [r["mean_within"] for r in chance], WARM,
                   dashed=True, size=1.5),
            Series("HW-EvRSNAS", "points", [r["cost"] for r in own], [r["accuracy"] for r in own], ACCENT, size=3.2,
                   notes=notes),
        ]  # fmt: skip
        title = f"{front['device']}, {front['dataset']}"
        span = (low - 0.5, best[-1] + 0.5)
        charts.append(chart(title, series, f"cost, {front['unit']}", "test accuracy, %", log_x=True, y_range=span))
    return charts


def _regrets(data: Mapping[str, Any]) -> list[str]:
    charts = []
    for (dataset, device), rows in _by_key(data.get("regrets", ())).items():
        series = []
        for method, color in (*RIVALS.items(), (OWN, ACCENT)):
            own = sorted((r for r in rows if r["method"] == method), key=lambda r: r["budget"])
            budgets, means = [r["budget"] for r in own], [r["regret"] for r in own]
            if method == OWN:
                low, high = ([r[name] for r in own] for name in ("least", "largest"))
                series.append(Series("", "ranges", budgets, low, color, high, size=1.5))
                series.append(Series("", "points", budgets, means, color, size=3))
            if budgets:
                name = "HW-EvRSNAS" if method == OWN else method
                series.append(Series(name, "line", budgets, means, color, size=2.2 if method == OWN else 1.4))
        charts.append(chart(f"{device}, {dataset}", series, f"budget, {rows[0]['unit']}", "regret, points"))
    return charts


def _by_step(ablations: Rows) -> list[str]:
    """Kendall's tau by training steps, one line a macro network: the setting of most classes."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in ablations:
        if row["what"] == "steps" and row["kendall_tau"] is not None:
            groups[row["among"].split(", ")[0], row["identity"]].append(row)
    largest: dict[str, list[Mapping[str, Any]]] = {}
    for (macro, _), rows in groups.items():
        if macro not in largest or rows[0]["classes"] > largest[macro][0]["classes"]:
            largest[macro] = rows
    series = []
    for color, (macro, rows) in zip(COLORS, largest.items(), strict=False):
        name = f"{macro}, {rows[0]['classes']} classes"
        series.append(Series(name, "line", [r["step"] for r in rows], [r["kendall_tau"] for r in rows], color))
    return [chart("Kendall's tau of phi by training steps", series, "steps", "tau")] if series else []


def _scatters(data: Mapping[str, Any]) -> list[str]:
    taus = {(r["dataset"], r["score"]): r["kendall_tau"] for r in data["correlations"] if not r["above"]}
    charts = []
    ordered = sorted(data.get("scatter", ()), key=lambda s: not s["whole"])
    for found in ordered[:MOST_SCATTERS]:
        points = [(x, y) for x, y in found["points"] if y >= 80]
        tau = taus.get((found["dataset"], found["score"]))
        if not points:
            continue
        xs, ys = zip(*points, strict=True)
        title = f"{found['score']}{'' if tau is None else f', tau {tau:.2f} over all'}"
        series = [Series("", "points", xs, ys, COOL, size=1.8)]
        charts.append(chart(title, series, found["score"], f"{found['dataset']} accuracy, %"))
    return charts


def _courses(data: Mapping[str, Any]) -> list[str]:
    optima = {row["cell"]: row["optimum"] for row in data["budgets"]}
    by_dataset: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    last = data["settings"]["generations"]
    for row in data.get("rows", ()):
        if row.get("course"):
            regrets = _filled(row["course"], last, optima[row["cell"]])
            by_dataset[row["dataset"]][row["device"]].append(regrets)
    charts = []
    for dataset, devices in by_dataset.items():
        series = []
        for color, (device, runs) in zip(COLORS, devices.items(), strict=False):
            # a generation counts where every run has met its budget by then
            begun = max(next(g for g, value in enumerate(run) if value == value) for run in runs)
            generations = list(range(begun, last + 1))
            means = [fmean(run[g] for run in runs) for g in generations]
            series.append(Series(device, "line", generations, means, color, size=1.6))
        charts.append(chart(dataset, series, "generation", "regret, points"))
    return charts


def _filled(course: Sequence[Sequence[float]], last: int, optimum: float) -> list[float]:
    """Regret by generation; NaN before anything met the budget."""
    found, at = [float("nan")] * (last + 1), 0
    for index, (generation, _, accuracy) in enumerate(course):
        until = int(course[index + 1][0]) if index + 1 < len(course) else last + 1
        at = int(generation)
        found[at:until] = [optimum - accuracy] * (until - at)
    return found
