from __future__ import annotations

from predictors.additive import AdditiveModel
from predictors.base import CostModel
from predictors.baselines import MacsModel, ParamsModel, RidgeModel, RooflineModel
from predictors.chosen import ChosenCutModel
from predictors.conformal import ConformalModel
from predictors.lookup import TableModel
from predictors.models import MODELS
from tests.contracts.cost_model import CostModelContract, held_out, table
from tests.plugins.mean_predictor import MeanModel

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


class TestRidge(CostModelContract):
    def make(self) -> CostModel:
        return RidgeModel()


class TestRoofline(CostModelContract):
    def make(self) -> CostModel:
        return RooflineModel()


class TestMacs(CostModelContract):
    def make(self) -> CostModel:
        return MacsModel()


class TestParams(CostModelContract):
    def make(self) -> CostModel:
        return ParamsModel()


class TestConformal(CostModelContract):
    def make(self) -> CostModel:
        return ConformalModel(folds=2)


class TestStranger(CostModelContract):
    # files name models; `test_predictors` finds an installed stranger from another process
    test_another_process_predicts_the_same = None  # type: ignore[assignment]

    def make(self) -> CostModel:
        return MeanModel()


def test_every_registered_model_is_run_through_the_contract() -> None:
    made = {type(c().make()) for c in CostModelContract.__subclasses__()}
    assert made >= set(MODELS.values())
