"""Kernels that were never measured: regressors per kind of kernel, chosen by cross-validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.features import EXTENSIVE, FEATURES, family, feature_matrix
from predictors.intervals import normal_quantile, t_quantile
from predictors.measured import KernelPoint
from predictors.regressors import REGRESSORS, Regressor
from profiler.workloads.fusion import Kernel

__all__ = ["Group", "KernelEstimate", "KernelRegressor", "row_weights"]

FloatArray = NDArray[np.float64]

TREES_LEAST = 20
"""Trees are tried from so many rows on: below, a leaf is a row and they can only repeat what they saw."""

ROOFLINE_LEAST = 3
"""Rows that the fallback over all kernels needs."""

_RANGE_COLUMNS = [FEATURES.index(name) for name in EXTENSIVE]


@dataclass(frozen=True, slots=True)
class KernelEstimate:
    """What a kernel is thought to cost.

    Attributes:
        latency_ms, sd_ms: value and standard deviation.
        source: "table" for a measured kernel, else the name of the group whose regressor said so. Errors of one
            group go together, those of different sources are taken as independent.
    """

    latency_ms: float
    sd_ms: float
    source: str


@dataclass(frozen=True, slots=True)
class Group:
    """One fitted regressor and how far it can be trusted.

    Attributes:
        name: such as "kind conv2d 3x3+relu", "family conv" or "all kernels".
        chosen: a key of `REGRESSORS`, the one with the least error in cross-validation.
        n: rows it was fitted on.
        cv_mape: mean absolute relative error in cross-validation.
        cv_rms: root mean square of the same errors.
        low, high: range of the extensive features fitted on.
    """

    name: str
    chosen: str
    n: int
    cv_mape: float
    cv_rms: float
    low: FloatArray
    high: FloatArray
    regressor: Regressor

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
        sd = latency * self.cv_rms * few * (1.0 + self._excess(features))
        return [KernelEstimate(float(ms), float(s), self.name) for ms, s in zip(latency, sd, strict=True)]

    def _excess(self, features: FloatArray) -> FloatArray:
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
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "regressor": self.regressor.state(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Group:
        """Read what `to_dict` wrote."""
        regressor = REGRESSORS[str(data["chosen"])]()
        regressor.restore(data["regressor"])
        return cls(
            str(data["name"]),
            str(data["chosen"]),
            int(data["n"]),
            float(data["cv_mape"]),
            float(data["cv_rms"]),
            np.array(data["low"], dtype=np.float64),
            np.array(data["high"], dtype=np.float64),
            regressor,
        )


class KernelRegressor:
    """Costs of kernels without a row: per kind where at least `least_rows` rows of it exist, else per family, else a
    roofline over all kernels.

    Attributes:
        groups: what was fitted, by name.
    """

    def __init__(
        self, candidates: Sequence[str] = ("ridge", "stiff ridge", "forest", "boosting"), least_rows: int = 5
    ) -> None:
        self.candidates = tuple(candidates)
        self.least_rows = least_rows
        self.groups: dict[str, Group] = {}

    def fit(self, points: Sequence[KernelPoint]) -> KernelRegressor:
        """Fit a regressor to every kind and family with enough rows, and the roofline over all."""
        features = feature_matrix([p.kernel for p in points])
        latency = np.array([p.latency_ms for p in points])
        weights = row_weights(latency, np.array([p.sd_ms for p in points]))
        self.groups = {}
        for name, members in _members(points).items():
            least = ROOFLINE_LEAST if name == _ALL else self.least_rows
            if len(members) < least or not latency[members].any():
                continue
            candidates = ("roofline",) if name == _ALL else self.candidates
            self.groups[name] = _fit_group(name, candidates, features[members], latency[members], weights[members])
        return self

    def estimate(self, kernels: Sequence[Kernel]) -> list[KernelEstimate | None]:
        """One estimate a kernel, by the narrowest group that covers it; None where nothing does."""
        chosen = [next((n for n in _group_names(k) if n in self.groups), None) for k in kernels]
        found: list[KernelEstimate | None] = [None] * len(kernels)
        for name, group in self.groups.items():
            mine = [i for i, n in enumerate(chosen) if n == name]
            estimates = group.estimate(feature_matrix([kernels[i] for i in mine]))
            for i, estimate in zip(mine, estimates, strict=True):
                found[i] = estimate
        return found

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form that `restore` reads back."""
        return {"groups": [group.to_dict() for group in self.groups.values()]}

    def restore(self, data: Mapping[str, Any]) -> KernelRegressor:
        """Set what `to_dict` returned."""
        groups = [Group.from_dict(g) for g in data["groups"]]
        self.groups = {group.name: group for group in groups}
        return self


_ALL = "all kernels"


def _group_names(kernel: Kernel) -> tuple[str, str, str]:
    """Narrowest first."""
    return f"kind {kernel.kind}", f"family {family(kernel)}", _ALL


def _members(points: Iterable[KernelPoint]) -> dict[str, list[int]]:
    members: dict[str, list[int]] = {}
    for index, point in enumerate(points):
        for name in _group_names(point.kernel):
            members.setdefault(name, []).append(index)
    return members


def row_weights(latency: FloatArray, sd: FloatArray) -> FloatArray:
    """Residuals count relative to the value, or to its uncertainty where that is larger.

    The floor of a tenth of the median keeps a kernel too cheap to resolve from outweighing all others.
    """
    if not len(latency):
        return np.zeros(0)
    floor = 0.1 * float(np.median(latency)) or 1e-9
    return 1.0 / np.maximum(np.hypot(latency, sd), floor)


def _fit_group(
    name: str, candidates: Sequence[str], features: FloatArray, latency: FloatArray, weights: FloatArray
) -> Group:
    usable = [c for c in candidates if c not in ("forest", "boosting") or len(latency) >= TREES_LEAST]
    errors = {c: _cross_validate(REGRESSORS[c], features, latency, weights) for c in usable}
    # the first of equals, so that the simplest wins
    chosen = min(usable, key=lambda c: float(np.abs(errors[c]).mean()))
    regressor = REGRESSORS[chosen]()
    regressor.fit(features, latency, weights)
    ranged = features[:, _RANGE_COLUMNS]
    return Group(
        name,
        chosen,
        len(latency),
        float(np.abs(errors[chosen]).mean()),
        math.sqrt(float((errors[chosen] ** 2).mean())),
        ranged.min(axis=0),
        ranged.max(axis=0),
        regressor,
    )


def _cross_validate(
    make: Callable[[], Regressor], features: FloatArray, latency: FloatArray, weights: FloatArray, folds: int = 5
) -> FloatArray:
    """Weighted (that is, relative) errors (n,), each row predicted by a fit without its fold."""
    fold = np.random.default_rng(0).permutation(len(latency)) % min(folds, len(latency))
    errors = np.zeros(len(latency))
    for index in range(int(fold.max()) + 1):
        held = fold == index
        regressor = make()
        regressor.fit(features[~held], latency[~held], weights[~held])
        errors[held] = (regressor.predict(features[held]) - latency[held]) * weights[held]
    return errors
