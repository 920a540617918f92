"""Models of another cost than latency that are made of a model of latency: it is handed that cost in place of ms.

A model of latency adds parts up and fits an overhead, and none of that asks what the cost is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictors.base import CostModel
from predictors.measured import Measurements
from predictors.recipes import fresh_copy, plain_recipe, recipe_of_plain
from predictors.scikit import Predictor
from profiler.fleet.targets import Target
from profiler.workloads.graph import Workload

if TYPE_CHECKING:
    from predictors.population import Population
    from profiler.tables.table import CostTable
    from profiler.workloads.cuts import Cut

__all__ = ["WrappedModel"]


class WrappedModel(Predictor):
    """A predictor whose work another one does.

    Args:
        model: what adds the costs up; None for an `AdditiveModel`. It is a recipe: `fit` fits a copy of it.
    """

    def __init__(self, model: CostModel | None = None) -> None:
        self.model = model

    @abstractmethod
    def _read(self, table: CostTable, target_id: str) -> Measurements:
        """One target's costs as a model of latency takes them, in their own unit where it says ms."""

    def fit(
        self,
        table: CostTable | Sequence[Workload],
        target_id: str | ArrayLike,
        *,
        base: Measurements | Target | None = None,
    ) -> Self:
        """As `CostModel.fit`, in the unit of this cost.

        Raises:
            UnknownWorkload, ConfigError: as `CostModel.fit`.
        """
        inner = fresh_copy(self.model)
        if isinstance(target_id, str):
            inner.fit_measurements(self._read(cast("CostTable", table), target_id))
        else:
            inner.fit(cast("Sequence[Workload]", table), target_id, base=base)  # type: ignore[arg-type]
        self._take(inner)
        return self

    def predict(self, workloads: Sequence[Workload]) -> NDArray[np.float64]:
        """Values in the unit of the cost, shape (n,); NaN where any part of a workload has none.

        Raises:
            ConfigError: before `fit`.
        """
        self._check_fitted()
        return self._inner.predict(workloads)

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """As `CostModel.cuts`.

        Raises:
            ConfigError: before `fit`.
        """
        self._check_fitted()
        return self._inner.cuts

    def price(self, population: Population) -> NDArray[np.float64]:
        """As `CostModel.price`, in the unit of the cost.

        Raises:
            ConfigError: before `fit`, and as `CostModel.price`.
        """
        self._check_fitted()
        return self._inner.price(population)

    def plain_params(self) -> dict[str, Any]:
        """The recipe by its name and parameters."""
        return {"model": plain_recipe(self.model)}

    @classmethod
    def _of_plain(cls, params: dict[str, Any]) -> Self:
        return cls(recipe_of_plain(params["model"]))

    def state(self) -> dict[str, Any]:
        """The fitted copy."""
        return {"model": self._inner.to_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Set what `state` returned."""
        from predictors.models import find_model

        found = state["model"]
        self._take(find_model(str(found["model"])).from_dict(found))

    def _take(self, inner: CostModel) -> None:
        self._inner = inner
        self.target_id_, self.runtime_, self.precision_ = inner.target_id_, inner.runtime_, inner.precision_
        self.measurements_sha256_ = inner.measurements_sha256_
