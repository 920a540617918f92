"""What all predictors have in common: the shape of a scikit-learn estimator, and a form of plain values.

scikit-learn's part is written out here, because importing it takes longer than most predictions.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from profiler.errors import ConfigError
from profiler.fleet.plugins import is_known
from profiler.fleet.targets import PRECISIONS, Precision, Runtime
from profiler.workloads.graph import Workload

__all__ = ["Predictor", "ScikitShaped"]


class ScikitShaped:
    """An estimator whose hyper-parameters are the keyword arguments of `__init__`, stored unchanged under their names.

    `sklearn.base.clone`, `sklearn.model_selection.cross_val_score` and `GridSearchCV` take it as it is. A parameter
    that is an estimator itself has parameters of its own, written "model__level".
    """

    _estimator_type = "regressor"  # how scikit-learn before 1.6 asks

    @classmethod
    def _param_names(cls) -> list[str]:
        parameters = inspect.signature(cls.__init__).parameters
        return sorted(p for p in parameters if p != "self" and parameters[p].kind is not inspect.Parameter.VAR_KEYWORD)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Hyper-parameters by name; with `deep` also those of parameters that are estimators."""
        params = {name: getattr(self, name) for name in self._param_names()}
        if deep:
            for name, value in list(params.items()):
                if isinstance(value, ScikitShaped):
                    params |= {f"{name}__{inner}": found for inner, found in value.get_params().items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Change hyper-parameters; they take effect at the next `fit`.

        Raises:
            ConfigError: for a name that the estimator does not have.
        """
        known = self._param_names()
        for name, value in params.items():
            own, _, inner = name.partition("__")
            nested = getattr(self, own, None) if inner else None
            if own not in known or (inner and not isinstance(nested, ScikitShaped)):
                raise ConfigError(f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}")
            if isinstance(nested, ScikitShaped):
                nested.set_params(**{inner: value})
            else:
                setattr(self, own, value)
        return self

    def score(self, workloads: Sequence[Workload], values: ArrayLike) -> float:
        """The coefficient of determination R^2 of the predictions, as scikit-learn's regressors have it.

        NaN where a workload has no prediction, or all measured values are equal.

        Args:
            workloads: n of them.
            values: (n,) measured, in the unit of `predict`.
        """
        measured = np.asarray(values, dtype=np.float64)
        residual = float(np.square(measured - self.predict(workloads)).sum())
        total = float(np.square(measured - measured.mean()).sum()) if measured.size else 0.0
        return 1.0 - residual / total if total > 0.0 and math.isfinite(residual) else math.nan

    def predict(self, workloads: Sequence[Workload]) -> NDArray[np.float64]:
        """(n,) predictions; NaN where there is none."""
        raise NotImplementedError

    def __repr__(self) -> str:
        params = ", ".join(f"{k}={v!r}" for k, v in self.get_params(deep=False).items())
        return f"{type(self).__name__}({params})"

    def __sklearn_tags__(self) -> Any:
        """How scikit-learn from 1.6 on asks what this is."""
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

        return Tags(
            estimator_type="regressor",
            target_tags=TargetTags(required=True),
            regressor_tags=RegressorTags(),
            input_tags=InputTags(two_d_array=False),
        )


class Predictor(ScikitShaped, ABC):
    """A model of one cost of workloads on one target: latency, energy or peak memory.

    Whatever the cost, `fit(table, target_id)` learns from a table and `fit(workloads, values, base=...)` from whole
    networks; `predict` gives (n,) values, NaN where a part has none; `estimate` one value with its interval, its parts
    and what is missing. What `fit` learns ends in an underscore.

    Attributes:
        name: short name in tables, reports and saved files; a class attribute of every model.
        target_id_, runtime_, precision_: what it was fitted for.
        measurements_sha256_: hash of the rows it was fitted on.
    """

    name: ClassVar[str]
    target_id_: str
    runtime_: Runtime
    precision_: Precision
    measurements_sha256_: str

    @abstractmethod
    def predict(self, workloads: Sequence[Workload]) -> NDArray[np.float64]:
        """(n,) values; NaN where any part of a workload has none. ConfigError before `fit`."""

    @abstractmethod
    def estimate(self, workload: Workload) -> Any:
        """One workload's value with interval, parts and what is missing. ConfigError before `fit`."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that `fit` learned, as JSON-able values (floats exactly, no NaN)."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Set what `state` returned."""

    @property
    def fitted(self) -> bool:
        """Whether `fit` has been called."""
        return hasattr(self, "measurements_sha256_")

    def to_dict(self) -> dict[str, Any]:
        """The fitted model as JSON-able values; `from_dict` reads it back.

        Raises:
            ConfigError: before `fit`.
        """
        self._check_fitted()
        return {
            "model": self.name,
            "params": self.plain_params(),
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
            model = cls._of_plain(data["params"])
            model.target_id_ = str(data["target_id"])
            model.runtime_, model.precision_ = data["runtime"], cast(Precision, data["precision"])
            model.restore(data["state"])
            model.measurements_sha256_ = str(data["measurements_sha256"])
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a saved {cls.name!r} model: {error!r}") from None
        return model

    def plain_params(self) -> dict[str, Any]:
        """Hyper-parameters as JSON-able values."""
        return self.get_params(deep=False)

    @classmethod
    def _of_plain(cls, params: dict[str, Any]) -> Self:
        """A fresh model out of what `plain_params` returned."""
        return cls(**params)

    def _check_fitted(self) -> None:
        if not self.fitted:
            raise ConfigError(f"{type(self).__name__} is not fitted yet; call fit(table, target_id) first")
