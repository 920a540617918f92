"""The report's interactive figures, each from plain values; bokeh draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bokeh.layouts import GridPlot
    from bokeh.plotting import figure as Figure  # noqa: N812 (bokeh's class is called figure)

__all__ = ["course", "evaluations", "heat_map", "layers", "new_plot", "parity"]

INK = "#1d2733"
ACCENT = "#0b6e4f"
WARM = "#c8553d"
COOL = "#3d6fb4"
SOFT = "#9aa5b1"

MOST_PX = 1500
"""A heat map is at most so high."""

ROW_PX = 17
"""So high a row is, and so much a label takes; of more rows than fit, labels would lie upon each other."""


def new_plot(**settings: Any) -> Figure:
    """An empty figure in the report's style."""
    from bokeh.plotting import figure

    plot = figure(toolbar_location="above", tools="pan,box_zoom,wheel_zoom,reset,save", **settings)
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.outline_line_color = None
    plot.grid.grid_line_color = "#e6e9ed"
    plot.title.text_color = INK
    plot.title.text_font_size = "13px"
    for axis in (*plot.xaxis, *plot.yaxis):
        axis.axis_label_text_font_style = "normal"
        axis.axis_line_color = SOFT
        axis.major_tick_line_color = SOFT
        axis.minor_tick_line_color = None
    return plot


def heat_map(rows: Sequence[Mapping[str, Any]], targets: Sequence[str]) -> Figure:
    """Marginal cost of every kernel on every target; colour is logarithmic.

    Args:
        rows: one mapping a table row: label, target, marginal_us, isolated_us, spread_pct, issues.
        targets: the columns, in order.
    """
    from bokeh.models import ColorBar, HoverTool, LogColorMapper
    from bokeh.transform import transform

    shown = [r for r in rows if r["marginal_us"] and r["marginal_us"] > 0]
    labels = list(dict.fromkeys(r["label"] for r in shown))
    values = [r["marginal_us"] for r in shown] or [1.0, 10.0]
    mapper = LogColorMapper(palette="Viridis256", low=min(values), high=max(values))
    plot = new_plot(
        x_range=list(targets),
        y_range=labels[::-1],
        x_axis_location="above",
        height=min(MOST_PX, 90 + ROW_PX * len(labels)),
        sizing_mode="stretch_width",
    )
    columns = ("label", "target", "marginal_us", "isolated_us", "spread_pct", "issues")
    source = {c: [r[c] if r[c] is not None else math.nan for r in shown] for c in columns}
    cells = plot.rect(
        "target", "label", 0.96, 0.9, source=source, fill_color=transform("marginal_us", mapper), line_color=None
    )
    plot.add_tools(
        HoverTool(
            renderers=[cells],
            tooltips=[
                ("kernel", "@label"),
                ("target", "@target"),
                ("marginal", "@marginal_us{0.00} µs"),
                ("isolated", "@isolated_us{0.00} µs"),
                ("between rounds", "@spread_pct{0.0} %"),
                ("issues", "@issues"),
            ],
        )
    )
    plot.add_layout(ColorBar(color_mapper=mapper, title="µs", width=10, label_standoff=6), "right")
    plot.grid.grid_line_color = None
    plot.yaxis.major_label_text_font_size = "10px"
    if ROW_PX * len(labels) > MOST_PX:
        plot.yaxis.major_label_text_font_size = "0px"
        plot.yaxis.major_tick_line_color = None
        plot.yaxis.axis_label = f"{len(labels)} kernels, the costliest above; hover for their names"
    return plot


def parity(points: Mapping[str, Sequence[Mapping[str, Any]]], titles: Mapping[str, str]) -> GridPlot:
    """Predicted against measured latency of the held-out networks, one panel a target.

    Args:
        points: target -> rows with label, measured_ms, predicted_ms, low_ms, high_ms, isolated_ms.
        titles: target -> headline of its panel.
    """
    from bokeh.layouts import gridplot
    from bokeh.models import HoverTool

    panels = []
    for target, rows in points.items():
        measured = [r["measured_ms"] for r in rows]
        top = max([*measured, *(r["predicted_ms"] for r in rows if r["predicted_ms"] is not None)], default=1.0) * 1.1
        plot = new_plot(
            title=titles[target],
            width=380,
            height=330,
            x_range=(0, top),
            y_range=(0, top),
            x_axis_label="measured, ms",
            y_axis_label="predicted, ms",
        )
        plot.varea([0, top], [0, 0.9 * top], [0, 1.1 * top], fill_color=ACCENT, fill_alpha=0.08, legend_label="± 10 %")
        plot.line([0, top], [0, top], line_color=SOFT, line_dash="dashed")
        source = {
            k: [math.nan if r[k] is None else r[k] for r in rows]
            for k in ("label", "measured_ms", "predicted_ms", "low_ms", "high_ms", "isolated_ms")
        }
        plot.segment(
            "measured_ms", "low_ms", "measured_ms", "high_ms", source=source, line_color=ACCENT, line_alpha=0.6
        )
        dots = plot.scatter(
            "measured_ms", "predicted_ms", source=source, size=8, color=ACCENT, legend_label="marginal costs + overhead"
        )
        if any(r["isolated_ms"] is not None for r in rows):
            plot.scatter(
                "measured_ms",
                "isolated_ms",
                source=source,
                size=6,
                color=WARM,
                marker="x",
                legend_label="sum of isolated operators",
            )
        plot.add_tools(
            HoverTool(
                renderers=[dots],
                tooltips=[
                    ("network", "@label"),
                    ("measured", "@measured_ms{0.000} ms"),
                    ("predicted", "@predicted_ms{0.000} ms [@low_ms{0.000}, @high_ms{0.000}]"),
                    ("isolated sum", "@isolated_ms{0.000} ms"),
                ],
            )
        )
        plot.legend.location = "top_left"
        plot.legend.label_text_font_size = "10px"
        plot.legend.background_fill_alpha = 0.7
        panels.append(plot)
    return gridplot(panels, ncols=3, toolbar_location=None)


