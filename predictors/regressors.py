"""The regressors behind kernels and baselines, all in ms and fitted to relative errors.

Latency adds up in milliseconds, so nothing here takes a logarithm of it. Errors count relative to the measured
value, since that is how predictions are judged; otherwise the largest kernels would decide everything.

What is not linear (trees, Gaussian processes: `predictors.corrections`) learns by how much, relatively, a sum of
features errs: it bends that sum where there are measurements, and far from them the sum goes on alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from predictors.features import EXTENSIVE, FEATURES, SHAPED

__all__ = [
    "UNSURE",
    "NonNegativeRidge",
    "Regressor",
    "Roofline",
    "WideRidge",
    "nonnegative_fit",
    "roofline_design",
    "row_sums",
]

FloatArray = NDArray[np.float64]

_EXTENSIVE_COLUMNS = [FEATURES.index(name) for name in EXTENSIVE]
_SHAPED_COLUMNS = [FEATURES.index(name) for name in SHAPED]
_SPILLED = [FEATURES.index(name) for name in SHAPED if name.startswith(("spilled_", "overflowed_"))]
_TOUCHED = FEATURES.index("touched_bytes")
_ROUGHLY = 10
"""Of corners, for a roofline that only bounds."""
_SLACK, _LEAST_MS = 1.5, 1e-9
"""How much farther from its roofline than any row fitted on a prediction may be; and what nothing is divided by."""
_LEAST_SPILL = 0.25
"""The share of what a kernel touches that has to lie beyond a cache's size to tell what that costs."""
_MACS = FEATURES.index("macs")
_WORK = [FEATURES.index(name) for name in ("work", "out_padded_macs_8")]
_BYTES = [FEATURES.index(name) for name in ("bytes_read", "bytes_written", "weight_bytes")]
_CORNERS = np.concatenate([[0.0], np.geomspace(1e-2, 1e4, 121)])
"""Arithmetic intensities (MACs per byte) tried as the corner of a roofline; at 0 the bytes never limit."""

_ROOFS = np.geomspace(0.125, 64.0, 10)
"""Corners of the roofs among the columns of the wide ridge."""


UNSURE = 0.1
"""Relative uncertainty of a measurement from which on it counts for less in a fit: no regressor is exact either."""


class Regressor(Protocol):
    """(features of kernels) -> ms."""

    def fit(self, features: FloatArray, latency_ms: FloatArray, weights: FloatArray) -> None:
        """Learn from (n, len(FEATURES)), (n,) and the weight of each residual (n,)."""

    def predict(self, features: FloatArray) -> FloatArray:
        """(n, len(FEATURES)) -> (n,) ms, never negative."""

    def state(self) -> dict[str, Any]:
        """What `fit` learned, as JSON-able values."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Set what `state` returned."""


def nonnegative_fit(
    design: FloatArray, target: FloatArray, weights: FloatArray, ridge: float | FloatArray = 0.0
) -> FloatArray:
    """Coefficients >= 0, shape (p,), that minimise weighted squared residuals plus a ridge penalty.

    Columns are scaled to a weighted mean of one, so that the penalty and the conditioning do not depend on units; the
    penalty is one for all of them, or one each (p,).
    """
    from scipy.optimize import nnls

    weighted = design * weights[:, None]
    scale = np.abs(weighted).mean(axis=0)
    scale[scale == 0.0] = 1.0
    rows = [weighted / scale]
    values = [target * weights]
    if np.any(np.asarray(ridge) > 0.0):
        rows.append(np.sqrt(np.asarray(ridge) * len(target)) * np.eye(design.shape[1]))
        values.append(np.zeros(design.shape[1]))
    solution, _ = nnls(np.vstack(rows), np.concatenate(values))
    return np.asarray(solution / scale, dtype=np.float64)


