"""What a report says of predictors on what they had not seen: tables, and parity and residual plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.report.documents import told_as_damaged
from edgecost.report.figures import ACCENT, SOFT, WARM, new_plot
from edgecost.report.formats import named
from predictors.left_out import WELL_MEASURED

if TYPE_CHECKING:
    from bokeh.layouts import GridPlot
    from bokeh.plotting import figure as Figure  # noqa: N812 (bokeh's class is called figure)

__all__ = ["PredictorsSection", "covered", "draw_predictors", "predictors_section", "section_of", "summary"]

_WHAT = {
    "kernel": "kernels",
    "kind": "kinds of kernels",
    "family": "families",
    "network": "networks",
}
_PERCENT = ("rmspe", "mape", "within_5", "within_10", "covered", "noise", "regret_1", "regret_10")
_PLAIN = ("kendall_tau", "spearman")


@dataclass(slots=True)
class PredictorsSection:
    """What the template prints and what is drawn.

    Attributes:
        rows: means over seeds, with their deviation, of every predictor on everything that was left out.
        kinds: the same of every kind of kernels.
        points: predictions to draw, by "target: what".
        notes: what could not be left out, and why.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    kinds: list[dict[str, Any]] = field(default_factory=list)
    points: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def predictors_section(results: Path) -> PredictorsSection | None:
    """The section of a results folder; None where nothing was left out.

    Raises:
        StorageError: RESULTS/left_out.json cannot be read.
    """
    from edgecost.stages.left_out import COMMAND, FILE, WHAT, read_left_out

    with told_as_damaged(results / FILE, WHAT, COMMAND):
        targets = read_left_out(results)
        return section_of(targets) if targets else None


def section_of(targets: Sequence[Mapping[str, Any]]) -> PredictorsSection:
    """The section of targets as `edgecost.stages.left_out` reads them.

    Raises:
        KeyError, TypeError: where they are none.
    """
    section = PredictorsSection()
    for target in targets:
        name = named(target)
        for row in summary(target["rows"]):
            well = row["group"] == WELL_MEASURED
            what = f"{row['what']}s, well measured" if well else _WHAT[row["what"]]
            figures = {k: _figure(row[k], row[f"{k}_sd"]) for k in (*_PERCENT, *_PLAIN)}
            shown = {
                "target": name,
                "what": what,
                "model": row["model"],
                "group": row["group"],
                "n": _count(row),
                **figures,
            }
            if row["group"] == "all" or well:
                section.rows.append(shown)
            elif row["what"] == "kernel":
                section.kinds.append(shown)
        for what, points in target["points"].items():
            section.points[f"{name}: {what}"] = points
        section.notes += target["notes"]
    return section


def summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a predictor, group and way of leaving out: means over seeds, their standard deviation as NAME_sd (None
    with one seed); shares and errors in per cent."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["what"], row["model"], row["group"]), []).append(row)
    found = []
    for (what, model, group), of in groups.items():
        line: dict[str, Any] = {"what": what, "model": model, "group": group, "n": of[0]["n"],
                                "n_missing": max(row["n_missing"] for row in of), "seeds": len(of)}  # fmt: skip
        for name in (*_PERCENT, *_PLAIN):
            scale = 100.0 if name in _PERCENT else 1.0
            values = [scale * row[name] for row in of if row[name] is not None]
            mean = sum(values) / len(values) if values else None
            line[name] = mean
            line[f"{name}_sd"] = (
                math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
                if mean is not None and len(values) > 1
                else None
            )
        found.append(line)
    return found


def _count(row: Mapping[str, Any]) -> str:
    n, missing = row["n"], row["n_missing"]
    return f"{n - missing} of {n}" if missing else str(n)


def _figure(value: float | None, sd: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if sd is None else f"{value:.2f} ± {sd:.2f}"


def draw_predictors(section: PredictorsSection) -> GridPlot:
    """Parity and relative residuals of everything left out, two panels a target and sort."""
    from bokeh.layouts import gridplot

    rows = []
    for title, points in section.points.items():
        shown = [p for p in points if p["predicted_ms"] and p["measured_ms"]]
        if shown:
            rows.append([_parity(title, shown), _residuals(title, shown)])
    return gridplot(rows, merge_tools=False)


def _source(points: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {n: [p[n] for p in points] for n in ("label", "measured_ms", "predicted_ms")}
    columns["residual"] = [100.0 * (p["predicted_ms"] / p["measured_ms"] - 1.0) for p in points]
    columns["color"] = [ACCENT if covered(p) else WARM for p in points]
    return columns


def covered(point: Mapping[str, Any]) -> bool:
    """Whether what was measured lies within the interval; a bound that is None there is infinite above."""
    low, high = point["low_ms"], point["high_ms"]
    return low is not None and low <= point["measured_ms"] and (high is None or point["measured_ms"] <= high)


def _parity(title: str, points: Sequence[Mapping[str, Any]]) -> Figure:
    values = [p[name] for p in points for name in ("measured_ms", "predicted_ms")]
    ends = [0.8 * min(values), 1.25 * max(values)]
    axes = {"x_axis_label": "measured, ms", "y_axis_label": "predicted without it, ms"}
    scales = {"x_axis_type": "log", "y_axis_type": "log", "x_range": tuple(ends), "y_range": tuple(ends)}
    plot = new_plot(title=title, width=420, height=330, **axes, **scales)
    plot.line(ends, ends, line_color=SOFT, line_dash="dashed")
    _dots(plot, points, "predicted_ms")
    return plot


def _residuals(title: str, points: Sequence[Mapping[str, Any]]) -> Figure:
    plot = new_plot(title=f"{title}, residuals", width=420, height=330, x_axis_type="log",
                    x_axis_label="measured, ms", y_axis_label="predicted − measured, %")  # fmt: skip
    for height in (-10, 0, 10):
        plot.hspan(y=height, line_color=SOFT, line_dash="dashed" if height else "solid")
    _dots(plot, points, "residual")
    return plot


def _dots(plot: Figure, points: Sequence[Mapping[str, Any]], y: str) -> None:
    from bokeh.models import HoverTool

    dots = plot.scatter("measured_ms", y, size=6, color="color", fill_alpha=0.6, source=_source(points))
    tips = [("", "@label"), ("measured", "@measured_ms{0.0000} ms"), ("off by", "@residual{0.0} %")]
    plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
