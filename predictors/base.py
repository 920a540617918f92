"""CostModel: what every model of cost looks like; Prediction: what each of them answers.

The life of a model, in order:

    model = AdditiveModel()                        # hyper-parameters only
    model.fit(table, "rpi5/onnxruntime-fp32-t1")   # kernel rows and model rows of split "fit", nothing else
    model.predict(workloads)                       # (n,) float64 in ms, NaN where a part has no cost
    model.estimate(workload)                       # one Prediction: value, interval, parts, what is missing

A model is a scikit-learn estimator: whole networks are its samples, and what is measured besides them stays the same.

    base = Measurements.from_table(table, "rpi5/onnxruntime-fp32-t1")
    cross_val_score(AdditiveModel(), base.workloads, base.model_latencies_ms, params={"base": base})

Energy (`energy`) and peak memory (`memory`) have models of the same shape, whose answers are named by their units. To
write one of your own, subclass `CostModel`, implement the four abstract methods (`_fit`, `_estimate`, `state` and
`restore`), and run it through `tests/contracts`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictors.inputs import check_measurements
from predictors.measured import Measurements
from predictors.scikit import Predictor
from profiler.errors import ConfigError
from profiler.fleet.targets import Precision, Target
from profiler.workloads.graph import Workload

if TYPE_CHECKING:
    from predictors.population import Population
    from profiler.tables.table import CostTable
    from profiler.workloads.cuts import Cut

__all__ = ["CostModel", "PartCost", "Prediction", "Source"]

Source = Literal["table", "regressor", "overhead", "missing"]


@dataclass(frozen=True, slots=True)
class PartCost:
    """What one part of a workload adds to its cost.

    Attributes:
        label: what the part is, for people.
        kind: its kind, such as "conv2d 3x3+relu", or "overhead".
        latency_ms: its share in ms; NaN where nothing is known (then `source` is "missing"). A part of source
            "overhead" may be negative: it corrects the sum of the others.
        source: a measured row of the table, a regressor, the fitted overhead, or nothing.
        half_width_ms: half of its interval at the prediction's level (NaN where unknown).
    """

    label: str
    kind: str
    latency_ms: float
    source: Source
    half_width_ms: float = math.nan


@dataclass(frozen=True, slots=True)
class Prediction:
    """A cost with its interval and its parts.

    Attributes:
        latency_ms: the expected latency. Where `missing` is not empty it is a *lower bound*: the sum of the parts
            that are known.
        low_ms, high_ms: the interval at `level`. Infinite `high_ms`: no upper bound is known, because parts are
            missing or because there were too few measurements to tell.
        by_op: the parts, in the order in which they run; empty for models that do not add up parts.
        missing: labels of the parts without any cost; never counted as zero silently.
        level: nominal coverage of the interval.
        interval: in words, what the interval is made of.
        beyond: labels of the parts whose sizes are beyond all that were measured of their sort; the interval is wider
            for them, by a rule of thumb.
    """

    latency_ms: float
    low_ms: float
    high_ms: float
    by_op: tuple[PartCost, ...] = ()
    missing: tuple[str, ...] = ()
    level: float = 0.9
    interval: str = ""
    beyond: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every part has a cost, so that `latency_ms` is an estimate and not a lower bound."""
        return not self.missing

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form; None stands for what is not finite."""

        def number(value: float) -> float | None:
            return value if math.isfinite(value) else None

        return {
            "latency_ms": number(self.latency_ms),
            "low_ms": number(self.low_ms),
            "high_ms": number(self.high_ms),
            "complete": self.complete,
            "missing": list(self.missing),
            "level": self.level,
            "interval": self.interval,
            "beyond": list(self.beyond),
            "by_op": [
                {
                    "label": part.label,
                    "kind": part.kind,
                    "latency_ms": number(part.latency_ms),
                    "half_width_ms": number(part.half_width_ms),
                    "source": part.source,
                }
                for part in self.by_op
            ],
        }


class CostModel(Predictor):
    """A model of the latency of workloads on one target.

    Hyper-parameters are the keyword arguments of `__init__`, stored unchanged under their own names. What `fit`
    learns ends in an underscore.

    Attributes:
        name: short name in tables, reports and saved files; a class attribute of every model.
        target_id_, runtime_, precision_: what it was fitted for.
        measurements_sha256_: hash of the rows it was fitted on.
    """

    level: float

    # ---------------------------------------------------------------- to implement

    @abstractmethod
    def _fit(self, measurements: Measurements) -> None:
        """Learn from one target's measurements; set attributes that end in an underscore.

        Raises:
            UnknownWorkload: where there are too few rows of the sort that it needs.
        """

    @abstractmethod
    def _estimate(self, workloads: Sequence[Workload]) -> list[Prediction]:
        """Predictions in the order of `workloads`; the model is fitted."""

    # ---------------------------------------------------------------- fit and predict

    @overload
    def fit(self, table: CostTable, target_id: str, /) -> Self: ...
    @overload
    def fit(
        self, workloads: Sequence[Workload], latencies_ms: ArrayLike, /, *, base: Measurements | Target
    ) -> Self: ...
    def fit(
        self,
        table: CostTable | Sequence[Workload],
        target_id: str | ArrayLike,
        *,
        base: Measurements | Target | None = None,
    ) -> Self:
        """Learn from the table's kernel rows and its model rows of split "fit"; or from whole networks and their
        latencies in ms, in place of those model rows.

        Args:
            table: holds the target; or n whole networks.
            target_id: one of its targets; or (n,) latencies of the networks.
            base: with networks: what they were measured on, or all that was measured there, of which the kernels are
                used.

        Raises:
            UnknownWorkload: where the table lacks the target, or there are too few rows of the sort that the model
                needs.
            ConfigError: networks without `base`, or figures that nothing can be learned from.
        """
        if isinstance(target_id, str):
            return self.fit_measurements(Measurements.from_table(cast("CostTable", table), target_id))
        if base is None:
            raise ConfigError(
                f"{type(self).__name__} was given networks and latencies, and not what they were measured on; add "
                'base=Measurements.from_table(table, target_id), in cross_val_score as params={"base": ...}'
            )
        networks = list(cast("Sequence[Workload]", table))
        return self.fit_measurements(Measurements.of_networks(networks, target_id, base))

    def fit_measurements(self, measurements: Measurements) -> Self:
        """The same from rows already read, so that several models share the reading.

        Raises:
            UnknownWorkload, ConfigError: as `fit`.
        """
        check_measurements(measurements)
        self._set_target(measurements.target_id, measurements.runtime, measurements.precision)
        self._fit(measurements)
        self.measurements_sha256_ = measurements.sha256
        return self

    def predict(self, workloads: Sequence[Workload]) -> NDArray[np.float64]:
        """Latencies in ms, shape (n,); NaN where any part of a workload has no cost.

        Raises:
            ConfigError: before `fit`.
        """
        self._check_fitted()
        values = [p.latency_ms if p.complete else math.nan for p in self._estimate(list(workloads))]
        return np.array(values, dtype=np.float64)

    def estimate(self, workload: Workload) -> Prediction:
        """One workload's latency with interval, parts and what is missing.

        Raises:
            ConfigError: before `fit`.
        """
        return self.estimate_many([workload])[0]

    def estimate_many(self, workloads: Sequence[Workload]) -> list[Prediction]:
        """`estimate` for several workloads at once, which is faster than one by one."""
        self._check_fitted()
        return [replace(p, level=self.level) for p in self._estimate(list(workloads))]

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """The cuts under which `price` has to be given a population for it to say what `predict` says."""
        return ("fused",)

    def price(self, population: Population) -> NDArray[np.float64]:
        """Latencies in ms of a whole population from its kernel counts, shape (n,), NaN where a cost is missing.

        Raises:
            ConfigError: for a model that goes by other things than kernels.
        """
        raise ConfigError(f"the {self.name} model does not go by kernels; hand its networks to predict")

    def _set_target(self, target_id: str, runtime: str, precision: str) -> None:
        self.target_id_ = target_id
        self.runtime_ = runtime
        self.precision_ = cast(Precision, precision)
