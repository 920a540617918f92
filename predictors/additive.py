"""The main model: kernels from the table, regressors for kernels without a row, and an overhead fitted per target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.base import CostModel, PartCost, Prediction
from predictors.classes import classes_of
from predictors.composition import compositions, population_composition
from predictors.intervals import Residuals, leave_one_out, normal_quantile, quadrature
from predictors.kernel import KernelEstimate, fitted_regressor
from predictors.lookup import KernelCosts, KernelSum, add_up
from predictors.measured import MIN_FIT_MODELS, Measurements
from predictors.population import Population, price
from predictors.regressors import nonnegative_fit, row_sums
from predictors.residual import Residual, fit_residual
from profiler.errors import ConfigError, UnknownWorkload
from profiler.workloads.fusion import Kernel, cut
from profiler.workloads.graph import Workload

__all__ = ["OVERHEADS", "AdditiveModel", "Overhead", "Sums", "choose_overhead", "fit_overhead"]

FloatArray = NDArray[np.float64]

OVERHEADS: dict[str, tuple[bool, bool, bool]] = {
    "constant": (True, False, False),
    "scaled": (True, False, True),
    "dispatch": (True, True, False),
}
"""Forms of the overhead: whether each of (constant, ms per kernel, scale of the kernel sum) is fitted."""

_LEAST_FOR_AUTO = 8
"""With fewer whole models "auto" stays with the constant: leave-one-out over a handful chooses by noise."""

_GAIN = 0.1
"""By how much of its error a form must beat a simpler one."""

_RESOLUTION = 1e-6
"""Relative errors below this are rounding, and no reason to choose."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """latency = constant_ms + dispatch_ms x number of kernels + scale x sum of kernels."""

    form: str
    constant_ms: float
    dispatch_ms: float
    scale: float
    residuals: Residuals

    def total(self, sum_ms: FloatArray, n_kernels: FloatArray) -> FloatArray:
        """Latencies in ms from kernel sums (n,) and numbers of kernels (n,)."""
        return self.constant_ms + self.dispatch_ms * n_kernels + self.scale * sum_ms

    def parts(self, sum_ms: float, n_kernels: int) -> tuple[PartCost, ...]:
        """What it adds to one workload, term by term."""
        found = [PartCost("fixed overhead of a run", "overhead", self.constant_ms, "overhead")]
        if self.dispatch_ms:
            dispatch_ms = self.dispatch_ms * n_kernels
            found.append(PartCost(f"dispatch of {n_kernels} kernels", "overhead", dispatch_ms, "overhead"))
        if self.scale != 1.0:
            correction_ms = (self.scale - 1.0) * sum_ms
            found.append(
                PartCost(f"kernels inside a model cost x{self.scale:.3f}", "overhead", correction_ms, "overhead")
            )
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Sums:
    """Whole models and the kernel sums that the overhead has to close up to them; every array (n,)."""

    sum_ms: FloatArray
    n_kernels: FloatArray
    latency_ms: FloatArray
    weights: FloatArray


def fit_overhead(form: str, sums: Sums) -> Overhead:
    """Fit one form by weighted least squares, no coefficient below zero."""
    terms = np.array(OVERHEADS[form])
    design = np.column_stack([np.ones_like(sums.sum_ms), sums.n_kernels, sums.sum_ms])

    def solve(rows: FloatArray, values: FloatArray, weights: FloatArray) -> FloatArray:
        coefficients = np.array([0.0, 0.0, 1.0])
        known = rows[:, ~terms] @ coefficients[~terms]
        coefficients[terms] = nonnegative_fit(rows[:, terms], values - known, weights)
        return coefficients

    def fit_predict(rows: FloatArray, values: FloatArray, weights: FloatArray, held: FloatArray) -> FloatArray:
        return row_sums(held, solve(rows, values, weights))

    constant, dispatch, scale = map(float, solve(design, sums.latency_ms, sums.weights))
    residuals = Residuals(leave_one_out(fit_predict, design, sums.latency_ms, sums.weights), int(terms.sum()))
    return Overhead(form, constant, dispatch, scale, residuals)


def choose_overhead(sums: Sums) -> Overhead:
    """The constant, unless another form errs less by `_GAIN` on models left out, weighted as in the fit."""

    def error(fitted: Overhead) -> float:
        weights = sums.weights * sums.latency_ms
        return float(np.sqrt(np.average(np.square(fitted.residuals.relative), weights=weights**2)))

    best = fit_overhead("constant", sums)
    if len(sums.latency_ms) >= _LEAST_FOR_AUTO:
        for form in OVERHEADS:
            fitted = fit_overhead(form, sums)
            if error(fitted) < (1.0 - _GAIN) * error(best) - _RESOLUTION:
                best = fitted
    return best


class AdditiveModel(CostModel):
    """Sum of kernels plus an overhead per target.

    A kernel costs what its row in the table says, moved towards what regressors say of such kernels where the row is
    itself uncertain by more than a tenth (`KernelCosts.temper`); one without a row what the regressor of its kind says,
    with an interval that is wider accordingly; one that no regressor covers is missing, and the prediction a lower
    bound.
    The overhead is fitted on whole models of split "fit" of which every kernel has a cost, and so is what is left.

    Args:
        overhead: a form out of `OVERHEADS`, or "auto": the constant, unless another form has a leave-one-out
            error at least a tenth smaller.
        regressors: whether kernels without a row are estimated; False leaves them missing.
        least_rows: rows that a kind or family needs for a regressor of its own.
        residual: whether what networks take beyond kernels and overhead may be learned from their composition; it is
            taken only where networks left out are predicted better with it.
        level: nominal coverage of the intervals.

    Attributes:
        overhead_: what was fitted.
        residual_: what was learned of the rest; None where there was nothing to learn.
        skipped_: labels of whole models left out of the fit because a kernel of theirs has no cost.
        left_out_: by key, the relative error of each whole model fitted on when it is left out; a saved one has none.
    """

    name = "additive"
    residual_: Residual | None = None
    left_out_: Mapping[str, float] = MappingProxyType({})

    def __init__(
        self,
        overhead: str = "auto",
        regressors: bool = True,
        least_rows: int = 5,
        residual: bool = True,
        level: float = 0.9,
    ) -> None:
        self.overhead = overhead
        self.regressors = regressors
        self.least_rows = least_rows
        self.residual = residual
        self.level = level

    def _fit(self, measurements: Measurements) -> None:
        if self.overhead not in ("auto", *OVERHEADS):
            raise ConfigError(f"no overhead {self.overhead!r}; there are auto, {', '.join(OVERHEADS)}")
        self._fit_kernels(measurements, self.regressors)

    def _fit_kernels(self, measurements: Measurements, regressors: bool) -> None:
        measurements.need_models(self.name)
        self.costs_ = KernelCosts.of(measurements.kernels)
        if regressors:
            self.costs_.regressor = fitted_regressor(measurements.kernels, self.least_rows)
            self.costs_.temper(measurements.kernels)
        cuts = self._cuts([m.workload for m in measurements.models])
        found = self._found(cuts)
        sums = [add_up(kernels, found, self.level) for kernels in cuts]
        pairs = list(zip(measurements.models, sums, strict=True))
        self.skipped_ = tuple(m.label for m, s in pairs if s.missing)
        whole = [i for i, (_, s) in enumerate(pairs) if not s.missing]
        if len(whole) < MIN_FIT_MODELS:
            labels = sorted({label for s in sums for label in s.missing})
            raise UnknownWorkload(
                f"only {len(whole)} of {len(sums)} whole models measured on {measurements.target_id} have a cost for "
                f"every kernel, and the overhead needs {MIN_FIT_MODELS}; measure the kernels {'; '.join(labels[:3])}"
                f"{' and others' if len(labels) > 3 else ''} with `edgecost profile`"
            )
        closing = Sums(
            np.array([sums[i].latency_ms for i in whole]),
            np.array([float(sums[i].n_kernels) for i in whole]),
            measurements.model_latencies_ms[whole],
            measurements.model_weights[whole],
        )
        auto = self.overhead == "auto"
        self.overhead_ = choose_overhead(closing) if auto else fit_overhead(self.overhead, closing)
        self.residual_ = None
        if self.residual:
            networks = [measurements.models[i].workload for i in whole]
            composition = compositions([cuts[i] for i in whole], {key: e.latency_ms for key, e in found.items()})
            base_ms = self.overhead_.total(closing.sum_ms, closing.n_kernels)
            classes = classes_of(networks, self.runtime_, self.precision_)
            self.residual_, errors = fit_residual(composition, base_ms, closing.latency_ms, classes)
            if self.residual_ is not None:
                left_out = Residuals(tuple(float(e) for e in errors), self.overhead_.residuals.n_params + 1)
                self.overhead_ = replace(self.overhead_, residuals=left_out)
        relative = self.overhead_.residuals.relative
        if len(relative) == len(whole):
            self.left_out_ = dict(zip((measurements.models[i].key for i in whole), relative, strict=True))

    def _cut(self, workload: Workload) -> tuple[Kernel, ...]:
        """The kernels that are added up."""
        return cut(workload, self.runtime_, self.precision_)

    def _cuts(self, workloads: Sequence[Workload]) -> list[tuple[Kernel, ...]]:
        return [self._cut(w) for w in workloads]

    def _found(self, cuts: Sequence[Sequence[Kernel]]) -> dict[str, KernelEstimate]:
        return self.costs_.resolve({k.key: k for kernels in cuts for k in kernels}.values())

    def _estimate(self, workloads: Sequence[Workload]) -> list[Prediction]:
        cuts = self._cuts(workloads)
        found = self._found(cuts)
        factors = self._factors(cuts, found)
        sums = [add_up(kernels, found, self.level) for kernels in cuts]
        return [self._prediction(total, float(factor)) for total, factor in zip(sums, factors, strict=True)]

    def _factors(self, cuts: Sequence[tuple[Kernel, ...]], found: Mapping[str, KernelEstimate]) -> FloatArray:
        """What networks take besides, by their composition: a factor each, (n,)."""
        if self.residual_ is None:
            return np.ones(len(cuts))
        return self.residual_.factor(compositions(cuts, {key: e.latency_ms for key, e in found.items()}))

    def _prediction(self, total: KernelSum, factor: float) -> Prediction:
        known = total.n_kernels - len(total.missing)
        base_ms = float(self.overhead_.total(np.array(total.latency_ms), np.array(float(known))))
        latency_ms = base_ms * factor
        residual, how = self.overhead_.residuals.half_width(self.level)
        kernel_ms = normal_quantile(self.level) * self.overhead_.scale * total.sd_ms
        half = quadrature([residual * latency_ms, kernel_ms]) if math.isfinite(residual) else math.inf
        parts = total.parts + self.overhead_.parts(total.latency_ms, known)
        if self.residual_ is not None:
            label = "networks of such a composition"
            parts = (*parts, PartCost(f"{label} take x{factor:.3f}", "overhead", latency_ms - base_ms, "overhead"))
        beyond = f"; {len(total.beyond)} kernels are of sizes beyond all measured" if total.beyond else ""
        return Prediction(
            latency_ms,
            max(latency_ms - half, 0.0),
            math.inf if total.missing else latency_ms + half,
            parts,
            total.missing,
            interval=f"errors of whole models ({how}) and of the kernels, added in quadrature{beyond}",
            beyond=total.beyond,
        )

    def price(self, population: Population) -> FloatArray:
        """Latencies in ms of a whole population from its counts of fused kernels, shape (n,), NaN where a cost is
        missing.

        Raises:
            ConfigError: before `fit`, and where fused kernels were not counted.
        """
        self._check_fitted()
        fused = population.under("fused")
        if fused is None:
            raise ConfigError(
                f"the {self.name} model adds fused kernels up, and of the population {population.cut} ones were "
                'counted; count it under the cut "fused" as well'
            )
        return self._price(fused)

    def _price(self, population: Population) -> FloatArray:
        """The same of a population whose kernels are those that are added up."""
        costs_ms = self.costs_.costs_ms(population.kernels)
        base_ms = self.overhead_.total(price(population, costs_ms), population.n_kernels)
        if self.residual_ is None:
            return base_ms
        return base_ms * self.residual_.factor(population_composition(population, costs_ms))

    def state(self) -> dict[str, Any]:
        """See `CostModel`."""
        fitted = self.overhead_
        return {
            "costs": self.costs_.to_dict(),
            "overhead": {
                "form": fitted.form,
                "constant_ms": fitted.constant_ms,
                "dispatch_ms": fitted.dispatch_ms,
                "scale": fitted.scale,
                "residuals": list(fitted.residuals.relative),
            },
            "residual": None if self.residual_ is None else self.residual_.to_dict(),
            "skipped": list(self.skipped_),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `CostModel`."""
        self.costs_ = KernelCosts.from_dict(state["costs"])
        fitted = state["overhead"]
        self.overhead_ = Overhead(
            str(fitted["form"]),
            float(fitted["constant_ms"]),
            float(fitted["dispatch_ms"]),
            float(fitted["scale"]),
            Residuals(
                tuple(float(r) for r in fitted["residuals"]),
                sum(OVERHEADS[str(fitted["form"])]) + (state["residual"] is not None),
            ),
        )
        residual = state["residual"]
        self.residual_ = None if residual is None else Residual.from_dict(residual)
        self.skipped_ = tuple(str(label) for label in state["skipped"])
