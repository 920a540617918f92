"""Still charts of what was left out: predicted against measured, and the relative residuals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgecost.report.charts import Series, chart
from edgecost.report.figures import ACCENT, SOFT, WARM
from edgecost.report.predictors import covered
from edgecost.report.thinning import one_a_cell

__all__ = ["charts_of"]

Points = Sequence[Mapping[str, Any]]

CELLS = (130, 80)
"""Of two dots of one colour in one cell of this grid, one is drawn."""

WIDEST, NARROWEST = 100.0, 15.0
"""Per cent: a chart of residuals reaches at most, and at least, so far up and down."""


def charts_of(what: str, points: Points) -> list[str]:
    """Parity and residuals of one sort; nothing where nothing was predicted.

    Args:
        what: "kernels" or "networks".
        points: with label, measured_ms, predicted_ms, low_ms and high_ms; None stands for what there is not.
    """
    shown = [p for p in points if p["measured_ms"] and p["predicted_ms"] and min(_pair(p)) > 0]
    if not shown:
        return []
    without = len(points) - len(shown)
    rest = f", {without} more without a prediction" if without else ""
    values = [v for p in shown for v in _pair(p)]
    ends = (0.8 * min(values), 1.25 * max(values))
    return [
        _parity(f"{what}: {len(shown)} predicted{rest}", shown, ends),
        _residuals(f"{what}: residuals", shown, ends),
    ]


def _pair(point: Mapping[str, Any]) -> tuple[float, float]:
    return point["measured_ms"], point["predicted_ms"]


def _parity(title: str, points: Points, ends: tuple[float, float]) -> str:
    pairs = [_pair(p) for p in points]
    series = [Series("", "line", ends, ends, SOFT, dashed=True, size=1), *_clouds(points, pairs, log_y=True)]
    labels = ("measured, ms", "predicted without it, ms")
    return chart(title, series, *labels, log_x=True, log_y=True, x_range=ends, y_range=ends)


def _residuals(title: str, points: Points, ends: tuple[float, float]) -> str:
    residuals = [_residual(p) for p in points]
    reach = min(WIDEST, max(NARROWEST, 1.1 * max(abs(r) for r in residuals)))
    beyond = sum(abs(r) > reach for r in residuals)
    pairs = [(p["measured_ms"], math.copysign(min(abs(r), reach), r)) for p, r in zip(points, residuals, strict=True)]
    lines = [
        Series("", "line", ends, (height, height), SOFT, dashed=bool(height), size=1) for height in (-10.0, 0.0, 10.0)
    ]
    edge = f", {beyond} beyond ± {reach:.0f} % stand at the edge" if beyond else ""
    clouds = _clouds(points, pairs, log_y=False)
    return chart(title + edge, [*lines, *clouds], "measured, ms", "predicted − measured, %", log_x=True,
                 x_range=ends, y_range=(-1.02 * reach, 1.02 * reach))  # fmt: skip


def _residual(point: Mapping[str, Any]) -> float:
    """In per cent."""
    return 100.0 * (float(point["predicted_ms"]) / float(point["measured_ms"]) - 1.0)


def _clouds(points: Points, pairs: Sequence[tuple[float, float]], log_y: bool) -> list[Series]:
    """Those within their intervals, thinned, and over them the others, whose tooltips say what they are."""
    inside = [i for i, p in enumerate(points) if covered(p)]
    outside = [i for i, p in enumerate(points) if not covered(p)]
    within, beyond = (_thinned([pairs[i] for i in of], log_y) for of in (inside, outside))
    notes = [_note(points[outside[n]]) for n in beyond]
    xs, ys = _columns([pairs[inside[n]] for n in within])
    series = [Series(f"within their intervals: {_counted(inside, within)}", "dots", xs, ys, ACCENT, size=1.8)]
    xs, ys = _columns([pairs[outside[n]] for n in beyond])
    label = f"outside: {_counted(outside, beyond)}"
    return [*series, Series(label, "points", xs, ys, WARM, size=2.0, notes=notes)]


def _thinned(pairs: Sequence[tuple[float, float]], log_y: bool) -> list[int]:
    xs, ys = (np.array(values, dtype=np.float64) for values in _columns(pairs))
    return [int(place) for place in one_a_cell(np.log(xs), np.log(ys) if log_y else ys, CELLS)]


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]


def _counted(of: Sequence[int], drawn: Sequence[int]) -> str:
    return str(len(of)) if len(of) == len(drawn) else f"{len(of)} ({len(drawn)} drawn)"


def _note(point: Mapping[str, Any]) -> str:
    return f"{point['label']}: {point['measured_ms']:.4g} ms, predicted {point['predicted_ms']:.4g}"
