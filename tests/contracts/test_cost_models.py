from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from predictors.additive import AdditiveModel
from predictors.base import CostModel, Prediction
from predictors.baselines import MacsModel, ParamsModel, RooflineModel
from predictors.chosen import ChosenCutModel
from predictors.lookup import TableModel
from predictors.measured import Measurements
from predictors.models import MODELS
from profiler.workloads.graph import Workload
from tests.contracts.cost_model import CostModelContract, held_out, table

__all__ = ["held_out", "table"]


class TestAdditive(CostModelContract):
    def make(self) -> CostModel:
        return AdditiveModel()


class TestAdditiveWithoutRegressors(CostModelContract):
    def make(self) -> CostModel:
        return AdditiveModel(regressors=False, overhead="constant")


class TestChosenCut(CostModelContract):
    def make(self) -> CostModel:
        return ChosenCutModel("fused", "alone")


class TestTable(CostModelContract):
    def make(self) -> CostModel:
        return TableModel()


class TestIsolatedTable(CostModelContract):
    def make(self) -> CostModel:
        return TableModel(isolated=True)


class TestRoofline(CostModelContract):
    def make(self) -> CostModel:
        return RooflineModel()


class TestMacs(CostModelContract):
    def make(self) -> CostModel:
        return MacsModel()


class TestParams(CostModelContract):
    def make(self) -> CostModel:
        return ParamsModel()


class MeanModel(CostModel):
    """A stranger's model, as short as one can be: every workload costs what the average one did."""

    name = "mean"

    def __init__(self, level: float = 0.9) -> None:
        self.level = level

    def _fit(self, measurements: Measurements) -> None:
        measurements.need_models(self.name)
        self.mean_ms_ = sum(m.latency_ms for m in measurements.models) / len(measurements.models)

    def _estimate(self, workloads: Sequence[Workload]) -> list[Prediction]:
        half = self.level * self.mean_ms_
        low, high = self.mean_ms_ - half, self.mean_ms_ + half
        return [Prediction(self.mean_ms_, low, high, interval="made up") for _ in workloads]

    def state(self) -> dict[str, Any]:
        return {"mean_ms": self.mean_ms_}

    def restore(self, state: dict[str, Any]) -> None:
        self.mean_ms_ = float(state["mean_ms"])


class TestStranger(CostModelContract):
    # files name models, and only registered ones can be found from another process
    test_another_process_predicts_the_same = None  # type: ignore[assignment]

    def make(self) -> CostModel:
        return MeanModel()


def test_every_registered_model_is_run_through_the_contract() -> None:
    made = {type(c().make()) for c in CostModelContract.__subclasses__()}
    assert made >= set(MODELS.values())
