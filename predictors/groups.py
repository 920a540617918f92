"""One fitted regressor of kernels: what it says, and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.candidates import REGRESSORS, choose
from predictors.features import EXTENSIVE, FEATURES
from predictors.intervals import conformal_quantile, normal_quantile, t_quantile
from predictors.regressors import UNSURE, Regressor

__all__ = ["BORROWED", "Group", "KernelEstimate", "borrowed", "fit_group", "fit_weights"]

FloatArray = NDArray[np.float64]

BORROWED = 0.1
"""By so much of its error a family's regressor has to beat that of a kind, on the kind's own rows, to take its place:
a kind measured rarely is told more by its relatives than by itself."""

_RANGE_COLUMNS = [FEATURES.index(name) for name in EXTENSIVE]

_LEAST_PREDICTED = 1e-9
"""In ms; nothing is divided by less."""


@dataclass(frozen=True, slots=True)
class KernelEstimate:
    """What a kernel is thought to cost.

    Attributes:
        latency_ms, sd_ms: value and standard deviation.
        source: "table" for a measured kernel, else the name of the group whose regressor said so. Errors of one
            group go together, those of different sources are taken as independent.
        beyond: by how much its sizes exceed all that the group was fitted on, as a logarithm; 0 inside.
    """

    latency_ms: float
    sd_ms: float
    source: str
    beyond: float = 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """One fitted regressor and how far it can be trusted.

    Attributes:
        name: such as "kind conv2d 3x3+relu", "family conv" or "all kernels".
        chosen: a key of `REGRESSORS`, the one with the least error in cross-validation.
        n: rows that its errors are of.
        cv_mape: mean absolute relative error in cross-validation.
        cv_rms: root mean square of the same errors. In both a row counts for less where its own figure is uncertain.
        errors: (measured - predicted) / predicted of each row in cross-validation, sorted by size.
        low, high: range of the extensive features fitted on.
        regressor: what predicts.
        of: the group that the regressor was fitted to, where that is another one.
    """

    name: str
    chosen: str
    n: int
    cv_mape: float
    cv_rms: float
    errors: tuple[float, ...]
    low: FloatArray
    high: FloatArray
    regressor: Regressor
    of: str = ""

    def estimate(self, features: FloatArray) -> list[KernelEstimate]:
        """(n, len(FEATURES)) -> one estimate a row.

        The standard deviation is the error in cross-validation times the prediction, widened for few rows (ratio of
        the t to the normal quantile at 90 %) and for sizes outside the range fitted on: a feature e times too large
        doubles it. The latter is a rule of thumb of ours.
        """
        if not len(features):
            return []
        latency = self.regressor.predict(features)
        few = t_quantile(0.9, self.n - 1) / normal_quantile(0.9)
        beyond = self._beyond(features)
        sd = latency * self.cv_rms * few * (1.0 + beyond)
        return [
            KernelEstimate(float(ms), float(s), self.name, float(b))
            for ms, s, b in zip(latency, sd, beyond, strict=True)
        ]

    def half_width(self, level: float) -> float:
        """Of an interval at `level`, relative to the prediction: the conformal quantile of the errors in
        cross-validation (CV+ with one pooled quantile), or of a t distribution where they are too few for one."""
        return conformal_quantile(self.errors, level, 1)

    def _beyond(self, features: FloatArray) -> FloatArray:
        values = np.log1p(features[:, _RANGE_COLUMNS])
        beyond = np.maximum(values - np.log1p(self.high), np.log1p(self.low) - values)
        return np.asarray(np.maximum(beyond, 0.0).max(axis=1), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form that `from_dict` reads back."""
        return {
            "name": self.name,
            "chosen": self.chosen,
            "n": self.n,
            "cv_mape": self.cv_mape,
            "cv_rms": self.cv_rms,
            "errors": list(self.errors),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "of": self.of,
            "regressor": None if self.of else self.regressor.state(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], regressor: Regressor | None = None) -> Group:
        """Read what `to_dict` wrote; the regressor of another group is handed over."""
        if regressor is None:
            regressor = REGRESSORS[str(data["chosen"])]()
            regressor.restore(data["regressor"])
        return cls(
            str(data["name"]),
            str(data["chosen"]),
            int(data["n"]),
            float(data["cv_mape"]),
            float(data["cv_rms"]),
            tuple(float(error) for error in data["errors"]),
            np.array(data["low"], dtype=np.float64),
            np.array(data["high"], dtype=np.float64),
            regressor,
            str(data["of"]),
        )


def fit_weights(latency: FloatArray, sd: FloatArray) -> FloatArray:
    """What rows count for in a fit: relative to the value, and less from an uncertainty of `UNSURE` on.

    The floor of a thousandth of the median is only there so that no weight is infinite.
    """
    if not len(latency):
        return np.zeros(0)
    floor = 1e-3 * float(np.median(latency)) or 1e-9
    return 1.0 / np.maximum(np.hypot(latency, sd / UNSURE), floor)


def fit_group(
    name: str,
    candidates: Sequence[str],
    features: FloatArray,
    latency: FloatArray,
    weights: FloatArray,
    noise: float,
) -> tuple[Group, FloatArray]:
    """The group, and what each of its rows (n,) is predicted as without it."""
    chosen, predicted = choose(candidates, features, latency, weights, noise)
    regressor = REGRESSORS[chosen]()
    regressor.fit(features, latency, weights)
    ranged = features[:, _RANGE_COLUMNS]
    low, high = ranged.min(axis=0), ranged.max(axis=0)
    group = Group(name, chosen, len(latency), *_errors(predicted, latency, weights), low, high, regressor)
    return group, predicted


def _errors(predicted: FloatArray, latency: FloatArray, weights: FloatArray) -> tuple[float, float, tuple[float, ...]]:
    """(mean absolute, root mean square) of the weighted errors, and those relative to what was predicted."""
    weighted = (predicted - latency) * weights
    relative = (latency - predicted) / np.maximum(predicted, _LEAST_PREDICTED)
    ordered = sorted((float(r) for r in relative), key=abs)
    return float(np.abs(weighted).mean()), math.sqrt(float((weighted**2).mean())), tuple(ordered)


def borrowed(own: Group, other: Group, by_other: FloatArray, latency: FloatArray, weights: FloatArray) -> Group:
    """The group of a kind, with its family's regressor where that errs a good deal less on the kind's own rows."""
    mape, rms, errors = _errors(by_other, latency, weights)
    if rms >= (1.0 - BORROWED) * own.cv_rms:
        return own
    return replace(
        own, chosen=other.chosen, cv_mape=mape, cv_rms=rms, errors=errors, regressor=other.regressor, of=other.name
    )
