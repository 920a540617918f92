"""Regressors that bend a sum of features: what they share, and trees on its relative errors; `process` has the other.

    latency_ms = sum_ms x (1 + correction)

The sum is a `WideRidge`. What is learned of its relative errors is bounded by those that were seen, so a prediction far
from all measurements is the sum, bent no more than the worst kernel measured.

What is fitted by scikit-learn is kept as plain numbers and evaluated here: a saved model predicts the same under
another version of it, and each row of a batch gets bit for bit what it would get alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.features import FEATURES, FLAGS
from predictors.regressors import UNSURE, WideRidge

__all__ = ["INPUTS", "Correction", "Trees"]

FloatArray = NDArray[np.float64]

INPUTS = (
    "macs", "bytes_read", "bytes_written", "weight_bytes", "in_channels", "out_channels", "in_pixels", "out_pixels",
    "kernel_area", "stride", "groups", "ops", "macs_per_byte", "touched_bytes", "nonlinear_values", "out_rows",
    "out_fill_8", "out_fill_16", "in_fill_8", "in_fill_16", "whole_4", "whole_8", "whole_16", *FLAGS,
)  # fmt: skip
"""What a correction may depend on; where they are not shares or flags, by their logarithms."""

_COLUMNS = [FEATURES.index(name) for name in INPUTS]
_PLAIN = np.array([name.endswith(("_4", "_8", "_16")) or name in FLAGS for name in INPUTS])
_RATE = 0.15
"""At which boosting learns."""


def _inputs(features: FloatArray) -> FloatArray:
    chosen = features[:, _COLUMNS]
    # rows in one piece: sums along them are rounded by how they lie in memory
    return np.ascontiguousarray(np.where(_PLAIN, chosen, np.log1p(chosen)))


class Correction(ABC):
    """A sum of features, and what is learned of its relative errors.

    Attributes:
        low, high: of the relative errors seen; no correction goes beyond.
    """

    def __init__(self) -> None:
        self.base = WideRidge(1e-3)
        self.low = 0.0
        self.high = 0.0

    @abstractmethod
    def _learn(self, inputs: FloatArray, errors: FloatArray, weights: FloatArray, noise: FloatArray) -> None:
        """Learn relative errors (n,) from inputs (n, p); each counts with its weight (n,), of mean about 1, and is
        uncertain by its noise (n,), relative to what was measured."""

    @abstractmethod
    def _correct(self, inputs: FloatArray) -> FloatArray:
        """Relative errors (n,) of inputs (n, p)."""

    @abstractmethod
    def _learned(self) -> dict[str, Any]:
        """What `_learn` found, as JSON-able values."""

    @abstractmethod
    def _relearn(self, learned: Mapping[str, Any]) -> None:
        """Set what `_learned` returned."""

    def fit(self, features: FloatArray, latency_ms: FloatArray, weights: FloatArray) -> None:
        """See `Regressor`."""
        self.base.fit(features, latency_ms, weights)
        sums = np.maximum(self.base.predict(features), 1e-12)
        errors = latency_ms / sums - 1.0
        self.low, self.high = float(min(errors.min(), 0.0)), float(max(errors.max(), 0.0))
        own = weights * sums
        exact = np.clip(weights * latency_ms, 1e-2, 1.0)
        noise = UNSURE * np.sqrt(1.0 / exact**2 - 1.0)
        self._learn(_inputs(features), errors, own / max(float(own.mean()), 1e-12), noise)

    def predict(self, features: FloatArray) -> FloatArray:
        """See `Regressor`."""
        bent = np.clip(self._correct(_inputs(features)), self.low, self.high)
        return np.asarray(np.maximum(self.base.predict(features) * (1.0 + bent), 0.0), dtype=np.float64)

    def state(self) -> dict[str, Any]:
        """See `Regressor`."""
        return {"base": self.base.state(), "low": self.low, "high": self.high, "learned": self._learned()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Regressor`."""
        self.base.restore(state["base"])
        self.low, self.high = float(state["low"]), float(state["high"])
        self._relearn(state["learned"])


class Trees(Correction):
    """A tree ensemble of scikit-learn: "forest" (random forest) or "boosting" (gradient boosting).

    Args:
        kind: which.
        trees: how many.
        seed: of what is random in growing them.
    """

    def __init__(self, kind: str, trees: int = 40, seed: int = 0) -> None:
        super().__init__()
        self.kind = kind
        self.trees = trees
        self.seed = seed
        self._offset = 0.0
        self._scale = 1.0
        self._nodes: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], FloatArray, FloatArray]] = []

    def _learn(self, inputs: FloatArray, errors: FloatArray, weights: FloatArray, noise: FloatArray) -> None:
        from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor

        if self.kind == "forest":
            model: Any = RandomForestRegressor(
                n_estimators=self.trees, min_samples_leaf=2, max_features=0.5, random_state=self.seed
            )
            model.fit(inputs, errors, sample_weight=weights**2)
            grown, self._offset, self._scale = list(model.estimators_), 0.0, 1.0 / self.trees
        else:
            model = GradientBoostingRegressor(
                n_estimators=self.trees, max_depth=3, learning_rate=_RATE, subsample=0.8, min_samples_leaf=2,
                random_state=self.seed,
            )  # fmt: skip
            model.fit(inputs, errors, sample_weight=weights**2)
            grown, self._scale = list(model.estimators_[:, 0]), _RATE
            self._offset = float(model.init_.constant_[0, 0])
        self._nodes = [
            (
                np.asarray(t.tree_.children_left, dtype=np.int64),
                np.asarray(t.tree_.children_right, dtype=np.int64),
                np.asarray(t.tree_.feature, dtype=np.int64),
                np.asarray(t.tree_.threshold, dtype=np.float64),
                np.asarray(t.tree_.value[:, 0, 0], dtype=np.float64),
            )
            for t in grown
        ]

    def _correct(self, inputs: FloatArray) -> FloatArray:
        # trees are grown, and so asked, in single precision
        rows = inputs.astype(np.float32).astype(np.float64)
        total = np.zeros(len(rows))
        every = np.arange(len(rows))
        for left, right, feature, threshold, value in self._nodes:
            place = np.zeros(len(rows), dtype=np.int64)
            while True:
                inner = left[place] >= 0
                if not inner.any():
                    break
                goes_left = rows[every, np.maximum(feature[place], 0)] <= threshold[place]
                place = np.where(inner, np.where(goes_left, left[place], right[place]), place)
            total += value[place]
        return self._offset + self._scale * total

    def _learned(self) -> dict[str, Any]:
        names = ("left", "right", "feature", "threshold", "value")
        trees = [{name: array.tolist() for name, array in zip(names, node, strict=True)} for node in self._nodes]
        return {"offset": self._offset, "scale": self._scale, "trees": trees}

    def _relearn(self, learned: Mapping[str, Any]) -> None:
        self._offset, self._scale = float(learned["offset"]), float(learned["scale"])
        self._nodes = [
            (
                np.array(tree["left"], dtype=np.int64),
                np.array(tree["right"], dtype=np.int64),
                np.array(tree["feature"], dtype=np.int64),
                np.array(tree["threshold"], dtype=np.float64),
                np.array(tree["value"], dtype=np.float64),
            )
            for tree in learned["trees"]
        ]
        self.trees = len(self._nodes)
