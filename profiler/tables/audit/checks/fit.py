"""Checks against an additive fit: a cost is close to a sum of its parts' costs, whatever they are.

What the fit leaves over says three things. Nothing: the table was computed from such a sum, not measured. Much in
single rows: outliers. Something that goes with the order of the rows: the device drifted meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from profiler.tables.audit.figures import Column, Figures, Finding, Floats

__all__ = ["Fit", "best_fit", "drift", "exact_sum", "is_exact_sum", "outliers"]

_EXACT = 1e-5
"""A residual this small, relative to the median, is what printing digits leaves and nothing that was measured."""

_FAR = 8.0
"""Robust standard deviations from the fit beyond which a row is an outlier; normal noise has none in 10^15."""

_FAR_LEAST = 0.2
"""And so far, relatively, at least: the fit itself is not better."""

_MAD_TO_SIGMA = 1.4826
_ROWS_A_PART = 3
_REFITS, _TRIMMED = 2, 4.0
"""So often is the fit made again without the rows so many robust standard deviations off, which would bend it."""

_SURE = 1e-6
_TOGETHER = 0.1
_MOST_P_SHOWN = 1e-99


@dataclass(frozen=True, eq=False)
class Fit:
    """A least-squares fit of a column by how often parts occur, made again without outliers.

    Attributes:
        design: which parts, for people.
        positions: (m,) rows that entered.
        predicted: (m,); residual: (m,) value less prediction.
        scale: robust standard deviation of the residual, relative to the median value.
        most: what nine of ten residuals are within, relative to the median value.
    """

    design: str
    positions: np.ndarray
    predicted: Floats
    residual: Floats
    scale: float
    most: float


def _fit(name: str, design: Floats, column: Column) -> Fit | None:
    from scipy.linalg import lstsq

    positions = np.flatnonzero(column.known)
    # parts that no row holds say nothing, and would only make the fit look poor in rows
    used = design[positions][:, np.any(design[positions] != 0, axis=0)] if positions.size else design[positions]
    if positions.size < _ROWS_A_PART * (used.shape[1] + 1):
        return None
    matrix = np.column_stack([np.ones(positions.size), used])
    values = column.values[positions]
    usual = np.ones(values.size, dtype=bool)
    for _ in range(_REFITS + 1):
        # the pivoted factorisation: a matrix of codes has dependent columns
        weights, *_ = lstsq(matrix[usual], values[usual], lapack_driver="gelsy", check_finite=False)
        residual = values - matrix @ weights
        within = np.abs(residual) <= _TRIMMED * _MAD_TO_SIGMA * float(np.median(np.abs(residual)))
        if np.array_equal(within, usual) or np.count_nonzero(within) < _ROWS_A_PART * matrix.shape[1]:
            break
        usual = within
    middle = float(np.median(np.abs(values)))
    half, most = (float(q) / middle if middle else np.inf for q in np.quantile(np.abs(residual), [0.5, 0.9]))
    return Fit(name, positions, matrix @ weights, residual, _MAD_TO_SIGMA * half, most)


@lru_cache(maxsize=32)
def _fits(figures: Figures, column_name: str) -> tuple[Fit, ...]:
    """One table is asked several times, and a fit of many rows takes a while; figures are told apart by identity."""
    column = next(c for c in figures.columns if c.name == column_name)
    found = (_fit(name, design, column) for name, design in figures.designs.items())
    return tuple(fit for fit in found if fit is not None)


def best_fit(figures: Figures, column: Column) -> Fit | None:
    """The design that gives nearly all rows exactly, or else leaves least over of half of them; None where no design
    has enough rows."""
    fits = _fits(figures, column.name)
    exact = [fit for fit in fits if fit.most < _EXACT]
    return min(exact or fits, key=lambda fit: fit.scale, default=None)


def is_exact_sum(figures: Figures, column: Column) -> bool:
    """Whether nearly all rows are the sum of their parts to the last digit."""
    fit = best_fit(figures, column)
    return fit is not None and fit.most < _EXACT


def exact_sum(figures: Figures) -> Iterator[Finding]:
    """Tables that are sums of parts: computed, which is no fault but must not pass for a measurement."""
    for column in figures.columns:
        fit = best_fit(figures, column)
        if fit is None or fit.most >= _EXACT:
            continue
        middle = float(np.median(np.abs(fit.predicted)))
        off = np.abs(fit.residual) > max(1e-3, 10 * _EXACT) * middle
        yield figures.whole_table(
            "exact_sum", "note",
            f"the {column.name} of {np.count_nonzero(~off)} of {off.size} rows is a sum over {fit.design} to within "
            f"{np.max(np.abs(fit.residual[~off])) / middle:.0e}: computed from a table of parts or simulated, "
            "not measured as whole networks, so it holds no noise to learn from",
        )  # fmt: skip
        for place in np.flatnonzero(off):
            position = int(fit.positions[place])
            yield figures.row(
                "exact_sum", "error", position,
                f"the {column.name} is {column.values[position]:g} {column.unit}, where the sum that gives all other "
                f"rows gives {fit.predicted[place]:g}",
            )  # fmt: skip


def outliers(figures: Figures) -> Iterator[Finding]:
    """Rows far from what their parts cost elsewhere."""
    for column in figures.columns:
        fit = best_fit(figures, column)
        if fit is None or fit.most < _EXACT:
            continue
        # residuals grow with the cost, or do not; judged by the larger of the two scales a row is far in either case
        size = np.maximum(np.abs(fit.predicted), float(np.median(np.abs(fit.predicted))))
        far = np.abs(fit.residual) > np.maximum(_FAR * fit.scale, _FAR_LEAST) * size
        for place in np.flatnonzero(far):
            position = int(fit.positions[place])
            yield figures.row(
                "outlier", "warning", position,
                f"the {column.name} is {column.values[position]:g} {column.unit}, where an additive fit over "
                f"{fit.design} gives {fit.predicted[place]:g}: {abs(fit.residual[place]) / size[place]:.0%} off, "
                f"and half of all rows are within {fit.scale / _MAD_TO_SIGMA:.1%}",
            )  # fmt: skip


def drift(figures: Figures) -> Iterator[Finding]:
    """What goes with the order of the rows and not with what they are: a trend, or neighbours that err alike."""
    if not figures.ordered:
        return
    from scipy.stats import norm, spearmanr

    for column in figures.columns:
        fit = best_fit(figures, column)
        if fit is None or fit.most < _EXACT or fit.residual.size < 100:
            continue
        size = np.maximum(np.abs(fit.predicted), 0.05 * float(np.median(np.abs(fit.predicted))))
        # ranks, so that outliers do not decide
        trend = spearmanr(fit.positions, fit.residual / size)
        if trend.pvalue < _SURE:
            thirds = np.array_split(fit.residual / size, 3)
            change = float(np.median(thirds[-1]) - np.median(thirds[0]))
            yield figures.whole_table(
                "drift", "warning" if abs(change) >= 0.01 else "note",
                f"what the additive fit over {fit.design} leaves of the {column.name} "
                f"{'rises' if trend.statistic > 0 else 'falls'} with the number of the row (Spearman "
                f"{trend.statistic:+.3f}, p {max(trend.pvalue, _MOST_P_SHOWN):.0e}): the last third stands "
                f"{change:+.1%} off the first, as if the device had drifted while rows were measured in this order",
            )  # fmt: skip
        signs = np.sign(fit.residual - np.median(fit.residual))
        together = float(np.mean(signs[1:] * signs[:-1]))
        chance = 2 * float(norm.sf(abs(together) * np.sqrt(signs.size - 1)))
        if chance < _SURE:
            alike = (
                "err alike: what disturbed one measurement disturbed the next"
                if together > 0
                else "err to opposite sides: every other row was measured elsewhere, or in another state"
            )
            yield figures.whole_table(
                "drift", "warning" if abs(together) >= _TOGETHER else "note",
                f"in {column.name}, rows next to each other {alike} (correlation of signs {together:+.3f}, p "
                f"{max(chance, _MOST_P_SHOWN):.0e})",
            )  # fmt: skip
