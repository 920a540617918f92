"""Which models there are, by name: ours and those that installed packages offer."""

from __future__ import annotations

from predictors.additive import AdditiveModel
from predictors.base import CostModel
from predictors.baselines import MacsModel, ParamsModel, RidgeModel, RooflineModel
from predictors.chosen import ChosenCutModel
from predictors.conformal import ConformalModel
from predictors.energy import EnergyModel
from predictors.lookup import TableModel
from predictors.measured import Measurements
from predictors.memory import MemoryModel
from predictors.scikit import Predictor
from profiler.extensions import find_class

__all__ = ["ENTRY_POINTS", "ISOLATED_MODEL", "MODELS", "OTHER_COSTS", "find_model", "find_predictor", "standard_models"]

ISOLATED_MODEL = "isolated table"
"""The sum of kernels that were run alone, by name."""

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


def standard_models(measurements: Measurements | None = None) -> dict[str, CostModel]:
    """Fresh models that are compared with each other in every validation, the best last, the baselines first.

    Args:
        measurements: what they will be fitted to; the table of isolated kernels is left out where none ran alone.
    """
    models: dict[str, CostModel] = {
        "params": ParamsModel(),
        "macs": MacsModel(),
        "ridge": RidgeModel(),
        "roofline": RooflineModel(),
        ISOLATED_MODEL: TableModel(isolated=True),
        "table": TableModel(),
        "additive": AdditiveModel(),
    }
    if measurements is not None and not any(kernel.isolated_ms is not None for kernel in measurements.kernels):
        del models[ISOLATED_MODEL]
    return models
