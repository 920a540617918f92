"""Checks of how well a figure is known: its deviation, how often it was measured, and rows that do the same work."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from profiler.tables.audit.checks.grids import grid_of
from profiler.tables.audit.figures import Column, Figures, Finding

__all__ = ["deviation", "few_measurements", "intervals", "same_work", "work_scatter"]

_DOUBTFUL, _WIDE = 0.05, 0.3
"""Against the mean: the deviation beyond which a row is doubtful, and the half-width beyond which it ranks nothing."""

_ENOUGH = 3
"""Measurements below which a deviation means nothing."""

_MAD_TO_SIGMA = 1.4826
_FAR = 5.0
"""Times what nine of ten pairs are within: eight standard deviations of normal noise."""

_APART = 0.2
_ROUNDING = 1e-9
"""Relative difference that sums in another order leave."""


def deviation(figures: Figures) -> Iterator[Finding]:
    """Deviations that are wide against the mean, impossible, or all zero."""
    if figures.deviation_ms is None or figures.latency_ms is None:
        return
    known = np.isfinite(figures.deviation_ms) & np.isfinite(figures.latency_ms)
    for position in np.flatnonzero(known & (figures.deviation_ms < 0)):
        yield figures.row("deviation", "error", int(position), "the deviation is negative")
    positive = known & (figures.latency_ms > 0)
    share = np.full(known.size, np.nan)
    share[positive] = figures.deviation_ms[positive] / figures.latency_ms[positive]
    for position in np.flatnonzero(share > _DOUBTFUL):
        yield figures.row(
            "deviation", "warning", int(position),
            f"the deviation is {share[position]:.0%} of the mean ({figures.deviation_ms[position]:g} of "
            f"{figures.latency_ms[position]:g} ms)",
        )  # fmt: skip
    if np.count_nonzero(known) >= 10 and np.all(figures.deviation_ms[known] == 0):
        yield figures.whole_table("deviation", "warning", "every deviation is zero: nothing that is measured is exact")


def few_measurements(figures: Figures) -> Iterator[Finding]:
    """Rows that rest on too few measurements to know their own deviation."""
    if figures.count is None:
        return
    few = np.isfinite(figures.count) & (figures.count < _ENOUGH)
    if few.size and np.all(few):
        yield figures.whole_table("count", "warning", f"every row rests on fewer than {_ENOUGH} measurements or rounds")
        return
    for position in np.flatnonzero(few):
        yield figures.row(
            "count", "warning", int(position),
            f"it rests on {figures.count[position]:g} measurements, fewer than the {_ENOUGH} that a deviation needs",
        )  # fmt: skip


def intervals(figures: Figures) -> Iterator[Finding]:
    """Intervals that are no intervals, do not hold their figure, or are wide."""
    if figures.low_ms is None or figures.high_ms is None or figures.latency_ms is None:
        return
    known = np.isfinite(figures.low_ms) & np.isfinite(figures.high_ms) & np.isfinite(figures.latency_ms)
    reversed_ = known & (figures.low_ms > figures.high_ms)
    outside = known & ~reversed_
    outside &= (figures.latency_ms < figures.low_ms) | (figures.latency_ms > figures.high_ms)
    for position in np.flatnonzero(reversed_):
        yield figures.row("interval", "error", int(position), "the interval ends below where it begins")
    for position in np.flatnonzero(outside):
        yield figures.row(
            "interval", "error", int(position),
            f"the figure {figures.latency_ms[position]:g} ms is outside of its own interval "
            f"({figures.low_ms[position]:g} to {figures.high_ms[position]:g})",
        )  # fmt: skip
    half = (figures.high_ms - figures.low_ms) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        wide = known & ~reversed_ & (np.abs(half / figures.latency_ms) > _WIDE)
    for position in np.flatnonzero(wide):
        yield figures.row(
            "interval", "warning", int(position),
            f"the interval reaches {half[position]:g} ms to either side of {figures.latency_ms[position]:g} ms",
        )  # fmt: skip


def _pairs(figures: Figures, column: Column) -> tuple[np.ndarray, np.ndarray]:
    """(pairs, 2) rows next to each other among those of the same work, and the log of the ratio of their costs."""
    if figures.same_work is None:
        return np.empty((0, 2), dtype=np.int64), np.empty(0)
    usable = np.flatnonzero((figures.same_work >= 0) & column.known & (column.values > 0))
    order = usable[np.argsort(figures.same_work[usable], kind="stable")]
    same = figures.same_work[order[1:]] == figures.same_work[order[:-1]]
    pairs = np.column_stack([order[:-1][same], order[1:][same]])
    return pairs, np.log(column.values[pairs[:, 1]] / column.values[pairs[:, 0]])


def work_scatter(figures: Figures, column: Column) -> float | None:
    """How far apart nine of ten pairs of rows that do the same work are at most, relatively; None for too few."""
    _, apart = _pairs(figures, column)
    return None if apart.size < 10 else float(np.expm1(np.quantile(np.abs(apart), 0.9)))


def _of_rounding(column: Column) -> float:
    """The standard deviation that a grid alone gives, relative to the median; 0 without one."""
    values = column.values[column.known & (column.values > 0)]
    grid = grid_of(values)
    return 0.0 if grid is None else grid / float(np.sqrt(12)) / float(np.median(values))


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%"


def same_work(figures: Figures) -> Iterator[Finding]:
    """Rows that do the same work and should cost the same: the spread of the measurement, and who is far off."""
    for column in figures.columns:
        pairs, apart = _pairs(figures, column)
        scatter = work_scatter(figures, column)
        if scatter is None or np.max(np.abs(apart)) < _ROUNDING:
            continue
        off = np.expm1(np.abs(apart))
        noise = max(_MAD_TO_SIGMA * float(np.median(np.abs(apart))) / np.sqrt(2), _of_rounding(column))
        yield figures.whole_table(
            "same_work", "warning" if scatter > _DOUBTFUL else "note",
            f"{len(pairs)} pairs of rows do the same work and differ in the names of their nodes only: their "
            f"{column.name} differs by {_percent(float(np.median(off)))} in the median pair and by more than "
            f"{_percent(scatter)} in one of ten, so that one row's standard deviation is about {_percent(noise)}; "
            "no model of cost can come closer",
        )  # fmt: skip
        for place in np.flatnonzero(off > max(_FAR * scatter, _APART)):
            one, other = (int(p) for p in pairs[place])
            yield figures.row(
                "same_work", "error", other,
                f"the {column.name} is {column.values[other]:g} {column.unit}, but {column.values[one]:g} in row "
                f"{figures.index[one]}, which does the same work: {1 + off[place]:.3g} times apart",
            )  # fmt: skip
