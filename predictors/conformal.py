"""Conformal intervals on top of any predictor.

    model = ConformalModel(RooflineModel()).fit(table, target_id)
    model.estimate(workload)            # the roofline's value; the interval from networks that it had not seen

CV+ (Barber et al. 2021, "Predictive inference with the jackknife+") with one pooled quantile: the predictor is fitted
without each fold of whole networks, copies staying together. How far the fold lies from its predictions, in units of
the half-widths that the predictor gives itself, is the factor by which these are stretched. A predictor that knows
where it is unsure stays wider there; one that gives no width is taken to err in proportion to its value. The interval
holds for networks that are like those fitted on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from predictors.base import CostModel, Prediction
from predictors.classes import classes_of, folds_by_class
from predictors.intervals import conformal_quantile
from predictors.measured import MIN_FIT_MODELS, Measurements
from predictors.population import Population
from predictors.recipes import fresh_copy, plain_recipe, recipe_of_plain
from profiler.errors import ConfigError
from profiler.workloads.cuts import Cut
from profiler.workloads.graph import Workload

__all__ = ["ConformalModel"]


class ConformalModel(CostModel):
    """Another model's predictions with intervals that hold as many networks as they say.

    Args:
        model: a recipe, of which `fit` fits copies; None for an `AdditiveModel`.
        folds: of the cross-validation; as many as there are classes of networks, where those are fewer.
        seed: of the folds.
        level: nominal coverage.

    Attributes:
        scores_: distances of networks from their predictions, in half-widths, sorted.
        relative_: whether half-widths are those of the model's values, since it gave no others.
    """

    name = "conformal"

    def __init__(self, model: CostModel | None = None, folds: int = 10, seed: int = 0, level: float = 0.9) -> None:
        self.model = model
        self.folds = folds
        self.seed = seed
        self.level = level

    def _fit(self, measurements: Measurements) -> None:
        if self.folds < 2:
            raise ConfigError(f"a conformal interval needs 2 folds at least, not {self.folds}")
        points = measurements.models
        classes = classes_of([m.workload for m in points], measurements.runtime, measurements.precision)
        measurements.need_models(self.name, MIN_FIT_MODELS + -(-len(points) // max(2, self.folds)))
        fold = folds_by_class(classes, self.folds, np.random.default_rng(self.seed))
        answers: list[tuple[Prediction, float]] = []
        for held in range(int(fold.max()) + 1):
            kept = tuple(m for m, f in zip(points, fold, strict=True) if f != held)
            out = [m for m, f in zip(points, fold, strict=True) if f == held]
            fitted = fresh_copy(self.model).fit_measurements(replace(measurements, models=kept))
            found = fitted.estimate_many([m.workload for m in out])
            answers += [(p, m.latency_ms) for p, m in zip(found, out, strict=True) if p.complete]
        self.relative_ = any(not _width(p) for p, _ in answers)
        scores = (abs(ms - p.latency_ms) / (p.latency_ms if self.relative_ else _width(p)) for p, ms in answers)
        self.scores_ = tuple(sorted(float(score) for score in scores))
        self.inner_ = fresh_copy(self.model).fit_measurements(measurements)

    def _estimate(self, workloads: Sequence[Workload]) -> list[Prediction]:
        factor = conformal_quantile(self.scores_, self.level)
        return [self._stretched(p, factor) for p in self.inner_.estimate_many(workloads)]

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """See `CostModel`: those of the other model."""
        self._check_fitted()
        return self.inner_.cuts

    def price(self, population: Population) -> NDArray[np.float64]:
        """See `CostModel`: the intervals are this model's, the values those of the other."""
        self._check_fitted()
        return self.inner_.price(population)

    def _stretched(self, prediction: Prediction, factor: float) -> Prediction:
        width = prediction.latency_ms if self.relative_ else _width(prediction) or math.inf
        half = factor * width
        return replace(
            prediction,
            low_ms=max(prediction.latency_ms - half, 0.0),
            high_ms=prediction.latency_ms + half if prediction.complete else math.inf,
            interval=f"conformal over {len(self.scores_)} fit models, each predicted without its fold",
        )

    def plain_params(self) -> dict[str, Any]:
        """Parameters, the recipe by its name and its own."""
        return {"model": plain_recipe(self.model), "folds": self.folds, "seed": self.seed, "level": self.level}

    @classmethod
    def _of_plain(cls, params: dict[str, Any]) -> Self:
        return cls(**{**params, "model": recipe_of_plain(params["model"])})

    def state(self) -> dict[str, Any]:
        """See `CostModel`."""
        return {"scores": list(self.scores_), "relative": self.relative_, "inner": self.inner_.to_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """See `CostModel`."""
        from predictors.models import find_model

        self.scores_ = tuple(float(score) for score in state["scores"])
        self.relative_ = bool(state["relative"])
        self.inner_ = find_model(str(state["inner"]["model"])).from_dict(state["inner"])


def _width(prediction: Prediction) -> float:
    """Half of the interval that a model gives itself; 0 where it gives none."""
    width = prediction.high_ms - prediction.latency_ms
    return width if math.isfinite(width) and width > 0.0 else 0.0
