"""Which architectures are worth measuring: I-optimal design, which needs no measurement of the target.

Greedy: the next one is the one whose measurement most lowers the mean variance of the predictions over the whole
pool, under the covariance that is expected before anything is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from predictors.transfer.design import Design
from profiler.errors import ConfigError

__all__ = ["EXPECTED", "most_informative"]

FloatArray = NDArray[np.float64]

EXPECTED: Mapping[str, float] = {
    "shared": 3.0, "devices": 1.0, "analytic": 1.0, "operators": 0.5, "parts": 0.3,
}  # fmt: skip
"""Variance that each block is expected to explain."""

_NOISE = 0.05
_LEVEL_VARIANCE = 9.0


def most_informative(
    design: Design,
    n: int,
    candidates: Sequence[int] | NDArray[np.int64] | None = None,
    classes: Sequence[str] | None = None,
) -> NDArray[np.int64]:
    """Positions of the n architectures to measure, the most informative first.

    Args:
        design: of the whole pool, over which predictions shall be good.
        n: how many.
        candidates: positions that may be chosen; by default all.
        classes: of the pool; of copies of one class only one is chosen.

    Raises:
        ConfigError: where there are fewer candidates, or classes, than wanted, or none is wanted.
    """
    allowed = np.arange(len(design.matrix)) if candidates is None else np.asarray(candidates)
    if classes is not None:
        first: dict[str, int] = {}
        for position in allowed:
            first.setdefault(classes[int(position)], int(position))
        allowed = np.array(list(first.values()), dtype=np.int64)
    if not 1 <= n <= len(allowed):
        raise ConfigError(
            f"{n} architectures cannot be chosen among {len(allowed)} different ones; ask for 1 to {len(allowed)}"
        )
    root = np.sqrt(np.concatenate([np.full(width, EXPECTED[name]) for name, width in design.blocks]))
    columns = np.concatenate([np.full((len(design.matrix), 1), np.sqrt(_LEVEL_VARIANCE)), design.matrix * root], axis=1)
    moment = columns.T @ columns / len(columns)
    rows = columns[allowed]
    covariance = np.eye(columns.shape[1])
    chosen: list[int] = []
    for _ in range(n):
        reach = rows @ covariance
        variance = (reach * rows).sum(axis=1) + _NOISE
        gain = ((reach @ moment) * reach).sum(axis=1) / variance
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        chosen.append(best)
        covariance -= np.outer(reach[best], reach[best]) / variance[best]
    return np.asarray(allowed[chosen], dtype=np.int64)
