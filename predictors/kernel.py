"""Kernels that were never measured: regressors per kind of kernel, chosen by cross-validation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from predictors.candidates import REGRESSORS, choose
from predictors.features import EXTENSIVE, FEATURES, family, feature_matrix
from predictors.intervals import conformal_quantile, normal_quantile, t_quantile
from predictors.measured import KernelPoint
from predictors.regressors import Regressor
from profiler.workloads.fusion import Kernel

__all__ = ["Group", "KernelEstimate", "KernelRegressor", "Level", "row_weights"]

FloatArray = NDArray[np.float64]

ROOFLINE_LEAST = 3
"""Rows that the fallback over all kernels needs."""

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
        cv_rms: root mean square of the same errors.
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


Level = Literal["kind", "family", "all"]


class KernelRegressor:
    """Costs of kernels without a row: per kind where at least `least_rows` rows of it exist, else per family, else a
    roofline over all kernels.

    Args:
        candidates: names out of `REGRESSORS`.
        least_rows: rows that a kind or family needs.
        levels: which of kinds, families and all kernels together get a regressor.

    Attributes:
        groups: what was fitted, by name.
        left_out: by key of each kernel fitted on, the error of its prediction without it, relative to its value or to
            its uncertainty where that is larger (`row_weights`); not kept on disk.
    """

    def __init__(
        self,
        candidates: Sequence[str] = (
            "ridge", "stiff ridge", "wide ridge", "stiff wide ridge", "process", "forest", "boosting",
        ),
        least_rows: int = 5,
        levels: Sequence[Level] = ("kind", "family", "all"),
    ) -> None:  # fmt: skip
        self.candidates = tuple(candidates)
        self.levels = tuple(levels)
        self.least_rows = least_rows
        self.groups: dict[str, Group] = {}
        self.left_out: dict[str, float] = {}

    def fit(self, points: Sequence[KernelPoint]) -> KernelRegressor:
        """Fit a regressor to every kind and family with enough rows, and the roofline over all."""
        features = feature_matrix([p.kernel for p in points])
        latency = np.array([p.latency_ms for p in points])
        sd = np.array([p.sd_ms for p in points])
        weights = row_weights(latency, sd)
        fitted: dict[str, tuple[Group, FloatArray]] = {}
        members = _members(points)
        for name, mine in members.items():
            if name.split(" ", 1)[0] not in self.levels:
                continue
            least = ROOFLINE_LEAST if name == _ALL else self.least_rows
            if len(mine) < least or not latency[mine].any():
                continue
            candidates = ("roofline",) if name == _ALL else self.candidates
            noise = math.sqrt(float(((sd[mine] * weights[mine]) ** 2).mean()))
            fitted[name] = _fit_group(name, candidates, features[mine], latency[mine], weights[mine], noise)
        self.groups = {name: group for name, (group, _) in fitted.items()}
        self.left_out = {}
        for name, mine in members.items():
            of = f"family {family(points[mine[0]].kernel)}"
            if not name.startswith(_KIND) or of not in fitted:
                continue
            by_family = fitted[of][1][np.searchsorted(members[of], mine)]
            predicted = by_family
            if name in fitted:
                own, predicted = fitted[name]
                self.groups[name] = _borrowed(own, fitted[of][0], by_family, latency[mine], weights[mine])
                predicted = by_family if self.groups[name].of else predicted
            errors = (latency[mine] - predicted) * weights[mine]
            self.left_out.update((points[i].key, float(error)) for i, error in zip(mine, errors, strict=True))
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

    def interval(self, estimate: KernelEstimate, level: float) -> tuple[float, float]:
        """(low, high) in ms of one kernel by itself, for an estimate that this regressor made; wider for sizes beyond
        those that were measured."""
        half = estimate.latency_ms * self.groups[estimate.source].half_width(level) * (1.0 + estimate.beyond)
        return max(estimate.latency_ms - half, 0.0), estimate.latency_ms + half

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form that `restore` reads back."""
        return {"groups": [group.to_dict() for group in self.groups.values()]}

    def restore(self, data: Mapping[str, Any]) -> KernelRegressor:
        """Set what `to_dict` returned."""
        own = {str(g["name"]): Group.from_dict(g) for g in data["groups"] if not g["of"]}
        self.groups = {}
        for g in data["groups"]:
            name = str(g["name"])
            self.groups[name] = own[name] if name in own else Group.from_dict(g, own[str(g["of"])].regressor)
        return self


_ALL = "all kernels"
_KIND = "kind "


def _group_names(kernel: Kernel) -> tuple[str, str, str]:
    """Narrowest first."""
    return f"{_KIND}{kernel.kind}", f"family {family(kernel)}", _ALL


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


def _borrowed(own: Group, other: Group, by_other: FloatArray, latency: FloatArray, weights: FloatArray) -> Group:
    """The group of a kind, with its family's regressor where that errs a good deal less on the kind's own rows."""
    mape, rms, errors = _errors(by_other, latency, weights)
    if rms >= (1.0 - BORROWED) * own.cv_rms:
        return own
    return replace(
        own, chosen=other.chosen, cv_mape=mape, cv_rms=rms, errors=errors, regressor=other.regressor, of=other.name
    )
