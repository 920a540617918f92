"""Figures of boards over their campaign: slim panels beneath each other that share the axis of time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecost.report.boards import BoardCourse
from edgecost.report.figures import ACCENT, COOL, INK, SOFT, WARM, new_plot
from edgecost.report.thinning import Band

if TYPE_CHECKING:
    from bokeh.layouts import Column
    from bokeh.models import Range1d
    from bokeh.plotting import figure as Figure  # noqa: N812 (bokeh's class is called figure)

__all__ = ["board"]

_FEW = 60
"""Up to so many points are drawn as points too: between two gaps one alone makes no line."""
_SHARES = (COOL, WARM, "#8a5fb0")
_VERDICTS = {
    "reference": ("square", INK, "first of a process"),
    "good": ("circle", ACCENT, "as before"),
    "doubtful": ("circle", "#d99a1c", "asked again"),
    "drifted": ("x", WARM, "moved"),
}


def board(course: BoardCourse, label: str) -> Column | None:
    """Temperature, clock, sentinel and load of one target; None where there is nothing to draw.

    Args:
        course: what is drawn.
        label: stands behind the name in the first title, such as " (simulated)".
    """
    from bokeh.layouts import column
    from bokeh.models import Range1d

    margin = 0.02 * course.length or 0.5
    times = Range1d(-margin, course.length + margin)
    panels = [
        panel
        for panel in (_heat(course, times), _clock(course, times), _sentinel(course, times), _load(course, times))
        if panel is not None
    ]
    if not panels:
        return None
    clock = "the simulated board's own time" if course.virtual else "since the first measurement"
    panels[0].title.text = f"{course.name}{label}: {panels[0].title.text}"
    panels[-1].xaxis.axis_label = f"{course.unit}, {clock}"
    for panel in panels[:-1]:
        panel.xaxis.visible = False
    panels[-1].height += 40
    return column(panels, sizing_mode="stretch_width")


def _panel(course: BoardCourse, title: str, unit: str, times: Range1d, **settings: Any) -> Figure:
    from bokeh.models import BoxAnnotation, Span

    plot = new_plot(
        title=title, height=125, sizing_mode="stretch_width", x_range=times, y_axis_label=unit, min_border_left=58,
        **settings,
    )  # fmt: skip
    plot.toolbar_location = None
    plot.yaxis.ticker.desired_num_ticks = 4
    for begin, end in course.pauses:
        plot.add_layout(BoxAnnotation(left=begin, right=end, fill_color=WARM, fill_alpha=0.12, line_color=None))
    for begin in course.begins:
        plot.add_layout(Span(location=begin, dimension="height", line_color=SOFT, line_dash="dotted"))
    return plot


def _draw(plot: Figure, found: Band, color: str, name: str = "") -> Any:
    settings = {"legend_label": name} if name else {}
    source = {"time": found.times, "low": found.low, "high": found.high}
    areas = list(_areas(found))
    plot.patches([x for x, _ in areas], [y for _, y in areas], fill_color=color, fill_alpha=0.2, line_color=None)
    if len(found.times) <= _FEW:
        plot.scatter("time", "high", source=source, size=3, color=color)
    return plot.line("time", "high", source=source, line_color=color, line_width=1.5, **settings)


def _areas(found: Band) -> Iterator[tuple[list[float], list[float]]]:
    """The outline of the band between every two gaps."""
    ends = [i for i, value in enumerate(found.low) if value != value]
    for begin, end in zip([0, *(i + 1 for i in ends)], [*ends, len(found.low)], strict=True):
        times, low, high = found.times[begin:end], found.low[begin:end], found.high[begin:end]
        yield [*times, *times[::-1]], [*low, *high[::-1]]


def _room(found: Band, least: float) -> tuple[float, float]:
    """An axis that does not blow up what hardly moves."""
    low, high = float(np.nanmin(found.low)), float(np.nanmax(found.high))
    margin = max(0.12 * (high - low), (least - (high - low)) / 2)
    return low - margin, high + margin


def _hover(plot: Figure, renderer: Any, tip: str) -> None:
    from bokeh.models import HoverTool

    plot.add_tools(HoverTool(renderers=[renderer], tooltips=[("time", "@time{0.0}"), (tip, "@low{0.0} – @high{0.0}")]))


def _heat(course: BoardCourse, times: Range1d) -> Figure | None:
    if course.temperature is None:
        return None
    plot = _panel(course, "temperature", "°C", times, y_range=_room(course.temperature, 4.0))
    _hover(plot, _draw(plot, course.temperature, WARM), "°C")
    return plot


def _clock(course: BoardCourse, times: Range1d) -> Figure | None:
    if course.clock is None:
        return None
    bottom, top = _room(course.clock, 0.1 * float(np.nanmax(course.clock.high)))
    title = "clock, lowest and highest seen" + ("; slowed itself down at the red marks" if course.throttled else "")
    plot = _panel(course, title, "MHz", times, y_range=(bottom, top))
    _hover(plot, _draw(plot, course.clock, COOL), "MHz")
    if course.throttled:
        places = [bottom + 0.06 * (top - bottom)] * len(course.throttled)
        plot.scatter(course.throttled, places, marker="triangle", size=6, color=WARM)
    return plot


def _sentinel(course: BoardCourse, times: Range1d) -> Figure | None:
    if not course.sentinels:
        return None
    ratios = [ratio for _, found in course.sentinels.values() for ratio in found]
    bottom, top = _room(Band([], ratios, ratios), 0.03)
    marks = [word for there, word in ((course.pauses, "red: moved"), (course.again, "ticks: measured again")) if there]
    plot = _panel(course, "; ".join(["sentinel to its first", *marks]), "ratio", times, y_range=(bottom, top))
    line = sorted((t, r) for found in course.sentinels.values() for t, r in zip(*found, strict=True))
    plot.line([t for t, _ in line], [r for _, r in line], line_color=SOFT, line_alpha=0.6)
    size = 6 if len(line) <= 2 * _FEW else 3
    for verdict, (marker, color, name) in _VERDICTS.items():
        if verdict in course.sentinels:
            found_times, found = course.sentinels[verdict]
            source = {"time": found_times, "low": found, "high": found}
            plot.scatter("time", "low", source=source, marker=marker, size=size, color=color, legend_label=name)
    if course.again:
        places = [bottom + 0.05 * (top - bottom)] * len(course.again)
        plot.scatter(course.again, places, marker="dash", angle=1.5708, size=8, color=INK, line_alpha=0.5)
    _legend(plot)
    plot.height += 15
    return plot


def _load(course: BoardCourse, times: Range1d) -> Figure | None:
    if not course.shares:
        return None
    top = max(float(np.nanmax(found.high)) for found in course.shares.values())
    plot = _panel(course, "processor's time", "%", times, y_range=(0, 1.1 * max(top, 1.0)))
    for color, (name, found) in zip(_SHARES, course.shares.items(), strict=False):
        _hover(plot, _draw(plot, found, color, name), name)
    _legend(plot)
    return plot


def _legend(plot: Figure) -> None:
    """Above the plot, where it hides nothing."""
    legend = plot.legend[0]
    legend.orientation = "horizontal"
    legend.label_text_font_size = "10px"
    legend.padding, legend.margin, legend.spacing, legend.border_line_color = 0, 0, 8, None
    legend.glyph_width = legend.glyph_height = 12
    plot.add_layout(legend, "above")