def course(generations: Sequence[Mapping[str, Any]]) -> Figure:
    """How the best score and the best fitness grew over the generations.

    Args:
        generations: rows with generation, best_fitness, best_feasible_score (None before one was met).
    """
    plot = new_plot(
        title="Course of the search", width=560, height=340, x_axis_label="generation", y_axis_label="score"
    )
    x = [g["generation"] for g in generations]
    feasible = [math.nan if g["best_feasible_score"] is None else g["best_feasible_score"] for g in generations]
    plot.step(
        x,
        [g["best_fitness"] for g in generations],
        mode="after",
        color=SOFT,
        line_width=2,
        legend_label="best fitness (penalised)",
    )
    plot.step(x, feasible, mode="after", color=ACCENT, line_width=3, legend_label="best score within budget")
    plot.legend.location = "bottom_right"
    return plot


def evaluations(rows: Sequence[Mapping[str, Any]], budget_ms: float, best: Mapping[str, Any] | None) -> Figure:
    """Everything the search looked at: predicted cost against score, the budget, the winner.

    Args:
        rows: one mapping an architecture: label, cost_ms, score.
        budget_ms: the constraint.
        best: the winner's row.
    """
    from bokeh.models import HoverTool, Span

    plot = new_plot(
        title="Architectures evaluated",
        width=560,
        height=340,
        x_axis_label="predicted latency, ms",
        y_axis_label="score (sum of three RMIs)",
    )
    keys = ("label", "cost_ms", "score")
    scores = [r["score"] for r in rows if r["score"] is not None]
    # networks whose output ignores their input score zero: the first view leaves them out, panning finds them
    shown = [s for s in scores if s > 0.5 * max(scores)]
    if shown:
        margin = 0.1 * (max(shown) - min(shown)) or 0.01
        plot.y_range.start, plot.y_range.end = min(shown) - margin, max(shown) + margin
    dots = plot.scatter(
        "cost_ms",
        "score",
        source={k: [math.nan if r[k] is None else r[k] for r in rows] for k in keys},
        size=6,
        color=COOL,
        alpha=0.55,
    )
    if best is not None:
        plot.scatter([best["cost_ms"]], [best["score"]], size=15, marker="star", color=WARM, legend_label="winner")
        plot.legend.location = "bottom_right"
    plot.add_layout(Span(location=budget_ms, dimension="height", line_color=INK, line_dash="dashed"))
    plot.add_tools(
        HoverTool(
            renderers=[dots],
            tooltips=[("architecture", "@label"), ("cost", "@cost_ms{0.000} ms"), ("score", "@score{0.000}")],
        )
    )
    return plot


def layers(parts: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Where the time of one network goes: predicted cost by kind of kernel.

    Args:
        parts: rows with label, latency_ms, count, source.
        title: of the figure.
    """
    from bokeh.models import HoverTool

    ordered = sorted(parts, key=lambda p: p["latency_ms"])
    labels = [p["label"] for p in ordered]
    plot = new_plot(
        title=title, y_range=labels, height=100 + 20 * len(labels), sizing_mode="stretch_width", x_axis_label="ms"
    )
    source = {
        "label": labels,
        "ms": [p["latency_ms"] for p in ordered],
        "count": [p["count"] for p in ordered],
        "source": [p["source"] for p in ordered],
        "color": [ACCENT if p["source"] == "table" else COOL if p["source"] == "regressor" else SOFT for p in ordered],
    }
    bars = plot.hbar(y="label", right="ms", height=0.7, source=source, fill_color="color", line_color=None)
    plot.add_tools(
        HoverTool(
            renderers=[bars],
            tooltips=[("kernel", "@label"), ("together", "@ms{0.0000} ms"), ("times", "@count"), ("from", "@source")],
        )
    )
    return plot
