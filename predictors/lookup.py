"""Costs of kernels looked up in a table, added up; and the sum of nothing else as a model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.base import CostModel, PartCost, Prediction, Source
from predictors.intervals import normal_quantile, quadrature
from predictors.kernel import KernelEstimate, KernelRegressor
from predictors.measured import KernelPoint, Measurements
from predictors.population import Population, price
from predictors.regressors import UNSURE
from profiler.errors import UnknownWorkload
from profiler.workloads.fusion import Kernel, cut
from profiler.workloads.graph import Workload

__all__ = ["KernelCosts", "KernelSum", "TableModel", "add_up"]

TABLE = "table"


class KernelCosts:
    """What each kernel costs: its row in the table first, then a regressor where there is one."""

    def __init__(self, rows: Mapping[str, tuple[float, float]], regressor: KernelRegressor | None = None) -> None:
        self.rows = dict(rows)
        self.regressor = regressor

    @classmethod
    def of(cls, points: Iterable[KernelPoint], isolated: bool = False) -> KernelCosts:
        """From measured kernels: their marginal costs, or the costs of running each alone."""
        found = (point.alone if isolated else point for point in points)
        return cls({point.key: (point.latency_ms, point.sd_ms) for point in found if point is not None})

    def temper(self, points: Iterable[KernelPoint]) -> None:
        """Move rows that are uncertain by more than `UNSURE` of their value towards what the regressor says of such
        kernels without them, each counting by its own uncertainty (the mean of least variance).

        Of a cheap kernel that was timed beside a dear one little more than the order of magnitude is known.
        """
        without = {} if self.regressor is None else self.regressor.without
        for point in points:
            said = without.get(point.key)
            if said is None or said[1] <= 0.0 or point.doubt_ms <= UNSURE * point.latency_ms:
                continue
            own, other = point.doubt_ms**-2, said[1] ** -2
            value = (own * point.latency_ms + other * said[0]) / (own + other)
            self.rows[point.key] = (value, (own + other) ** -0.5)

    def resolve(self, kernels: Iterable[Kernel]) -> dict[str, KernelEstimate]:
        """Estimates by kernel key; kernels that nothing is known about are absent."""
        found: dict[str, KernelEstimate] = {}
        unknown: dict[str, Kernel] = {}
        for kernel in kernels:
            row = self.rows.get(kernel.key)
            if row is not None:
                found[kernel.key] = KernelEstimate(*row, TABLE)
            else:
                unknown[kernel.key] = kernel
        if self.regressor is not None and unknown:
            estimates = self.regressor.estimate(list(unknown.values()))
            found.update((key, e) for key, e in zip(unknown, estimates, strict=True) if e is not None)
        return found

    def costs_ms(self, kernels: Sequence[Kernel]) -> NDArray[np.float64]:
        """Shape (n,), NaN where nothing is known."""
        found = self.resolve(kernels)
        return np.array([found[k.key].latency_ms if k.key in found else math.nan for k in kernels], dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form that `from_dict` reads back."""
        regressor = self.regressor.to_dict() if self.regressor is not None else None
        return {"rows": {key: list(row) for key, row in sorted(self.rows.items())}, "regressor": regressor}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> KernelCosts:
        """Read what `to_dict` wrote."""
        rows = {str(key): (float(ms), float(sd)) for key, (ms, sd) in data["rows"].items()}
        regressor = KernelRegressor().restore(data["regressor"]) if data["regressor"] is not None else None
        return cls(rows, regressor)


@dataclass(frozen=True, slots=True)
class KernelSum:
    """A workload's kernels added up: the known part, its standard deviation, the parts, what is missing, and which of
    the estimated ones are of sizes beyond all that were measured."""

    latency_ms: float
    sd_ms: float
    parts: tuple[PartCost, ...]
    missing: tuple[str, ...]
    beyond: tuple[str, ...] = ()

    @property
    def n_kernels(self) -> int:
        """How many kernels the workload runs, with and without a cost."""
        return len(self.parts)


def add_up(kernels: Sequence[Kernel], found: Mapping[str, KernelEstimate], level: float) -> KernelSum:
    """Add up the kernels of one workload.

    Measured kernels err independently of each other, but one that occurs n times errs n times the same way; kernels
    estimated by one regressor all err together.
    """
    errors: defaultdict[str, float] = defaultdict(float)
    parts: list[PartCost] = []
    missing: list[str] = []
    beyond: list[str] = []
    quantile = normal_quantile(level)
    for kernel in kernels:
        label, estimate = kernel.label, found.get(kernel.key)
        if estimate is None:
            missing.append(label)
            parts.append(PartCost(label, kernel.kind, math.nan, "missing"))
            continue
        measured = estimate.source == TABLE
        if estimate.beyond > 0.0:
            beyond.append(label)
        errors[kernel.key if measured else estimate.source] += estimate.sd_ms
        source: Source = "table" if measured else "regressor"
        parts.append(PartCost(label, kernel.kind, estimate.latency_ms, source, quantile * estimate.sd_ms))
    total = math.fsum(p.latency_ms for p in parts if p.source != "missing")
    return KernelSum(total, quadrature(list(errors.values())), tuple(parts), tuple(missing), tuple(beyond))


class TableModel(CostModel):
    """The sum of a workload's kernels in the table and nothing else: no overhead, no regressor.

    Args:
        isolated: add up the costs of running each kernel alone, as tables of isolated operators do. It shows how
            far such a table is off (measured elsewhere: 1.2 to 3.6 times too much an operator).
        level: nominal coverage of the intervals, which hold the noise of the kernels alone.
    """

    name = "table"

    def __init__(self, isolated: bool = False, level: float = 0.9) -> None:
        self.isolated = isolated
        self.level = level

    def _fit(self, measurements: Measurements) -> None:
        self.costs_ = KernelCosts.of(measurements.kernels, self.isolated)
        if not self.costs_.rows:
            raise UnknownWorkload(
                f"the table model needs a kernel measured on {measurements.target_id} and the table has none; measure "
                f"those of a space with `edgecost profile --target {measurements.target_id} --space nasbench201`, or "
                "those of a file with --model FILE.onnx"
            )

    def _estimate(self, workloads: Sequence[Workload]) -> list[Prediction]:
        cuts = [cut(w, self.runtime_, self.precision_) for w in workloads]
        found = self.costs_.resolve({k.key: k for kernels in cuts for k in kernels}.values())
        return [self._prediction(add_up(kernels, found, self.level)) for kernels in cuts]

    def _prediction(self, total: KernelSum) -> Prediction:
        half = normal_quantile(self.level) * total.sd_ms
        return Prediction(
            total.latency_ms,
            max(total.latency_ms - half, 0.0),
            math.inf if total.missing else total.latency_ms + half,
            total.parts,
            total.missing,
            interval="noise of the kernels alone, without the error of adding them up",
        )

    def price(self, population: Population) -> NDArray[np.float64]:
        """Latencies in ms of a whole population from its kernel counts, shape (n,), NaN where a cost is missing."""
        self._check_fitted()
        return price(population, self.costs_.costs_ms(population.kernels))

    def state(self) -> dict[str, Any]:
        """See `CostModel`."""
        return self.costs_.to_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """See `CostModel`."""
        self.costs_ = KernelCosts.from_dict(state)
