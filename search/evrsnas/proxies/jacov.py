"""Jacobian covariance: how differently a fresh network's output reacts to different images.

The first form of Mellor et al. (2020), as Abdelfattah et al. (ICLR 2021) keep it: J_i is the gradient of the sum of the
logits by image i, C the correlation matrix of the rows of J, v its eigenvalues, the score
-sum(log(v + k) + 1 / (v + k)) with k = 1e-5. In training mode on the batch; correlations and eigenvalues in float64.
"""

from __future__ import annotations

import math

import numpy as np

from search.evrsnas.proxies.base import Probe, TrainingFreeScore
from search.training import logits_of

__all__ = ["Jacov"]

_K = 1e-5


class Jacov(TrainingFreeScore):
    """The closer to uncorrelated the reactions, the higher; no score where an image causes no reaction."""

    name = "jacov"

    def _compute(self, probe: Probe) -> float:
        images = probe.images.requires_grad_(True)
        logits = logits_of(probe.module, images)
        if not logits.requires_grad:
            return math.nan
        logits.sum().backward()  # type: ignore[no-untyped-call]
        if images.grad is None:
            return math.nan
        rows = images.grad.flatten(1).double().numpy()
        spread = rows.std(axis=1)
        if not np.isfinite(spread).all() or not (spread > 0).all():
            return math.nan
        values = np.clip(np.linalg.eigvalsh(np.corrcoef(rows)), 0.0, None)  # rounding alone makes one negative
        return float(-np.sum(np.log(values + _K) + 1.0 / (values + _K)))
