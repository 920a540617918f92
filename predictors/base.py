"""CostModel: what every model of cost looks like; Prediction: what each of them answers.

The life of a model, in order:

    model = AdditiveModel()                        # hyper-parameters only
    model.fit(table, "rpi5/onnxruntime-fp32-t1")   # kernel rows and model rows of split "fit", nothing else
    model.predict(workloads)                       # (n,) float64 in ms, NaN where a part has no cost
    model.estimate(workload)                       # one Prediction: value, interval, parts, what is missing

A model is shaped like a scikit-learn estimator, so that `sklearn.base.clone` and its kin work on it. To write one of
your own, subclass `CostModel`, implement the four abstract methods, and run it through `tests/contracts`.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from predictors.measured import Measurements
from profiler.errors import ConfigError
from profiler.fleet.plugins import is_known
from profiler.fleet.targets import PRECISIONS, Precision, Runtime
from profiler.workloads.graph import Workload

if TYPE_CHECKING:
    from profiler.tables.table import CostTable

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
    """

    latency_ms: float
    low_ms: float
    high_ms: float
    by_op: tuple[PartCost, ...] = ()
    missing: tuple[str, ...] = ()
    level: float = 0.9
    interval: str = ""

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


class CostModel(ABC):
    """A model of the latency of workloads on one target.

    Hyper-parameters are the keyword arguments of `__init__`, stored unchanged under their own names. What `fit`
    learns ends in an underscore.

    Attributes:
        name: short name in tables, reports and saved files; a class attribute of every model.
        target_id_, runtime_, precision_: what it was fitted for.
        measurements_sha256_: hash of the rows it was fitted on.
    """

    name: ClassVar[str]
    level: float
    target_id_: str
    runtime_: Runtime
    precision_: Precision
    measurements_sha256_: str

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

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that `_fit` learned, as JSON-able values (floats exactly, no NaN)."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Set what `state` returned."""

    # ---------------------------------------------------------------- fit and predict

    def fit(self, table: CostTable, target_id: str) -> Self:
        """Learn from the table's kernel rows and its model rows of split "fit".

        Raises:
            UnknownWorkload: where the table lacks the target, or the rows that the model needs.
        """
        return self.fit_measurements(Measurements.from_table(table, target_id))

    def fit_measurements(self, measurements: Measurements) -> Self:
        """The same from rows already read, so that several models share the reading."""
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
    def fitted(self) -> bool:
        """Whether `fit` has been called."""
        return hasattr(self, "measurements_sha256_")

    # ---------------------------------------------------------------- scikit-learn's shape

    @classmethod
    def _param_names(cls) -> list[str]:
        parameters = inspect.signature(cls.__init__).parameters
        return sorted(p for p in parameters if p != "self" and parameters[p].kind is not inspect.Parameter.VAR_KEYWORD)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Hyper-parameters by name."""
        return {name: getattr(self, name) for name in self._param_names()}

    def set_params(self, **params: Any) -> Self:
        """Change hyper-parameters; they take effect at the next `fit`.

        Raises:
            ConfigError: for a name that the model does not have.
        """
        known = self._param_names()
        for name, value in params.items():
            if name not in known:
                raise ConfigError(f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        params = ", ".join(f"{k}={v!r}" for k, v in self.get_params().items())
        return f"{type(self).__name__}({params})"

    # ---------------------------------------------------------------- plain values

    def to_dict(self) -> dict[str, Any]:
        """The fitted model as JSON-able values; `from_dict` reads it back.

        Raises:
            ConfigError: before `fit`.
        """
        self._check_fitted()
        return {
            "model": self.name,
            "params": self.get_params(),
            "target_id": self.target_id_,
            "runtime": self.runtime_,
            "precision": self.precision_,
            "measurements_sha256": self.measurements_sha256_,
            "state": self.state(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """A fitted model out of what `to_dict` returned.

        Raises:
            ConfigError: where the data is not of this model.
        """
        try:
            if not is_known(str(data["runtime"])) or data["precision"] not in PRECISIONS:
                raise ConfigError(f"unknown runtime {data['runtime']!r} or precision {data['precision']!r}")
            model = cls(**data["params"])
            model._set_target(str(data["target_id"]), data["runtime"], data["precision"])
            model.restore(data["state"])
            model.measurements_sha256_ = str(data["measurements_sha256"])
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a saved {cls.name!r} model: {error!r}") from None
        return model

    def _set_target(self, target_id: str, runtime: str, precision: str) -> None:
        self.target_id_ = target_id
        self.runtime_ = runtime
        self.precision_ = cast(Precision, precision)

    def _check_fitted(self) -> None:
        if not self.fitted:
            raise ConfigError(f"{type(self).__name__} is not fitted yet; call fit(table, target_id) first")
