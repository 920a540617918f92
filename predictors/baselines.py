"""Models that know no table: a line through MACs, a line through parameters, a ridge on both and more, a roofline.

They stand beside every learned model. A predictor that does not beat them has learned nothing about the target.
All are fitted to the relative errors of the whole models of split "fit".
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from predictors.base import CostModel, PartCost, Prediction
from predictors.features import EXTENSIVE, FEATURES, feature_matrix, workload_features
from predictors.inputs import need_variation
from predictors.intervals import Residuals, leave_one_out
from predictors.measured import Measurements
from predictors.population import Population, price
from predictors.regressors import Roofline, nonnegative_fit, roofline_design, row_sums
from profiler.workloads.fusion import Kernel, cut
from profiler.workloads.graph import Workload

__all__ = ["LineModel", "MacsModel", "ParamsModel", "RidgeModel", "RooflineModel"]

FloatArray = NDArray[np.float64]


def _fit_predict_line(design: FloatArray, latency_ms: FloatArray, weights: FloatArray, held: FloatArray) -> FloatArray:
    return row_sums(held, nonnegative_fit(design, latency_ms, weights))


class LineModel(CostModel):
    """latency = constant + slope x one total of the workload, both >= 0, by least squares.

    Args:
        level: nominal coverage of the intervals.

    Attributes:
        unit: what the total counts.
    """

    unit: ClassVar[str]

    def __init__(self, level: float = 0.9) -> None:
        self.level = level

    @abstractmethod
    def amount(self, workload: Workload) -> float:
        """The total that latency is taken to follow."""

    def _design(self, workloads: Sequence[Workload]) -> FloatArray:
        return np.array([[1.0, self.amount(w)] for w in workloads], dtype=np.float64).reshape(len(workloads), 2)

    def _fit(self, measurements: Measurements) -> None:
        measurements.need_models(self.name)
        design = self._design([m.workload for m in measurements.models])
        need_variation(self.name, self.unit, design[:, 1], measurements.target_id)
        latency_ms, weights = measurements.model_latencies_ms, measurements.model_weights
        self.constant_ms_, self.slope_ = map(float, nonnegative_fit(design, latency_ms, weights))
        self.residuals_ = Residuals(leave_one_out(_fit_predict_line, design, latency_ms, weights), n_params=2)

    def price(self, population: Population) -> FloatArray:
        """Latencies in ms of a whole population from its kernel counts, shape (n,)."""
        self._check_fitted()
        amounts = np.array([self.amount(kernel.workload) for kernel in population.kernels], dtype=np.float64)
        return self.constant_ms_ + self.slope_ * price(population, amounts)

    def _estimate(self, workloads: Sequence[Workload]) -> list[Prediction]:
        half, how = self.residuals_.half_width(self.level)
        totals = row_sums(self._design(workloads), np.array([self.constant_ms_, self.slope_]))
        return [spread(float(total), half, how) for total in totals]

    def state(self) -> dict[str, Any]:
        """See `CostModel`."""
        return {"constant_ms": self.constant_ms_, "slope": self.slope_, "residuals": list(self.residuals_.relative)}

    def restore(self, state: dict[str, Any]) -> None:
        """See `CostModel`."""
        self.constant_ms_, self.slope_ = float(state["constant_ms"]), float(state["slope"])
        self.residuals_ = Residuals(tuple(float(r) for r in state["residuals"]), n_params=2)


class MacsModel(LineModel):
    """A line through multiply-accumulates: the commonest stand-in for latency."""

    name = "macs"
    unit = "multiply-accumulates"

    def amount(self, workload: Workload) -> float:
        """Multiply-accumulates of the operators that run."""
        return workload_features(workload)["macs"]


class ParamsModel(LineModel):
    """A line through the number of parameters."""

    name = "params"
    unit = "parameters"

    def amount(self, workload: Workload) -> float:
        """Parameters of the operators that run."""
        return workload_features(workload)["params"]


class RidgeModel(CostModel):
    """A ridge, no coefficient below zero, on analytic features: a constant, the number of kernels, and the sums over
    these of `EXTENSIVE`.

    Args:
        level: nominal coverage of the intervals.
    """

    name = "ridge"

    def __init__(self, level: float = 0.9) -> None:
        self.level = level

    def _design(self, workloads: Sequence[Workload]) -> FloatArray:
        rows = [_totals(cut(w, self.runtime_, self.precision_)).sum(axis=0) for w in workloads]
        sums = np.array(rows, dtype=np.float64).reshape(len(workloads), 1 + len(EXTENSIVE))
        return np.column_stack([np.ones(len(workloads)), sums])

    def _fit(self, measurements: Measurements) -> None:
        measurements.need_models(self.name, least=4)
        design = self._design([m.workload for m in measurements.models])
        need_variation(self.name, "analytic features", design.sum(axis=1), measurements.target_id)
        latency_ms, weights = measurements.model_latencies_ms, measurements.model_weights
        self.coefficients_ = nonnegative_fit(design, latency_ms, weights, _RIDGE)
        self.residuals_ = Residuals(leave_one_out(_fit_predict_ridge, design, latency_ms, weights), n_params=3)

    def _estimate(self, workloads: Sequence[Workload]) -> list[Prediction]:
        half, how = self.residuals_.half_width(self.level)
        return [spread(float(total), half, how) for total in row_sums(self._design(workloads), self.coefficients_)]

    def price(self, population: Population) -> FloatArray:
        """Latencies in ms of a whole population from its kernel counts, shape (n,)."""
        self._check_fitted()
        sums_ms = price(population, row_sums(_totals(population.kernels), self.coefficients_[1:]))
        return np.asarray(self.coefficients_[0] + sums_ms, dtype=np.float64)

    def state(self) -> dict[str, Any]:
        """See `CostModel`."""
        return {"coefficients": self.coefficients_.tolist(), "residuals": list(self.residuals_.relative)}

    def restore(self, state: dict[str, Any]) -> None:
        """See `CostModel`."""
        coefficients = np.array(state["coefficients"], dtype=np.float64)
        if coefficients.shape != (2 + len(EXTENSIVE),):
            raise ValueError(f"{coefficients.size} coefficients, expected {2 + len(EXTENSIVE)}")
        self.coefficients_ = coefficients
        self.residuals_ = Residuals(tuple(float(r) for r in state["residuals"]), n_params=3)


_RIDGE = 1e-3


def _totals(kernels: Sequence[Kernel]) -> FloatArray:
    """One and the extensive features of each kernel, (n, 1 + len(EXTENSIVE))."""
    columns = [FEATURES.index(name) for name in EXTENSIVE]
    return np.column_stack([np.ones(len(kernels)), feature_matrix(kernels)[:, columns]])


def _fit_predict_ridge(design: FloatArray, latency_ms: FloatArray, weights: FloatArray, held: FloatArray) -> FloatArray:
    return row_sums(held, nonnegative_fit(design, latency_ms, weights, _RIDGE))


class RooflineModel(CostModel):
    """Sum over kernels of dispatch + max(MACs / peak, bytes / bandwidth), the three constants fitted.

    Args:
        level: nominal coverage of the intervals.
    """

    name = "roofline"

    def __init__(self, level: float = 0.9) -> None:
        self.level = level

    def _features(self, workload: Workload) -> FloatArray:
        return feature_matrix(cut(workload, self.runtime_, self.precision_))

    def _fit(self, measurements: Measurements) -> None:
        measurements.need_models(self.name, least=4)
        design = roofline_design([self._features(m.workload) for m in measurements.models])
        need_variation(self.name, "multiply-accumulates and bytes", design.sum(axis=1), measurements.target_id)
        latency_ms, weights = measurements.model_latencies_ms, measurements.model_weights
        self.roofline_ = Roofline()
        self.roofline_.fit_design(design, latency_ms, weights)
        self.residuals_ = Residuals(leave_one_out(_fit_predict_roofline, design, latency_ms, weights), n_params=3)

    def _estimate(self, workloads: Sequence[Workload]) -> list[Prediction]:
        half, how = self.residuals_.half_width(self.level)
        predictions = []
        for workload in workloads:
            kernels = cut(workload, self.runtime_, self.precision_)
            costs = self.roofline_.predict(feature_matrix(kernels))
            parts = tuple(
                PartCost(k.label, k.kind, float(ms), "regressor") for k, ms in zip(kernels, costs, strict=True)
            )
            predictions.append(spread(math.fsum(costs), half, how, parts))
        return predictions

    def price(self, population: Population) -> FloatArray:
        """Latencies in ms of a whole population from its kernel counts, shape (n,)."""
        self._check_fitted()
        return price(population, self.roofline_.predict(feature_matrix(population.kernels)))

    @property
    def peak_gmacs(self) -> float:
        """Fitted peak in 1e9 multiply-accumulates a second; infinite where neither MACs nor bytes were seen to cost."""
        return 1e-6 / self.roofline_.ms_per_mac if self.roofline_.ms_per_mac else math.inf

    @property
    def bandwidth_gb(self) -> float:
        """Fitted bandwidth in GB/s at the target's own bytes a value; infinite where bytes never were the limit."""
        bytes_per_value = 1.0 if self.precision_ == "int8" else 4.0
        return bytes_per_value / 4.0 * 1e-6 / self.roofline_.ms_per_byte if self.roofline_.ms_per_byte else math.inf

    def state(self) -> dict[str, Any]:
        """See `CostModel`."""
        return {**self.roofline_.state(), "residuals": list(self.residuals_.relative)}

    def restore(self, state: dict[str, Any]) -> None:
        """See `CostModel`."""
        self.roofline_ = Roofline()
        self.roofline_.restore(state)
        self.residuals_ = Residuals(tuple(float(r) for r in state["residuals"]), n_params=3)


def _fit_predict_roofline(
    design: FloatArray, latency_ms: FloatArray, weights: FloatArray, held: FloatArray
) -> FloatArray:
    roofline = Roofline()
    roofline.fit_design(design, latency_ms, weights)
    return roofline.predict_design(held)


def spread(total_ms: float, half: float, how: str, parts: tuple[PartCost, ...] = ()) -> Prediction:
    """A prediction whose interval is the relative half-width `half` around its value."""
    # half is relative to the measured value and applied to the predicted one; the difference is of second order
    width = total_ms * half if math.isfinite(half) else math.inf
    return Prediction(total_ms, max(total_ms - width, 0.0), total_ms + width, parts, interval=how)
