"""Figures of cuts: the error of every cut and isolation, and what each second operator of a pair saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgecost.report.figures import ACCENT, COOL, SOFT, WARM, new_plot

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812 (bokeh's class is called figure)

__all__ = ["errors", "shares"]

_VERDICTS = {"fused": (ACCENT, "fused"), "not": (COOL, "not fused"), "undecided": (SOFT, "undecided")}
_WINDOW = (-60.0, 160.0)
"""Per cent that are shown at first; what a pair of trifles saves may be anything."""


def errors(rows: Sequence[Mapping[str, Any]], name: str) -> Figure:
    """One target's cuts and isolations by their error on networks held out; the chosen one is filled.

    Args:
        rows: as `edgecost.report.cuts.CutsSection.errors` has them.
        name: of the target.
    """
    known = [row for row in rows if row["mape"] is not None]
    names = list(dict.fromkeys(row["name"] for row in rows))
    plot = new_plot(
        title=name, y_range=names[::-1], height=130 + 24 * len(names),
        sizing_mode="stretch_width", x_axis_label="MAPE on networks held out, %",
    )  # fmt: skip
    plot.x_range.start = 0
    sums = [row for row in rows if row["sum_mape"] is not None]
    plot.scatter(
        [row["sum_mape"] for row in sums], [row["name"] for row in sums], marker="x", size=8, color=SOFT,
        legend_label="sum of the parts",
    )  # fmt: skip
    for chosen, label, fill in ((False, "with an overhead", "white"), (True, "chosen", ACCENT)):
        mine = [row for row in known if bool(row["chosen"]) is chosen]
        if mine:
            plot.scatter(
                [row["mape"] for row in mine], [row["name"] for row in mine], size=10, line_color=ACCENT,
                fill_color=fill, legend_label=label,
            )  # fmt: skip
    _finish(plot)
    return plot


def shares(pairs: Sequence[Mapping[str, Any]], threshold: float | None, name: str) -> Figure:
    """What is saved of the second operator of every pair, with its 95 % interval, and the verdict.

    Args:
        pairs: as `edgecost.report.cuts.CutsSection.shares` has them; shares are relative to 1.
        threshold: from which share on a pair runs as one.
        name: of the target.
    """
    from bokeh.models import HoverTool, Span

    ordered = sorted(pairs, key=lambda row: -row["share"])
    names = list(dict.fromkeys(row["pair"] for row in ordered))
    plot = new_plot(
        title=name, y_range=names[::-1], x_range=_WINDOW,
        height=130 + 18 * len(names), sizing_mode="stretch_width",
        x_axis_label="saved of the second operator, % of what it costs alone",
    )  # fmt: skip
    drawn = []
    for verdict, (color, label) in _VERDICTS.items():
        mine = [row for row in ordered if row["verdict"] == verdict]
        if not mine:
            continue
        source = {key: [100 * row[key] for row in mine] for key in ("share", "low", "high")}
        source["pair"] = [row["pair"] for row in mine]
        plot.segment("low", "pair", "high", "pair", source=source, line_color=color, line_width=2, line_alpha=0.6)
        drawn.append(plot.scatter("share", "pair", source=source, size=8, color=color, legend_label=label))
    if threshold is not None:
        plot.add_layout(Span(location=100 * threshold, dimension="height", line_color=WARM, line_dash="dashed"))
    tips = [("pair", "@pair"), ("saved", "@share{0} % (@low{0} to @high{0})")]
    plot.add_tools(HoverTool(renderers=drawn, tooltips=tips))
    plot.yaxis.major_label_text_font_size = "10px"
    _finish(plot)
    return plot


def _finish(plot: Figure) -> None:
    legend = plot.legend[0]
    legend.orientation, legend.border_line_color = "horizontal", None
    legend.label_text_font_size = "10px"
    plot.add_layout(legend, "below")
    plot.ygrid.grid_line_color = None
    plot.toolbar_location = None
