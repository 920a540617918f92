"""The methods that stand side by side: transfer, the same without sources, and what costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictors.transfer.design import Design
from predictors.transfer.pool import Pool
from predictors.transfer.regressor import TransferRegressor
from predictors.transfer.surrogates import SourceDevices, robust_ridge

__all__ = ["CEILING", "METHODS", "Answer", "Case", "noise_ceiling"]

FloatArray = NDArray[np.float64]
Positions = NDArray[np.int64]

CEILING = "noise ceiling"
CEILING_SHARE = 0.8


@dataclass(frozen=True)
class Case:
    """One target under one seed.

    Attributes:
        pool: the architectures.
        sources: surrogates of the other devices.
        design, bare: with sources and without.
        chosen, chosen_bare: positions of the measured architectures, by I-optimal design on either.
        random: as many drawn at random.
        latency_ms: (n,) of the target; NaN where not measured.
        level: of the intervals.
    """

    pool: Pool
    sources: SourceDevices
    design: Design
    bare: Design
    chosen: Positions
    chosen_bare: Positions
    random: Positions
    latency_ms: FloatArray
    level: float


@dataclass(frozen=True)
class Answer:
    """What a method says: predictions (n,), the positions that it was fitted on, half-widths, whether it has a unit."""

    predicted: FloatArray
    fitted: Positions
    half_width_ms: FloatArray | None = None
    transfer_share: float = np.nan


def _mixture(case: Case, design: Design, chosen: Positions) -> Answer:
    model = TransferRegressor(design.blocks, level=case.level).fit(design.matrix[chosen], case.latency_ms[chosen])
    predicted, half_width_ms = model.predict_with_interval(design.matrix)
    return Answer(predicted, chosen, half_width_ms, model.transfer_share_)


def _ridge(case: Case) -> Answer:
    analytic = np.concatenate([case.pool.features.totals[level] for level in case.pool.levels()], axis=1)
    spread = analytic.std(axis=0)
    columns = (analytic - analytic.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)
    found = robust_ridge(columns, case.random, case.latency_ms[case.random])
    return Answer(found.predicted_ms, case.random)


def _line(case: Case, amount: FloatArray) -> Answer:
    """A line through one number an architecture, fitted on the same samples; falling lines are kept level."""
    x, y = amount[case.chosen], case.latency_ms[case.chosen]
    slope = max(float(np.cov(x, y)[0, 1] / max(x.var(ddof=1), 1e-300)), 1e-12)
    return Answer(y.mean() + slope * (amount - x.mean()), case.chosen)


def _best_source(case: Case) -> Answer:
    """The source that ranks the measured architectures best, as a line."""
    from scipy.stats import spearmanr

    scores, y = case.sources.scores, case.latency_ms[case.chosen]
    ranks = [float(spearmanr(scores[case.chosen, s], y).statistic) for s in range(len(case.sources.names))]
    return _line(case, scores[:, int(np.nan_to_num(ranks, nan=-1.0).argmax())])


METHODS: dict[str, Callable[[Case], Answer]] = {
    "MACs": lambda case: _line(case, case.pool.features.total("macs")),
    "parameters": lambda case: _line(case, case.pool.features.total("params")),
    "roofline": lambda case: _line(case, case.pool.features.total("roofline_16")),
    "best-source proxy": _best_source,
    "ridge on analytic features, random samples": _ridge,
    "Gaussian process, no sources": lambda case: _mixture(case, case.bare, case.chosen_bare),
    "transfer": lambda case: _mixture(case, case.design, case.chosen),
}
"""By name, the best last. All are fitted on equally many architectures of the target."""


def noise_ceiling(pool: Pool, latency_ms: FloatArray, rng: np.random.Generator) -> Answer:
    """What can be known at best: a robust ridge regression on everything structural, fitted on 80 % of the classes.

    Its predictions of the rest stand for the truth, so what it misses is noise, or structure that no sum over operators
    explains.
    """
    known = np.flatnonzero(np.isfinite(latency_ms))
    classes = sorted({pool.classes[i] for i in known})
    kept = set(rng.choice(len(classes), round(CEILING_SHARE * len(classes)), replace=False).tolist())
    fitted_classes = {classes[i] for i in kept}
    fitted = np.array([i for i in known if pool.classes[i] in fitted_classes], dtype=np.int64)
    found = robust_ridge(pool.structure, fitted, latency_ms[fitted])
    return Answer(found.predicted_ms, fitted, np.full(len(pool), found.half_width_ms(0.9)))
