"""Thinned for a page: of long courses the extremes of many short spells, of clouds what can be told apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Band", "band", "one_a_cell", "short", "spread_out"]

Floats = NDArray[np.float64]

MOST_POINTS = 240
_LONG_GAP = 0.04  # of the whole
_USUAL_GAPS = 8.0


@dataclass(frozen=True, slots=True)
class Band:
    """What a quantity did over time, spell by spell: the lowest and highest values, so that no peak is lost.

    NaN stands in a long gap, where nobody looked and no line is drawn.
    """

    times: list[float]
    low: list[float]
    high: list[float]


def band(times: Floats, low: Floats, high: Floats, most: int = MOST_POINTS) -> Band | None:
    """The extremes of at most so many spells of equal length; None where nothing is known.

    Args:
        times, low, high: (n,) in any order; NaN where unknown.
        most: spells. Up to so many points are kept as they are.
    """
    known = np.isfinite(times) & np.isfinite(low) & np.isfinite(high)
    if not known.any():
        return None
    times, low, high = times[known], low[known], high[known]
    order = np.argsort(times, kind="stable")
    times, low, high = times[order], low[order], high[order]
    if len(times) > most:
        width = (times[-1] - times[0]) / most or 1.0
        spells = np.minimum((times - times[0]) // width, most - 1)
        starts = np.flatnonzero(np.r_[True, spells[1:] != spells[:-1]])
        times, low, high = times[starts], np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    gaps = np.diff(times, append=times[-1])
    torn = gaps > max(_LONG_GAP * (times[-1] - times[0]), _USUAL_GAPS * float(np.median(gaps)))
    after = np.flatnonzero(torn) + 1
    middles = times[after - 1] + gaps[after - 1] / 2
    times, low, high = np.insert(times, after, middles), np.insert(low, after, np.nan), np.insert(high, after, np.nan)
    return Band(short(times), short(low), short(high))


def spread_out(times: Floats, most: int) -> list[float]:
    """At most so many of these times, the others being next to one that is kept; (n,), NaN where unknown."""
    found = np.unique(times[np.isfinite(times)])
    if len(found) > most:
        width = (found[-1] - found[0]) / most
        found = found[np.flatnonzero(np.r_[True, np.diff((found - found[0]) // width) > 0])]
    return short(found[:most])


def one_a_cell(xs: Floats, ys: Floats, cells: tuple[int, int]) -> NDArray[np.intp]:
    """Which points to draw where others lie upon them: the first of every cell of a grid over them all.

    Args:
        xs, ys: (n,) finite, as an axis has them (logarithms where it is logarithmic).
        cells: columns and rows of the grid.

    Returns:
        (m,) places, ascending.
    """
    if not len(xs):
        return np.zeros(0, dtype=np.intp)
    columns, rows = (
        np.floor((values - values.min()) / (float(np.ptp(values)) or 1.0) * count).astype(np.int64)
        for values, count in zip((xs, ys), cells, strict=True)
    )
    return np.sort(np.unique(columns * (cells[1] + 1) + rows, return_index=True)[1])


def short(values: Floats) -> list[float]:
    """With six digits: a page needs no more, and they are half its size."""
    return [float(f"{value:.6g}") for value in values.tolist()]
