"""Small still charts as SVG, for pages that have many of them: a page of these is a tenth of one that carries a
plotting library. What a point is, its tooltip says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from edgecost.report.figures import SOFT

__all__ = ["Series", "chart", "framed"]

WIDTH, HEIGHT = 380, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 8, 36
MOST_LOG_TICKS = 8
"""Of more, only decades are named: the others would lie upon each other."""

Kind = Literal["line", "step", "points", "dots", "ranges"]


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn in one colour.

    Attributes:
        label: for the legend; "" for none.
        kind: a line, a staircase that keeps a value until the next, points, dots (points by the hundred, without
            tooltips, at a third of the bytes), or vertical bars from `ys` to `tops`.
        xs, ys: what is drawn; entries that are no numbers are left out.
        color: a colour.
        tops: of "ranges".
        dashed: of lines.
        size: radius of points, or width of lines, in pixels.
        notes: tooltips, one a point, or none.
    """

    label: str
    kind: Kind
    xs: Sequence[float]
    ys: Sequence[float]
    color: str
    tops: Sequence[float] = ()
    dashed: bool = False
    size: float = 2.0
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def holds(self, value: float) -> bool:
        return math.isfinite(value) and self.low <= value <= self.high

    def ticks(self) -> list[float]:
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            all_ = [m * 10.0**d for d in decades for m in (1, 2, 5)]
            found = [t for t in all_ if self.low <= t <= self.high]
            if len(found) > MOST_LOG_TICKS:
                found = [10.0**d for d in decades if self.low <= 10.0**d <= self.high]
            return found if len(found) > 1 else [float(f"{v:.2g}") for v in (self.low * 1.05, self.high / 1.05)]
        raw = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= raw)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def chart(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
) -> str:
    """One chart as HTML: a title, a legend and an SVG. All text is escaped. "" where there is nothing to draw.

    Args:
        title, x_label, y_label: texts.
        series: what is drawn, first at the back.
        log_x, log_y: whether an axis is logarithmic; then only what is above zero is drawn.
        x_range, y_range: instead of all that there is; what lies beyond is left out.
    """
    points = [
        (x, y)
        for s in series
        for x, y in [*zip(s.xs, s.ys, strict=True), *zip(s.xs[: len(s.tops)], s.tops, strict=True)]
        if math.isfinite(x)
        and math.isfinite(y)
        and (x > 0 or not log_x)
        and (y > 0 or not log_y)
        and (x_range is None or x_range[0] <= x <= x_range[1])
        and (y_range is None or y_range[0] <= y <= y_range[1])
    ]
    if not points:
        return ""
    x_axis = _scale([x for x, _ in points], LEFT, WIDTH - RIGHT, log_x, x_range)
    y_axis = _scale([y for _, y in points], HEIGHT - BOTTOM, TOP, log_y, y_range)
    drawn = "".join(_draw(s, x_axis, y_axis) for s in series)
    legend = " ".join(
        f'<span style="color:{s.color}">{"●" if s.kind in ("points", "dots") else "━"}</span> {escape(s.label)}'
        for s in series
        if s.label
    )
    return framed(title, legend, f"{_axes(x_axis, y_axis, x_label, y_label)}{drawn}", HEIGHT)


def framed(title: str, legend: str, drawn: str, height: int) -> str:
    """What was drawn, with its title and legend, as a figure of HTML.

    Args:
        title: a text.
        legend, drawn: HTML and SVG whose text is escaped.
        height: of the drawing, in pixels where it is `WIDTH` wide.
    """
    return (
        f'<figure class="chart"><figcaption><b>{escape(title)}</b><br>{legend}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{drawn}</svg></figure>'
    )


def _scale(
    values: Sequence[float], start: float, end: float, log: bool, given: tuple[float, float] | None = None
) -> _Scale:
    low, high = given or (min(values), max(values))
    if low == high:
        low, high = (low * 0.9, high * 1.1) if low > 0 else (low - 1, high + 1)
    if given is None:
        if log:
            low, high = low / 1.05, high * 1.05
        else:
            margin = 0.04 * (high - low)
            low, high = low - margin, high + margin
    return _Scale(low, high, start, end, log)


def _axes(x_axis: _Scale, y_axis: _Scale, x_label: str, y_label: str) -> str:
    parts = []
    for tick in x_axis.ticks():
        x = x_axis(tick)
        parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e6e9ed"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 13}" text-anchor="middle">{_tick(tick)}</text>')
    for tick in y_axis.ticks():
        y = y_axis(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e6e9ed"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{_tick(tick)}</text>')
    parts.append(f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="{SOFT}"/>')
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text x="{middle_x}" y="{HEIGHT - 5}" text-anchor="middle">{escape(x_label)}</text>')
    turned = f'transform="rotate(-90 9 {middle_y})"'
    parts.append(f'<text x="9" y="{middle_y}" text-anchor="middle" {turned}>{escape(y_label)}</text>')
    return "".join(parts)


def _tick(value: float) -> str:
    """Short enough not to reach into the axis' own label: 1e-4 in place of 0.0001."""
    if 0.0 < value < 0.001:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{round(value, 9):g}"


def _draw(s: Series, x_axis: _Scale, y_axis: _Scale) -> str:
    shown = [
        (i, x_axis(x), y_axis(y))
        for i, (x, y) in enumerate(zip(s.xs, s.ys, strict=True))
        if x_axis.holds(x) and y_axis.holds(y)
    ]
    if s.kind == "points":
        dots = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{s.size:g}">'
            + (f"<title>{escape(s.notes[i])}</title>" if i < len(s.notes) else "")
            + "</circle>"
            for i, x, y in shown
        )
        return f'<g fill="{s.color}" fill-opacity="0.75">{dots}</g>'
    if s.kind == "dots":
        # round ends make a dot of a line without length
        path = "".join(f"M{x:.1f} {y:.1f}h0" for _, x, y in shown)
        width = f'stroke-width="{2 * s.size:g}" stroke-linecap="round" stroke-opacity="0.75"'
        return f'<path d="{path}" fill="none" stroke="{s.color}" {width}/>' if path else ""
    if s.kind == "ranges":
        path = "".join(
            f"M{x:.1f} {y:.1f}V{y_axis(min(max(s.tops[i], y_axis.low), y_axis.high)):.1f}" for i, x, y in shown
        )
    elif s.kind == "step":
        path = "".join(f"H{x:.1f}V{y:.1f}" if n else f"M{x:.1f} {y:.1f}" for n, (_, x, y) in enumerate(shown))
    else:
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for _, x, y in shown) if shown else ""
    dash = ' stroke-dasharray="5 3"' if s.dashed else ""
    return f'<path d="{path}" fill="none" stroke="{s.color}" stroke-width="{s.size:g}"{dash}/>' if path else ""
