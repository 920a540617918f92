"""Figures of trust: spread as boxes, and energies with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgecost.report.figures import ACCENT, COOL, INK, SOFT, WARM, new_plot
from edgecost.report.spread import Box

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812 (bokeh's class is called figure)

__all__ = ["boxes", "energies"]

_LEAST = 1e-3
"""Per cent; what is less, such as no spread at all, is drawn here: the axis is logarithmic."""
_TICKS = (0.001, 0.01, 0.1, 0.3, 1, 3, 10, 30, 100, 1000)
_KINDS = {"model": ("circle", ACCENT), "block": ("square", COOL), "kernel": ("circle", COOL)}


def boxes(found: Sequence[Box], title: str, axis: str, limit: float | None) -> Figure:
    """One box a target: 5 to 95 % as a line, 25 to 75 % as a box, the median as a mark; the axis is logarithmic.

    Args:
        found: the distributions, in per cent.
        title, axis: of the figure.
        limit: a width of the gate, drawn as a dashed line.
    """
    from bokeh.models import FixedTicker, HoverTool, Span

    names = [box.target for box in found]
    ends = [max(value, _LEAST) for box in found for value in box.quantiles] + ([limit] if limit else [])
    plot = new_plot(
        title=title, y_range=names[::-1], x_axis_type="log", x_range=(0.7 * min(ends), 1.4 * max(ends)),
        height=115 + 30 * len(names), sizing_mode="stretch_width", x_axis_label=axis,
    )  # fmt: skip
    plot.xaxis.ticker = FixedTicker(ticks=list(_TICKS), minor_ticks=[])
    plot.xaxis.major_label_overrides = {tick: f"{tick:g}" for tick in _TICKS}
    low, first, middle, third, high = ([max(box.quantiles[i], _LEAST) for box in found] for i in range(5))
    texts = [" – ".join(f"{box.quantiles[i]:.3g}" for i in (0, 4)) for box in found]
    source = {"name": names, "low": low, "first": first, "middle": middle, "third": third, "high": high}
    source |= {"n": [box.n for box in found], "median": [box.quantiles[2] for box in found], "ends": texts}
    plot.segment("low", "name", "high", "name", source=source, line_color=SOFT, line_width=2)
    bars = plot.hbar(
        y="name", left="first", right="third", height=0.5, source=source, fill_color=ACCENT, fill_alpha=0.35,
        line_color=None,
    )  # fmt: skip
    plot.scatter("middle", "name", marker="dash", angle=1.5708, size=15, color=INK, line_width=3, source=source)
    if limit:
        plot.add_layout(Span(location=limit, dimension="height", line_color=WARM, line_dash="dashed"))
    tips = [("target", "@name"), ("median", "@median{0.000} %"), ("5 – 95 %", "@ends %"), ("values", "@n")]
    plot.add_tools(HoverTool(renderers=[bars], tooltips=tips))
    plot.ygrid.grid_line_color = None
    plot.toolbar_location = None
    return plot


def energies(points: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Energy against latency of one target, both logarithmic: dots with their U, upper bounds as arrows downwards.

    Args:
        points: as `edgecost.report.energies.EnergySection.points` has them.
        title: of the figure.
    """
    from bokeh.models import HoverTool

    values = [p["energy_mj"] for p in points]
    # an interval may reach below zero, which a logarithmic axis has not: it then ends at the frame
    floor = min(values) / 3
    tops = [p["energy_mj"] + (p["u_mj"] or 0.0) for p in points]
    plot = new_plot(
        title=title, height=320, sizing_mode="stretch_width", x_axis_type="log", y_axis_type="log",
        y_range=(floor, 1.5 * max(tops)), x_axis_label="latency, ms", y_axis_label="energy above rest, mJ a run",
    )  # fmt: skip
    drawn = []
    for kind, (marker, color) in _KINDS.items():
        mine = [p for p in points if p["kind"] == kind and not p["bound"]]
        if not mine:
            continue
        source = {name: [p[name] for p in mine] for name in ("label", "latency_ms", "energy_mj", "text", "kind")}
        source["low"] = [max(p["energy_mj"] - (p["u_mj"] or 0.0), floor) for p in mine]
        source["high"] = [p["energy_mj"] + (p["u_mj"] or 0.0) for p in mine]
        plot.segment("latency_ms", "low", "latency_ms", "high", source=source, line_color=color, line_alpha=0.6)
        drawn.append(
            plot.scatter(
                "latency_ms", "energy_mj", source=source, size=8 if kind == "model" else 5, marker=marker, color=color,
                legend_label={"model": "networks", "block": "blocks", "kernel": "kernels"}[kind],
            )
        )  # fmt: skip
    bounds = [p for p in points if p["bound"]]
    if bounds:
        source = {name: [p[name] for p in bounds] for name in ("label", "latency_ms", "energy_mj", "text", "kind")}
        source["low"] = [value / 1.6 for value in source["energy_mj"]]
        plot.segment("latency_ms", "low", "latency_ms", "energy_mj", source=source, line_color=WARM)
        plot.scatter("latency_ms", "low", source=source, size=7, marker="inverted_triangle", color=WARM)
        drawn.append(
            plot.scatter(
                "latency_ms", "energy_mj", source=source, size=10, marker="dash", color=WARM,
                legend_label="less than this (upper bound)",
            )
        )  # fmt: skip
    tips = [("@kind", "@label"), ("energy", "@text mJ"), ("latency", "@latency_ms{0.0000} ms")]
    plot.add_tools(HoverTool(renderers=drawn, tooltips=tips))
    plot.legend.location = "top_left"
    plot.legend.label_text_font_size = "10px"
    plot.legend.background_fill_alpha = 0.7
    return plot
