"""Rank correlations as a still dot chart, a line a method: most lie so near to 1 that the axis is drawn by how far from
it they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from edgecost.report.charts import RIGHT, WIDTH, framed
from edgecost.report.figures import SOFT

__all__ = ["NEAREST", "DotRow", "correlation_dots"]

LEFT, TOP, ROW, AXIS = 8, 4, 25, 32
TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)

NEAREST = 0.999
"""What is nearer to 1 stands at the right edge, as what is below nought stands at the left one."""


@dataclass(frozen=True, slots=True)
class DotRow:
    """One line.

    Attributes:
        label: a method.
        color: of its dot.
        value: the dot; None for none.
        of: names and values of the small dots that it is the mean of.
    """

    label: str
    color: str
    value: float | None
    of: Sequence[tuple[str, float]] = ()


def correlation_dots(title: str, rows: Sequence[DotRow], x_label: str) -> str:
    """The chart as HTML. All text is escaped. "" where there is nothing to draw."""
    values = [v for row in rows for v in (row.value, *(value for _, value in row.of)) if v is not None]
    if not values:
        return ""
    low = max((tick for tick in TICKS if tick <= min(values)), default=TICKS[0])
    bottom = TOP + ROW * len(rows)
    parts = []
    for tick in (*(t for t in TICKS if t >= low), NEAREST):
        x = _place(tick, low)
        parts.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#e6e9ed"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 13}" text-anchor="middle">{tick:g}</text>')
    for index, row in enumerate(rows):
        parts.append(_row(row, TOP + ROW * index, low))
    parts.append(f'<path d="M{LEFT} {bottom}H{WIDTH - RIGHT}" stroke="{SOFT}"/>')
    parts.append(f'<text x="{WIDTH / 2}" y="{bottom + AXIS - 5}" text-anchor="middle">{escape(x_label)}</text>')
    return framed(title, "", "".join(parts), bottom + AXIS)


def _row(row: DotRow, top: int, low: float) -> str:
    y = top + ROW - 7
    parts = [
        f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#e6e9ed" stroke-dasharray="1 3"/>',
        f'<text x="{LEFT}" y="{top + 11}">{escape(row.label)}</text>',
    ]
    dots = [(name, value, 2.2, 0.4) for name, value in row.of]
    dots += [(row.label, row.value, 4.2, 1.0)] if row.value is not None else []
    for name, value, radius, opacity in dots:
        parts.append(
            f'<circle cx="{_place(value, low):.1f}" cy="{y}" r="{radius}" fill="{row.color}" fill-opacity="{opacity}">'
            f"<title>{escape(name)}: {value:.3f}</title></circle>"
        )
    return "".join(parts)


def _place(value: float, low: float) -> float:
    start, end, at = (math.log(1.0 - v) for v in (low, NEAREST, min(max(value, low), NEAREST)))
    margin = 12
    return LEFT + margin + (at - start) / (end - start) * (WIDTH - RIGHT - LEFT - 2 * margin)
