"""Which models there are, by name: ours and those that installed packages offer."""

from __future__ import annotations

from predictors.additive import AdditiveModel
from predictors.base import CostModel
from predictors.baselines import MacsModel, ParamsModel, RidgeModel, RooflineModel
from predictors.chosen import ChosenCutModel
from predictors.conformal import ConformalModel
from predictors.energy import EnergyModel
from predictors.lookup import TableModel
from predictors.memory import MemoryModel
from predictors.scikit import Predictor
from profiler.extensions import find_class

__all__ = ["ENTRY_POINTS", "MODELS", "OTHER_COSTS", "find_model", "find_predictor", "standard_models"]

ENTRY_POINTS = "edgecost.predictors"
"""The entry-point group in which another package names its own `CostModel` classes."""

MODELS: dict[str, type[CostModel]] = {
    model.name: model
    for model in (
        AdditiveModel,
        ChosenCutModel,
        TableModel,
        RooflineModel,
        RidgeModel,
        MacsModel,
        ParamsModel,
        ConformalModel,
    )
}
"""Our models of latency by name."""

OTHER_COSTS: dict[str, type[Predictor]] = {model.name: model for model in (EnergyModel, MemoryModel)}
"""Our models of other costs by name."""


def find_predictor(name: str) -> type[Predictor]:
    """A model class of any cost by name.

    Raises:
        ConfigError: as `find_model`.
    """
    return OTHER_COSTS[name] if name in OTHER_COSTS else find_model(name)


def find_model(name: str) -> type[CostModel]:
    """A model class of latency by name, ours first.

    Raises:
        ConfigError: for a name that nobody offers, or an entry point that cannot be loaded or is not a `CostModel`.
    """
    return find_class(name, MODELS, CostModel, ENTRY_POINTS, "cost model")


def standard_models() -> dict[str, CostModel]:
    """Fresh models that are compared with each other in every validation, the best last, the baselines first."""
    return {
        "params": ParamsModel(),
        "macs": MacsModel(),
        "ridge": RidgeModel(),
        "roofline": RooflineModel(),
        "isolated table": TableModel(isolated=True),
        "table": TableModel(),
        "additive": AdditiveModel(),
    }
