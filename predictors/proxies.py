"""Another target as a proxy: what its own measurements of the same networks say of this one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from predictors.measured import ModelPoint, model_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.tables.table import CostTable

__all__ = ["BEST_SOURCE", "Proxy", "best_source"]

FloatArray = NDArray[np.float64]

BEST_SOURCE = "best source"
"""The name of the proxy in tables."""

_LEAST = 4
"""Networks measured on both targets that a line through them needs."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """What the nearest of the other targets says.

    Attributes:
        source: the target.
        predicted_ms: (n,), NaN for networks that were not measured there.
    """

    source: str
    predicted_ms: FloatArray


def best_source(table: CostTable, target_id: str, asked: Sequence[ModelPoint]) -> Proxy | None:
    """Of all other targets that which ranks this one's networks of split "fit" best, as a line fitted on these.

    Args:
        table: holds both targets' networks.
        target_id: this target.
        asked: n networks.

    Returns:
        None where no other target shares `_LEAST` networks to fit on with this one.
    """
    from scipy.stats import spearmanr

    own = {p.key: p.latency_ms for p in model_points(table, target_id, "fit")}
    best: tuple[float, Proxy | None] = (-math.inf, None)
    for source in sorted(t.id for t in table.targets if t.id != target_id):
        there = {p.key: p.latency_ms for split in ("fit", "held_out") for p in model_points(table, source, split)}
        both = sorted(own.keys() & there.keys())
        x, y = np.array([there[key] for key in both]), np.array([own[key] for key in both])
        if len(both) < _LEAST or not np.ptp(x) or not np.ptp(y):
            continue
        rank = float(spearmanr(x, y).statistic)
        if rank > best[0]:
            slope, constant = np.polyfit(x, y, 1, w=1.0 / y)
            said = np.array([there.get(p.key, math.nan) for p in asked])
            best = (rank, Proxy(source, np.maximum(constant + slope * said, 1e-9)))
    return best[1]
