"""Checks of order: more work of the same kind does not cost less, beyond what the measurement scatters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from profiler.tables.audit.checks.grids import grid_of
from profiler.tables.audit.checks.spread import work_scatter
from profiler.tables.audit.figures import Column, Figures, Finding, Floats, Severity

__all__ = ["contained", "more_work"]

_TOLERANCE = 0.05
_UNKNOWN_SCATTER = 0.10
"""What two rows may differ by where a table says nothing about its own noise."""

_SCATTERS = 2.5
"""Times what nine of ten rows of the same work are within: four standard deviations of normal noise."""

_BY_FAR = 1.5
_MOST_IN_FAMILY = 3000
_FEWEST_ON_A_GRID = 10
"""Fewer values are round by chance."""


def _tolerance(figures: Figures, column: Column) -> float:
    """How much less something larger may cost before it is noted, relatively."""
    scatter = work_scatter(figures, column)
    values = column.values[column.known & (column.values > 0)]
    grid = grid_of(values) if values.size >= _FEWEST_ON_A_GRID else None
    step = grid / float(np.median(values)) if grid is not None else 0.0
    return max(_TOLERANCE, _UNKNOWN_SCATTER if scatter is None else _SCATTERS * scatter) + step


def _severity(ratio: float, tolerance: float) -> Severity:
    return "error" if ratio > _BY_FAR and ratio > 1 + 2 * tolerance else "warning"


def contained(figures: Figures) -> Iterator[Finding]:
    """Networks that cost less than a network which they contain."""
    if figures.contains is None:
        return
    for column in figures.columns:
        outer, inner = figures.contains[:, 0], figures.contains[:, 1]
        usable = column.known[outer] & column.known[inner] & (column.values[outer] > 0)
        outer, inner = outer[usable], inner[usable]
        if not outer.size:
            continue
        ratio = column.values[inner] / column.values[outer]
        tolerance = _tolerance(figures, column)
        worst = _worst(outer, ratio)
        beyond = worst[ratio[worst] > 1 + tolerance]
        if beyond.size:
            share = float(np.mean(ratio > 1 + tolerance))
            yield figures.whole_table(
                "contained", "warning",
                f"in {100 * share:.2g}% of {outer.size} pairs of which one network contains the other, the larger "
                f"has the smaller {column.name}, by more than the {tolerance:.0%} that the measurement's scatter "
                "allows for",
            )  # fmt: skip
        for place in beyond:
            one, other = int(outer[place]), int(inner[place])
            yield figures.row(
                "contained", _severity(float(ratio[place]), tolerance), one,
                f"the {column.name} is {column.values[one]:g} {column.unit}, but {column.values[other]:g} in row "
                f"{figures.index[other]}, which is the same network with a convolution left out",
            )  # fmt: skip


def _worst(outer: np.ndarray, ratio: Floats) -> np.ndarray:
    """Of the pairs of every outer row the one with the greatest ratio."""
    order = np.lexsort((-ratio, outer))
    first = np.append(True, outer[order][1:] != outer[order][:-1])
    found: np.ndarray = order[first]
    return found


def more_work(figures: Figures) -> Iterator[Finding]:
    """Rows that cost less than one of their family with no more of anything and less of something."""
    if not figures.traits:
        return
    names = list(figures.traits)
    traits = np.column_stack([figures.traits[name] for name in names])
    families = np.array(figures.family if figures.family is not None else [""] * len(figures.keys))
    for column in figures.columns:
        tolerance = _tolerance(figures, column)
        usable = column.known & (column.values > 0) & np.all(np.isfinite(traits), axis=1) & ~figures.may_be_signed
        for family in dict.fromkeys(families[usable]):
            rows = np.flatnonzero(usable & (families == family))[:_MOST_IN_FAMILY]
            yield from _dominated(figures, column, rows, traits, names, tolerance)


def _dominated(
    figures: Figures, column: Column, rows: np.ndarray, traits: Floats, names: list[str], tolerance: float
) -> Iterator[Finding]:
    values, work = column.values[rows], traits[rows]
    slack = _own_error(figures, rows) if column.name == "latency" else np.zeros(rows.size)
    for place, row in enumerate(rows):
        less = np.all(work <= work[place], axis=1) & np.any(work < work[place], axis=1)
        # twice the errors of both: what their own deviations allow for
        excess = values - 2 * (slack + slack[place]) - values[place] * (1 + tolerance)
        wrong = np.flatnonzero(less & (excess > 0))
        if not wrong.size:
            continue
        other = int(wrong[np.argmax(values[wrong] / values[place])])
        differing = [
            f"{name} {work[other, i]:g} against {work[place, i]:g}"
            for i, name in enumerate(names)
            if work[other, i] != work[place, i]
        ]
        yield figures.row(
            "more_work", _severity(float(values[other] / values[place]), tolerance), int(row),
            f"the {column.name} is {values[place]:g} {column.unit}, but {values[other]:g} in row "
            f"{figures.index[rows[other]]} with less to do ({', '.join(differing)})",
        )  # fmt: skip


def _own_error(figures: Figures, rows: np.ndarray) -> Floats:
    """(rows,) standard error of each latency in ms, 0 where a row does not say."""
    if figures.low_ms is not None and figures.high_ms is not None:
        found = (figures.high_ms[rows] - figures.low_ms[rows]) / 4
    elif figures.deviation_ms is not None and figures.count is not None:
        found = figures.deviation_ms[rows] / np.sqrt(np.maximum(figures.count[rows], 1))
    elif figures.deviation_ms is not None:
        found = figures.deviation_ms[rows]
    else:
        return np.zeros(rows.size)
    return np.where(np.isfinite(found), np.maximum(found, 0), 0.0)
