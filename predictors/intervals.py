"""Intervals from leave-one-out residuals, and how they combine with those of kernels.

Residuals are relative to the measured value, since the error of a model grows with what it predicts. With few of
them the interval is a t-quantile of their root mean square; with enough it is their own quantile (conformal, the
jackknife of Barber et al. 2021, "Predictive inference with the jackknife+"), which assumes no distribution. Both
hold for workloads that are like the ones fitted on, and neither can promise anything about others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CONFORMAL_LEAST",
    "FitPredict",
    "Residuals",
    "conformal_quantile",
    "conformal_rank",
    "leave_one_out",
    "normal_quantile",
    "quadrature",
    "t_quantile",
]

CONFORMAL_LEAST = 20
"""From so many residuals on their own quantile is used, provided that it exists at the level asked for."""

FloatArray = NDArray[np.float64]


def normal_quantile(level: float) -> float:
    """Half-width, in standard deviations, of the two-sided normal interval at `level`."""
    return NormalDist().inv_cdf((1.0 + level) / 2.0)


def t_quantile(level: float, dof: int) -> float:
    """The same for Student's t; infinite without a degree of freedom."""
    if dof < 1:
        return math.inf
    from scipy.special import stdtrit

    return float(stdtrit(dof, (1.0 + level) / 2.0))


@dataclass(frozen=True, slots=True)
class Residuals:
    """Relative leave-one-out residuals of a fit with `n_params` free parameters."""

    relative: tuple[float, ...]
    n_params: int

    @property
    def rms(self) -> float:
        """Root mean square of the relative residuals; NaN without any."""
        return math.sqrt(sum(r * r for r in self.relative) / len(self.relative)) if self.relative else math.nan

    def half_width(self, level: float) -> tuple[float, str]:
        """Relative half-width of the interval at `level`, and in words how it was found; infinite without residuals."""
        n = len(self.relative)
        if not n:
            return math.inf, "no fit models"
        how = "conformal" if _is_conformal(n, level) else "t-quantile"
        return conformal_quantile(self.relative, level, self.n_params), f"{how} over {n} fit models"


def _is_conformal(n: int, level: float) -> bool:
    return n >= CONFORMAL_LEAST and math.ceil((n + 1) * level) <= n


def conformal_rank(n: int, level: float) -> int:
    """Which of n sorted errors holds at `level` (1 is the least); the largest where they are too few for that."""
    return min(math.ceil((n + 1) * level), n)


def conformal_quantile(errors: Sequence[float], level: float, n_params: int = 0) -> float:
    """Half-width at `level` from errors of predictions made without the row they are of, shape (n,).

    The ceil((n + 1) level)-th smallest of their sizes (Vovk et al. 2005; the pooled quantile of the jackknife and of
    CV+, Barber et al. 2021) where there are enough of them, else a t-quantile of their root mean square with
    n - n_params degrees of freedom; infinite without any.
    """
    n = len(errors)
    if not n:
        return math.inf
    if _is_conformal(n, level):
        return sorted(abs(error) for error in errors)[conformal_rank(n, level) - 1]
    # no factor sqrt(1 + 1/n): a left-out residual already carries the error of the fit without it
    quantile = t_quantile(level, n - n_params)
    return quantile * math.sqrt(sum(e * e for e in errors) / n) if math.isfinite(quantile) else math.inf


FitPredict = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], FloatArray]
"""(design (n, p), target (n,), weights of the residuals (n,), other rows (m, p)) -> predictions of these (m,)."""


def leave_one_out(
    fit_predict: FitPredict, design: FloatArray, target: FloatArray, weights: FloatArray
) -> tuple[float, ...]:
    """Relative residuals (predicted - measured) / measured, each row predicted by a fit to all others.

    Args:
        fit_predict: fits to all rows but one and predicts that one.
        design: (n, p).
        target: (n,), positive.
        weights: (n,).
    """
    residuals = []
    for index in range(len(target)):
        others = np.arange(len(target)) != index
        predicted = fit_predict(design[others], target[others], weights[others], design[index : index + 1])
        residuals.append(float((predicted[0] - target[index]) / target[index]))
    return tuple(residuals)


def quadrature(parts: Sequence[float]) -> float:
    """The half-width of a sum of independent parts."""
    return math.sqrt(sum(p * p for p in parts))
