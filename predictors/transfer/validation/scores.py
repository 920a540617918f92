"""How predictions of a target compare with what was measured there."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TargetScores", "target_scores"]

FloatArray = NDArray[np.float64]

_TOP = 10


@dataclass(frozen=True, slots=True)
class TargetScores:
    """Scores over the architectures that nothing was fitted on.

    Attributes:
        n: how many.
        spearman, kendall: rank correlations; NaN where all predictions, or all measured values, are equal.
        mape, rmspe: mean absolute and root mean square relative errors, as fractions; NaN for a method without a unit.
        within_5, within_10: share within 5 and 10 % of the measured value; NaN likewise.
        regret_10: how much slower, as a fraction, the ten are that the method holds to be the fastest than the ten
            fastest.
        covered: share inside their intervals; NaN for methods without any.
        half_width: mean half-width of the intervals as a fraction of the mean measured value; NaN likewise. (A mean of
            single fractions would be that of the few architectures which take next to no time.)
    """

    n: int
    spearman: float
    kendall: float
    mape: float
    rmspe: float
    within_5: float
    within_10: float
    regret_10: float
    covered: float = np.nan
    half_width: float = np.nan

    def to_dict(self) -> dict[str, float]:
        """By name."""
        return asdict(self)


def target_scores(
    predicted: FloatArray,
    measured_ms: FloatArray,
    half_width_ms: FloatArray | float | None = None,
    in_ms: bool = True,
) -> TargetScores:
    """Compare.

    Args:
        predicted: (n,), in ms or, without `in_ms`, in any unit that grows with latency.
        measured_ms: (n,).
        half_width_ms: (n,) or one, of the intervals.
        in_ms: whether predictions are in ms.
    """
    from scipy.stats import kendalltau, spearmanr

    ranked = np.ptp(predicted) > 0.0 and np.ptp(measured_ms) > 0.0
    relative = np.abs(predicted - measured_ms) / measured_ms if in_ms else np.full(len(predicted), np.nan)
    top = min(_TOP, len(predicted))
    fastest = np.sort(measured_ms)[:top].mean()
    believed = measured_ms[np.argsort(predicted, kind="stable")[:top]].mean()
    covered = width = np.nan
    if half_width_ms is not None:
        covered = float(np.mean(np.abs(predicted - measured_ms) <= half_width_ms))
        width = float(np.mean(half_width_ms) / np.mean(measured_ms))
    return TargetScores(
        n=len(predicted),
        spearman=float(spearmanr(predicted, measured_ms).statistic) if ranked else np.nan,
        kendall=float(kendalltau(predicted, measured_ms).statistic) if ranked else np.nan,
        mape=float(relative.mean()),
        rmspe=float(np.sqrt(np.square(relative).mean())),
        within_5=float((relative <= 0.05).mean()) if in_ms else np.nan,
        within_10=float((relative <= 0.10).mean()) if in_ms else np.nan,
        regret_10=float(believed / fastest - 1.0),
        covered=covered,
        half_width=width,
    )
