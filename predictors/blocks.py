"""From measured blocks of one target to blocks that were never measured: other widths, sizes, kernels, expansions.

For targets of which there is only a table of blocks, so that a network can be scaled beyond it. What a block costs is
taken as a sum of what it does (`predictors.block_features`), no coefficient below zero, fitted to relative errors, and
of one feature more:

    spilled_bytes       of what convolutions write and their weights, that much which exceeds a corner (a cache): summed
                        over the block, or of each convolution with what it reads

The corner is searched on a grid, and taken only where it explains a good deal more of the measurements: few blocks
could otherwise be fitted by chance. So are the features that tell kernels, channels and operators apart, only where
input shapes that were left out are predicted a good deal better. Where no measured block was large enough to spill,
larger ones are predicted as if they did not spill either; where all had channels in multiples of 8, others as if it
made no difference; and a depthwise kernel that no block had by what depthwise convolutions have in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from predictors.block_features import ASIDE, BLOCK_FEATURES, block_features, features_and_touched
from predictors.regressors import nonnegative_fit, row_sums
from profiler.errors import ConfigError
from profiler.workloads.graph import Workload
from profiler.workloads.ops import Shape

__all__ = ["BLOCK_FEATURES", "BlockRegressor", "block_features"]

FloatArray = NDArray[np.float64]

_RIDGE, _ASIDE_RIDGE = 1e-4, 1e-2
_PENALTIES = np.array([_ASIDE_RIDGE if name in ASIDE else _RIDGE for name in BLOCK_FEATURES] + [_RIDGE])

_FEWEST_SHAPES, _FOLDS = 8, 5
_WORTH = 0.1
"""Share of the squared error on shapes left out that further columns have to remove in order to be fitted."""

Corner = Literal["block", "kernel"]
"""What is held against a corner: the sum over a block, or each convolution by itself."""

_CORNERS_BYTES = 2.0 ** np.arange(14.0, 28.0, 0.5)
_CORNER_GAIN = 0.2
"""Share of the squared error that a corner has to remove in order to be taken."""
_FEWEST_ROWS = 8


class BlockRegressor:
    """Blocks of one target, learned from measured ones (see the module).

        model = BlockRegressor().fit(workloads, latencies_ms)
        model.predict(others)                     # (n,) ms, NaN where a block does what no measured one did

    Attributes:
        coefficients: ms per unit of each of `BLOCK_FEATURES`, and of the bytes beyond the corner;
            shape (len(BLOCK_FEATURES) + 1,).
        corner_bytes: where spilling begins; infinite where that explains nothing.
        corner_of: what begins to spill there.
    """

    def __init__(self) -> None:
        self.coefficients: FloatArray = np.zeros(0)
        self.corner_bytes = np.inf
        self.corner_of: Corner = "block"
        self._seen: NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def fit(self, workloads: Sequence[Workload], latencies_ms: Sequence[float] | FloatArray) -> Self:
        """Learn from blocks and their latencies in ms, both of length n.

        Raises:
            ConfigError: where lengths differ, blocks are too few, or a latency is not above zero.
        """
        latency_ms = np.asarray(latencies_ms, dtype=np.float64)
        if latency_ms.shape != (len(workloads),):
            raise ConfigError(f"{len(workloads)} blocks were given with {latency_ms.size} latencies; give one each")
        if len(workloads) < _FEWEST_ROWS:
            raise ConfigError(
                f"{len(workloads)} measured blocks are too few to learn others from; give at least {_FEWEST_ROWS}"
            )
        bad = np.flatnonzero(~(np.isfinite(latency_ms) & (latency_ms > 0.0)))
        if bad.size:
            name = workloads[int(bad[0])].name
            raise ConfigError(f"the block {name!r} has the latency {latency_ms[bad[0]]} ms; give figures above zero")
        design, held, touched = _design(workloads)
        design = design * _worthwhile(design, latency_ms, [_input_shape(workload) for workload in workloads])
        self._seen = np.asarray(design.any(axis=0), dtype=bool) | np.array([n in ASIDE for n in BLOCK_FEATURES])
        self.corner_of, self.corner_bytes, self.coefficients = _solve(design, held, touched, latency_ms)
        return self

    def predict(self, workloads: Sequence[Workload]) -> FloatArray:
        """Latencies in ms, shape (n,), the same for a block whatever stands beside it.

        NaN where a block does what no measured one did (see `unknown`): such a cost is missing, not zero.

        Raises:
            ConfigError: before `fit`.
        """
        self._check_fitted()
        design, held, touched = _design(workloads)
        spilled = _spilled(held if self.corner_of == "block" else touched, self.corner_bytes)
        latency_ms = row_sums(np.column_stack([design, spilled]), self.coefficients)
        latency_ms[(design[:, ~self._seen] != 0.0).any(axis=1)] = np.nan
        return latency_ms

    def unknown(self, workload: Workload) -> tuple[str, ...]:
        """Names of the features that the block has and no measured block had.

        Raises:
            ConfigError: before `fit`.
        """
        self._check_fitted()
        features = block_features(workload)
        return tuple(n for n, seen in zip(BLOCK_FEATURES, self._seen, strict=True) if features[n] and not seen)

    def to_dict(self) -> dict[str, Any]:
        """What `fit` learned, as JSON-able values.

        Raises:
            ConfigError: before `fit`.
        """
        self._check_fitted()
        return {
            "features": list(BLOCK_FEATURES),
            "coefficients": self.coefficients.tolist(),
            "corner_bytes": float(self.corner_bytes) if isfinite(self.corner_bytes) else None,
            "corner_of": self.corner_of,
            "seen": [bool(seen) for seen in self._seen],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """A fitted model out of what `to_dict` returned; it predicts exactly the same.

        Raises:
            ConfigError: where the data is not that.
        """
        model = cls()
        try:
            if list(data["features"]) != list(BLOCK_FEATURES):
                raise ConfigError(f"a saved block model has the features {data['features']}; fit it again")
            model.coefficients = np.array(data["coefficients"], dtype=np.float64)
            corner = data["corner_bytes"]
            model.corner_bytes = np.inf if corner is None else float(corner)
            if data["corner_of"] not in get_args(Corner):
                raise ValueError(f"no corner of {data['corner_of']!r}")
            model.corner_of = data["corner_of"]
            model._seen = np.array(data["seen"], dtype=bool)
            fits = model.coefficients.shape == (len(BLOCK_FEATURES) + 1,) and model._seen.shape == (
                len(BLOCK_FEATURES),
            )
            sound = (
                np.isfinite(model.coefficients).all() and (model.coefficients >= 0.0).all() and model.corner_bytes > 0.0
            )
            if not (fits and sound):
                raise ValueError("coefficients that cannot be")
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a saved block model: {error!r}; fit it again") from None
        return model

    def _check_fitted(self) -> None:
        if not self.coefficients.size:
            raise ConfigError("the block model is not fitted yet; call fit(workloads, latencies_ms) first")


def _design(workloads: Sequence[Workload]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """((n, len(BLOCK_FEATURES)) features, (n, 1) held bytes, (n, most convolutions) bytes that each touches)."""
    found = [features_and_touched(workload) for workload in workloads]
    rows = [[features[name] for name in BLOCK_FEATURES] for features, _ in found]
    design = np.array(rows, dtype=np.float64).reshape(len(workloads), len(BLOCK_FEATURES))
    held = np.array([[features["held_bytes"]] for features, _ in found], dtype=np.float64).reshape(len(workloads), 1)
    touched = np.zeros((len(workloads), max((len(of) for _, of in found), default=0)))
    for row, (_, of) in zip(touched, found, strict=True):
        row[: len(of)] = of
    return design, held, touched


def _input_shape(workload: Workload) -> Shape:
    return workload.shapes[workload.inputs[0]][0]


def _worthwhile(design: FloatArray, latency_ms: FloatArray, shapes: Sequence[Shape]) -> FloatArray:
    """Which columns are fitted, as ones and zeros (len(BLOCK_FEATURES),): none of those aside, those that tell kernels
    apart, or all of them.

    Whole input shapes are left out in turn, since other shapes are what a regressor is asked for: columns that tell
    blocks apart can repeat the shapes that were measured, and be far off between them. More columns have to be better
    by `_WORTH`.
    """
    own = np.array([name not in ASIDE for name in BLOCK_FEATURES], dtype=np.float64)
    kernels = np.array([name not in ASIDE or name.startswith("k") for name in BLOCK_FEATURES], dtype=np.float64)
    distinct = sorted(set(shapes))
    if len(distinct) < _FEWEST_SHAPES:
        return own
    place = np.random.default_rng(0).permutation(len(distinct)) % _FOLDS
    fold = np.array([place[distinct.index(shape)] for shape in shapes])
    best, best_error = own, np.inf
    for mask in (own, kernels, np.ones(len(BLOCK_FEATURES))):
        error = 0.0
        for held in range(_FOLDS):
            out = fold == held
            seen = design[~out] * mask
            coefficients = nonnegative_fit(seen, latency_ms[~out], 1.0 / latency_ms[~out], _PENALTIES[:-1])
            error += float(np.sum((row_sums(design[out] * mask, coefficients) / latency_ms[out] - 1.0) ** 2))
        if error < (1.0 - _WORTH) * best_error:
            best, best_error = mask, error
    return best


def _spilled(bytes_: FloatArray, corner_bytes: float) -> FloatArray:
    """(n,) sums of what exceeds the corner."""
    return np.asarray(np.maximum(bytes_ - corner_bytes, 0.0).sum(axis=1), dtype=np.float64)


def _solve(
    design: FloatArray, held: FloatArray, touched: FloatArray, latency_ms: FloatArray
) -> tuple[Corner, float, FloatArray]:
    """The corner and the coefficients; no corner unless one removes `_CORNER_GAIN` of the squared relative error."""
    weights = 1.0 / latency_ms

    def tried(of: Corner, corner_bytes: float) -> tuple[float, Corner, float, FloatArray]:
        full = np.column_stack([design, _spilled(held if of == "block" else touched, corner_bytes)])
        coefficients = nonnegative_fit(full, latency_ms, weights, _PENALTIES)
        error = float(np.sum((row_sums(full, coefficients) * weights - 1.0) ** 2))
        return error, of, corner_bytes, coefficients

    best = tried("block", np.inf)
    # the sum over the block is asked first, and a convolution's own bytes only if they explain as much again
    for of in get_args(Corner):
        found = min((tried(of, float(corner)) for corner in _CORNERS_BYTES), key=lambda one: one[0])
        if found[0] < (1.0 - _CORNER_GAIN) * best[0]:
            best = found
    return best[1:]
