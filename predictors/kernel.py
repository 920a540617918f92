"""Kernels that were never measured: regressors per kind of kernel, chosen by cross-validation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from predictors.features import family, feature_matrix
from predictors.groups import Group, KernelEstimate, borrowed, fit_group, fit_weights
from predictors.measured import KernelPoint
from profiler.workloads.fusion import Kernel

__all__ = ["LEAST_ROWS", "Group", "KernelEstimate", "KernelRegressor", "Level", "fitted_regressor", "row_weights"]

FloatArray = NDArray[np.float64]

LEAST_ROWS = 5
"""Rows of a kind or family that a regressor of its own needs, where nothing else is asked for."""

ROOFLINE_LEAST = 3
"""Rows that the fallback over all kernels needs."""

Level = Literal["kind", "family", "all"]


class KernelRegressor:
    """Costs of kernels without a row: per kind where at least `least_rows` rows of it exist, else per family, else a
    roofline over all kernels.

    Args:
        candidates: names out of `REGRESSORS`.
        least_rows: rows that a kind or family needs.
        levels: which of kinds, families and all kernels together get a regressor.
        chosen: by name of a group, the candidate that it gets; groups that are not named choose.

    Attributes:
        groups: what was fitted, by name.
        left_out: by key of each kernel fitted on, the error of its prediction without it, relative to its value or to
            its uncertainty where that is larger (`row_weights`); not kept on disk.
        without: by key of each kernel fitted on, what it is predicted as without it, and the standard deviation of
            that, in ms; not kept on disk.
    """

    def __init__(
        self,
        candidates: Sequence[str] = (
            "ridge", "stiff ridge", "wide ridge", "stiff wide ridge", "process", "forest", "boosting",
        ),
        least_rows: int = LEAST_ROWS,
        levels: Sequence[Level] = ("kind", "family", "all"),
        chosen: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.candidates = tuple(candidates)
        self.levels = tuple(levels)
        self.chosen = dict(chosen or {})
        self.least_rows = least_rows
        self.groups: dict[str, Group] = {}
        self.left_out: dict[str, float] = {}
        self.without: dict[str, tuple[float, float]] = {}

    def fit(self, points: Sequence[KernelPoint], wanted: Sequence[Kernel] | None = None) -> KernelRegressor:
        """Fit a regressor to every kind and family with enough rows, and the roofline over all.

        Args:
            points: measured kernels.
            wanted: kernels that will be asked for; groups that say nothing of them are not fitted.
        """
        features = feature_matrix([p.kernel for p in points])
        latency = np.array([p.latency_ms for p in points])
        sd = np.array([p.doubt_ms for p in points])
        weights = row_weights(latency, sd)
        asked = None if wanted is None else {name for kernel in wanted for name in _group_names(kernel)}
        fitted: dict[str, tuple[Group, FloatArray]] = {}
        members = _members(points)
        for name, mine in members.items():
            if name.split(" ", 1)[0] not in self.levels or (asked is not None and name not in asked):
                continue
            least = ROOFLINE_LEAST if name == _ALL else self.least_rows
            if len(mine) < least or not latency[mine].any():
                continue
            candidates = (self.chosen[name],) if name in self.chosen else self.candidates
            candidates = ("roofline",) if name == _ALL else candidates
            learned = fit_weights(latency[mine], sd[mine])
            noise = math.sqrt(float(((sd[mine] * learned) ** 2).mean()))
            fitted[name] = fit_group(name, candidates, features[mine], latency[mine], learned, noise)
        self.groups = {name: group for name, (group, _) in fitted.items()}
        self.left_out, self.without = {}, {}
        for name, mine in members.items():
            of = f"family {family(points[mine[0]].kernel)}"
            if not name.startswith(_KIND) or of not in fitted:
                continue
            by_family = fitted[of][1][np.searchsorted(members[of], mine)]
            predicted, group = by_family, fitted[of][0]
            if name in fitted:
                own, predicted = fitted[name]
                learned = fit_weights(latency[mine], sd[mine])
                self.groups[name] = group = borrowed(own, fitted[of][0], by_family, latency[mine], learned)
                predicted = by_family if self.groups[name].of else predicted
            errors = (latency[mine] - predicted) * weights[mine]
            self.without.update(
                (points[i].key, (float(ms), float(ms) * group.cv_rms)) for i, ms in zip(mine, predicted, strict=True)
            )
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


@lru_cache(maxsize=8)
def fitted_regressor(points: tuple[KernelPoint, ...], least_rows: int) -> KernelRegressor:
    """A regressor fitted to these kernels; models that differ in their networks alone share it, and none changes it."""
    return KernelRegressor(least_rows=least_rows).fit(points)


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
