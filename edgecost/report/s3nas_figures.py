"""The figures of an S3NAS run: T_hat against its budget and the loss over the steps, and networks block by block."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgecost.report.figures import ACCENT, COOL, INK, SOFT, WARM, new_plot

if TYPE_CHECKING:
    from bokeh.layouts import Column, GridPlot
    from bokeh.plotting import figure as Figure  # noqa: N812 (bokeh's class is called figure)

__all__ = ["methods", "networks", "search_course"]

LINES = (ACCENT, COOL, WARM, "#8a5fb0", "#b8860b")
KERNELS = {3: "#9cc5a1", 5: "#3d6fb4", 7: "#c8553d"}
"""Colours of kernels; others share one."""
OTHER_KERNEL = "#8a5fb0"


def search_course(course: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> GridPlot:
    """T_hat beside the budget of every target, and the cross-entropy, over the steps of both phases.

    Args:
        course: rows with step, phase, cross_entropy and t_hat (one figure a target).
        targets: rows with target, budget and unit, in the order of t_hat.
    """
    from bokeh.layouts import gridplot
    from bokeh.models import Span

    steps = [row["step"] for row in course]
    unit = "mJ" if targets and targets[0]["unit"] == "mj" else "ms"
    top = max([t["budget"] for t in targets] + [cost for row in course for cost in row["t_hat"]], default=1.0)
    costs = new_plot(
        title="T_hat and budget (dashed)",
        width=560,
        height=340,
        x_axis_label="step",
        y_axis_label=unit,
        y_range=(0, 1.15 * top),
    )
    for index, target in enumerate(targets):
        color = LINES[index % len(LINES)]
        name = target["target"].split("/")[0]
        costs.line(steps, [row["t_hat"][index] for row in course], color=color, line_width=2, legend_label=name)
        budget = Span(location=target["budget"], dimension="width", line_color=color, line_dash="dashed")
        costs.add_layout(budget)
    costs.legend.location = "bottom_left"
    title = "Cross-entropy of training images; phase 2 behind the dotted line"
    losses = new_plot(title=title, width=560, height=340, x_axis_label="step", x_range=costs.x_range)
    entropy = [math.nan if row["cross_entropy"] is None else row["cross_entropy"] for row in course]
    losses.line(steps, entropy, color=ACCENT, line_width=2)
    begun = next((row["step"] for row in course if row["phase"] == 2), None)
    for plot in (costs, losses):
        if begun is not None:
            plot.add_layout(Span(location=begun, dimension="height", line_color=SOFT, line_dash="dotted"))
    return gridplot([[costs, losses]], toolbar_location=None)


def methods(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The accuracy of every method on every target: one dot a seed, a bar at their mean.

    Args:
        rows: with method, target and accuracy.
    """
    names = list(dict.fromkeys(_method_name(row) for row in rows))
    plot = new_plot(
        title="Test accuracy at equal budget: a dot a seed, a bar at the mean",
        y_range=names[::-1],
        height=90 + 26 * len(names),
        sizing_mode="stretch_width",
        x_axis_label="% of the test images",
    )
    for name in names:
        found = [100 * row["accuracy"] for row in rows if _method_name(row) == name]
        own = name.startswith("S3NAS")
        plot.scatter(found, [name] * len(found), size=9, color=ACCENT if own else COOL, alpha=0.7)
        plot.scatter([sum(found) / len(found)], [name], marker="dash", angle=1.5708, size=24, color=INK, line_width=3)
    return plot


def _method_name(row: Mapping[str, Any]) -> str:
    return f"{row['method']}, {row['target'].split('/')[0]}"


def networks(found: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> Column:
    """Networks block by block, one panel each: height is expansion, colour is kernel, a dot is squeeze-and-excitation.

    Args:
        found: (name, rows with stage, text, kernels as (kernel, expansion) and se).
    """
    from bokeh.layouts import column

    highest = max((sum(e for _, e in row["kernels"]) for _, rows in found for row in rows), default=1)
    return column([_network(name, rows, highest) for name, rows in found], sizing_mode="stretch_width")


def _network(name: str, rows: Sequence[Mapping[str, Any]], highest: int) -> Figure:
    from bokeh.models import HoverTool, Span

    places = [f"{row['stage']}.{n}" for row, n in zip(rows, _within_stage(rows), strict=True)]
    plot = new_plot(
        title=f"{name}: blocks by stage, expansion by kernel",
        x_range=places,
        y_range=(0, highest + 0.8),
        height=190,
        sizing_mode="stretch_width",
        y_axis_label="expansion",
    )
    parts = [
        (kernel, place, sum(e for k, e in row["kernels"] if k < kernel), expansion, row["text"])
        for place, row in zip(places, rows, strict=True)
        for kernel, expansion in row["kernels"]
    ]
    drawn = []
    for kernel in sorted({part[0] for part in parts}):
        mine = [part for part in parts if part[0] == kernel]
        bars = {
            "x": [place for _, place, *_ in mine],
            "bottom": [below for _, _, below, _, _ in mine],
            "top": [below + expansion for _, _, below, expansion, _ in mine],
            "text": [text for *_, text in mine],
        }
        color, name_of = KERNELS.get(kernel, OTHER_KERNEL), f"kernel {kernel}"
        drawn.append(
            plot.vbar(
                x="x", bottom="bottom", top="top", width=0.82, color=color, source=bars, line_color="white",
                legend_label=name_of,
            )
        )  # fmt: skip
    gated = [place for place, row in zip(places, rows, strict=True) if row["se"]]
    if gated:
        plot.scatter(gated, [highest + 0.4] * len(gated), size=7, color=INK, legend_label="squeeze-and-excitation")
    firsts = [i for i, n in enumerate(_within_stage(rows)) if n == 1][1:]
    for index in firsts:
        plot.add_layout(Span(location=index, dimension="height", line_color=SOFT, line_dash="dotted"))
    plot.add_tools(HoverTool(renderers=drawn, tooltips=[("block", "@x: @text")]))
    plot.add_layout(plot.legend[0], "right")
    plot.xgrid.grid_line_color = None
    return plot


def _within_stage(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """For every block its number within its stage, from 1."""
    seen: dict[int, int] = {}
    found = []
    for row in rows:
        seen[row["stage"]] = seen.get(row["stage"], 0) + 1
        found.append(seen[row["stage"]])
    return found