def row_sums(design: FloatArray, coefficients: FloatArray) -> FloatArray:
    """design @ coefficients, each row bit for bit what it would be alone; BLAS rounds by the size of the batch."""
    return np.asarray((design * coefficients).sum(axis=1), dtype=np.float64)


class NonNegativeRidge:
    """A constant plus a sum of extensive features, no coefficient below zero: more work never costs less.

    That constraint is what lets it extrapolate: it grows with a kernel's size, and no pair of large opposite
    coefficients can turn a prediction negative.
    """

    width = 1 + len(EXTENSIVE)

    def __init__(self, ridge: float = 1e-4) -> None:
        self.ridge = ridge
        self.coefficients: FloatArray = np.zeros(0)

    def _design(self, features: FloatArray) -> FloatArray:
        return np.column_stack([np.ones(len(features)), features[:, _EXTENSIVE_COLUMNS]])

    def fit(self, features: FloatArray, latency_ms: FloatArray, weights: FloatArray) -> None:
        """See `Regressor`."""
        self.coefficients = nonnegative_fit(self._design(features), latency_ms, weights, self.ridge)

    def predict(self, features: FloatArray) -> FloatArray:
        """See `Regressor`."""
        return row_sums(self._design(features), self.coefficients)

    def state(self) -> dict[str, Any]:
        """Coefficients: constant first, then in the order of `EXTENSIVE`."""
        return {"coefficients": self.coefficients.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Regressor`."""
        coefficients = np.array(state["coefficients"], dtype=np.float64)
        if coefficients.shape != (self.width,) or not np.isfinite(coefficients).all():
            raise ValueError(f"{len(coefficients)} coefficients, expected {self.width} finite ones")
        self.coefficients = coefficients


class WideRidge(NonNegativeRidge):
    """The same with the features of alignment and caches, and with roofs: max(padded work, r x bytes) for several r.

    A sum of roofs with coefficients >= 0 is a roofline whose corner need not be known beforehand.

    What few rows say of a column, a larger kernel pays for every unit of it. So no prediction exceeds its roofline by
    much more than the rows fitted on exceed theirs.

    Attributes:
        roofline: fitted to the same rows.
        most: times which a prediction may exceed it.
    """

    width = 1 + len(EXTENSIVE) + len(SHAPED) + len(_ROOFS)

    def __init__(self, ridge: float = 1e-4) -> None:
        super().__init__(ridge)
        self.roofline = Roofline(_ROUGHLY)
        self.most = 0.0

    def fit(self, features: FloatArray, latency_ms: FloatArray, weights: FloatArray) -> None:
        """See `Regressor`. A cache that no kernel measured leaves by more than a little gets no coefficient: those few
        bytes would have to bear the kernel's whole error, and a larger kernel would pay that for every byte."""
        told = features.copy()
        spills = told[:, _SPILLED]
        shares = (spills / np.maximum(features[:, _TOUCHED, None], 1.0)).max(axis=0, initial=0.0)
        told[:, _SPILLED] = np.where(shares >= _LEAST_SPILL, spills, 0.0)
        super().fit(told, latency_ms, weights)
        self.roofline.fit(features, latency_ms, weights)
        roofs = np.maximum(self.roofline.predict(features), _LEAST_MS)
        self.most = _SLACK * max(1.0, float((latency_ms / roofs).max(initial=0.0)))

    def predict(self, features: FloatArray) -> FloatArray:
        """See `Regressor`."""
        bound = self.most * np.maximum(self.roofline.predict(features), _LEAST_MS)
        return np.asarray(np.minimum(super().predict(features), bound), dtype=np.float64)

    def state(self) -> dict[str, Any]:
        """That of the sum, and the bound."""
        return {**super().state(), "roofline": self.roofline.state(), "most": self.most}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Regressor`."""
        super().restore(state)
        self.roofline.restore(state["roofline"])
        self.most = float(state["most"])

    def _design(self, features: FloatArray) -> FloatArray:
        moved = features[:, _BYTES].sum(axis=1)
        roofs = np.maximum(features[:, _WORK].max(axis=1)[:, None], moved[:, None] * _ROOFS[None, :])
        return np.column_stack([super()._design(features), features[:, _SHAPED_COLUMNS], roofs])


class Roofline:
    """Dispatch + max(MACs / peak, bytes / bandwidth) (Williams et al. 2009), summed over the kernels of a row.

    With the corner of the roof fixed at r MACs per byte the model is linear: max(MACs, r x bytes) / peak + dispatch.
    So the corner is searched on a grid and the rest solved for exactly, which cannot end in a local minimum.

    Args:
        every: of the grid's corners every so-manieth is tried.
    """

    def __init__(self, every: int = 1) -> None:
        self.every = every
        self.ms_per_mac = 0.0
        self.ms_per_byte = 0.0
        self.dispatch_ms = 0.0
        self._column = 0

    def fit(self, features: FloatArray, latency_ms: FloatArray, weights: FloatArray) -> None:
        """See `Regressor`: every row is one kernel."""
        self.fit_design(roofline_design([row[None, :] for row in features]), latency_ms, weights)

    def fit_design(self, design: FloatArray, latency_ms: FloatArray, weights: FloatArray) -> None:
        """Learn from sums over kernels: rows of `roofline_design`."""
        best = np.inf
        for column, corner in list(enumerate(_CORNERS))[:: self.every]:
            two = design[:, [column, -1]]
            slope, dispatch = nonnegative_fit(two, latency_ms, weights)
            error = float(np.sum(((two @ (slope, dispatch) - latency_ms) * weights) ** 2))
            if error < best:
                best, self._column = error, column
                self.ms_per_mac, self.ms_per_byte = float(slope), float(slope * corner)
                self.dispatch_ms = float(dispatch)

    def predict_design(self, design: FloatArray) -> FloatArray:
        """Latencies of rows of `roofline_design`, right after `fit_design`."""
        return np.asarray(design[:, [self._column, -1]] @ (self.ms_per_mac, self.dispatch_ms), dtype=np.float64)

    def predict(self, features: FloatArray) -> FloatArray:
        """See `Regressor`: every row is one kernel."""
        moved = features[:, _BYTES].sum(axis=1)
        roof = np.maximum(features[:, _MACS] * self.ms_per_mac, moved * self.ms_per_byte)
        return np.asarray(roof + self.dispatch_ms, dtype=np.float64)

    def state(self) -> dict[str, Any]:
        """Reciprocal peak and bandwidth, and the dispatch of one kernel."""
        return {"ms_per_mac": self.ms_per_mac, "ms_per_byte": self.ms_per_byte, "dispatch_ms": self.dispatch_ms}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Regressor`."""
        self.ms_per_mac = float(state["ms_per_mac"])
        self.ms_per_byte = float(state["ms_per_byte"])
        self.dispatch_ms = float(state["dispatch_ms"])


def roofline_design(groups: list[FloatArray]) -> FloatArray:
    """For every group of kernels sum(max(MACs, r x bytes)) for each corner r tried, and the number of kernels last."""
    rows = []
    for features in groups:
        moved = features[:, _BYTES].sum(axis=1)
        roofs = np.maximum(features[:, _MACS, None], moved[:, None] * _CORNERS[None, :]).sum(axis=0)
        rows.append(np.append(roofs, float(len(features))))
    return np.array(rows, dtype=np.float64)


LINEAR: dict[str, Callable[[], Regressor]] = {
    "ridge": lambda: NonNegativeRidge(1e-4),
    "stiff ridge": lambda: NonNegativeRidge(1e-2),
    "wide ridge": lambda: WideRidge(1e-4),
    "stiff wide ridge": lambda: WideRidge(1e-2),
    "roofline": Roofline,
}
"""Makers of fresh linear regressors by name."""
