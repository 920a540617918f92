"""The contract of predictors, kept by every model of ours, of whatever cost, and by a stranger's."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from predictors.additive import AdditiveModel
from predictors.baselines import MacsModel, ParamsModel, RidgeModel, RooflineModel
from predictors.chosen import ChosenCutModel
from predictors.conformal import ConformalModel
from predictors.energy import EnergyModel, energies_of
from predictors.lookup import TableModel
from predictors.memory import MemoryModel
from predictors.models import MODELS, OTHER_COSTS, find_model
from predictors.population import count_matrix
from predictors.scikit import Predictor
from profiler.errors import ConfigError, UnknownWorkload
from profiler.tables.table import CostTable
from profiler.workloads.graph import Workload
from tests.contracts.cost_model import held_out, table
from tests.contracts.predictor import PredictorContract, Samples
from tests.contracts.simulated_target import TARGET
from tests.plugins import mean_predictor

__all__ = ["held_out", "table"]


class TestAdditive(PredictorContract):
    def make(self) -> Predictor:
        return AdditiveModel()


class TestChosenCut(PredictorContract):
    def make(self) -> Predictor:
        return ChosenCutModel("fused", "alone")


class TestConformal(PredictorContract):
    def make(self) -> Predictor:
        return ConformalModel()


class TestTable(PredictorContract):
    def make(self) -> Predictor:
        return TableModel()


class TestRidge(PredictorContract):
    def make(self) -> Predictor:
        return RidgeModel()


class TestRoofline(PredictorContract):
    def make(self) -> Predictor:
        return RooflineModel()


class TestMacs(PredictorContract):
    def make(self) -> Predictor:
        return MacsModel()


class TestParams(PredictorContract):
    def make(self) -> Predictor:
        return ParamsModel()


def with_energies(table: CostTable) -> CostTable:
    """Every row draws two watts, with its own uncertainty."""
    rows = [
        replace(r, energy_mj=2.0 * r.latency_ns / 1e6, energy_u_mj=0.02 * r.latency_ns / 1e6, energy_scope="module-in")
        for r in table.all_rows
    ]
    return CostTable(rows, table.workloads, table.targets)


class TestEnergy(PredictorContract):
    value, low, high = "energy_mj", "low_mj", "high_mj"

    def make(self) -> Predictor:
        return EnergyModel(AdditiveModel(overhead="constant"))

    def prepare(self, table: CostTable) -> CostTable:
        return with_energies(table)

    def samples_of(self, table: CostTable) -> Samples:
        base, _ = energies_of(table, TARGET.id)
        return Samples(base.workloads, base.model_latencies_ms, base)

    def test_a_table_without_energies_says_how_to_measure_them(self, table: CostTable) -> None:
        with pytest.raises(UnknownWorkload, match="no energy of any kernel.*profile --energy"):
            self.make().fit(table, TARGET.id)

    def test_the_scope_stays_with_a_saved_model(self, fitted: EnergyModel) -> None:
        assert fitted.scope_ == "module-in"
        assert EnergyModel.from_dict(fitted.to_dict()).scope_ == "module-in"

    def test_energies_of_two_scopes_are_refused(self, own: CostTable) -> None:
        first, *others = own.all_rows
        with pytest.raises(ConfigError, match="several scopes"):
            CostTable([replace(first, energy_scope="wall"), *others], own.workloads, own.targets)


class TestEnergyByDefault(TestEnergy):
    def make(self) -> Predictor:
        return EnergyModel()

    # the parameter is None until a model is given, so there is no level to choose
    test_a_search_over_parameters_works = None  # type: ignore[assignment]


class TestMemory(PredictorContract):
    value, low, high = "peak_bytes", "low_bytes", "high_bytes"
    needs_rows = False

    def make(self) -> Predictor:
        return MemoryModel()

    def samples_of(self, table: CostTable) -> Samples:
        """Peaks as a runtime might have them: a megabyte of its own and a tenth more than what is counted."""
        found = super().samples_of(table)
        counted = MemoryModel().fit(table, TARGET.id).predict(found.workloads)
        rng = np.random.default_rng(3)
        peaks = 1e6 + 1.1 * counted * (1.0 + 0.01 * rng.standard_normal(len(counted)))
        return replace(found, values=peaks)

    @pytest.mark.parametrize("factor", [1e6])
    def test_two_units_are_refused(self, samples: Samples, factor: float) -> None:
        super().test_two_units_are_refused(samples, factor)

    def test_too_few_measured_peaks_say_how_many(self, samples: Samples) -> None:
        with pytest.raises(UnknownWorkload, match="needs 3 networks with measured peaks.*given 2"):
            self.make().fit(samples.workloads[:2], samples.values[:2], base=samples.base)


class TestStranger(PredictorContract):
    """Of another package, found by its entry point, from this process and from another one."""

    @pytest.fixture(autouse=True)
    def _installed(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        folder: Path = tmp_path_factory.mktemp("site")
        mean_predictor.install(folder)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
        assert str(folder) in sys.path

    def make(self) -> Predictor:
        return find_model(mean_predictor.NAME)()


# -------------------------------------------------------------------- what holds for some


def test_every_model_of_ours_is_run_through_the_contract() -> None:
    classes = [c for c in PredictorContract.__subclasses__() if c is not TestStranger]
    made = {type(c().make()) for c in classes}
    assert made >= {*MODELS.values(), *OTHER_COSTS.values()}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_population_is_priced_as_its_networks_are(name: str, table: CostTable, held_out: list[Workload]) -> None:
    model = MODELS[name]().fit(table, TARGET.id)
    population = count_matrix(held_out, TARGET.runtime, TARGET.precision)
    if name == "params":
        # a kernel has its batch norm folded in, and the norm's parameters are no longer its own
        np.testing.assert_allclose(model.price(population), model.predict(held_out), rtol=0.05)
    else:
        np.testing.assert_allclose(model.price(population), model.predict(held_out), rtol=1e-9)


def test_energies_of_a_population_are_those_of_its_networks(table: CostTable, held_out: list[Workload]) -> None:
    model = EnergyModel().fit(with_energies(table), TARGET.id)
    population = count_matrix(held_out, TARGET.runtime, TARGET.precision)
    np.testing.assert_allclose(model.price(population), model.predict(held_out), rtol=1e-9)


def test_a_model_without_kernels_says_that_it_prices_no_counts(table: CostTable, held_out: list[Workload]) -> None:
    model = mean_predictor.MeanModel().fit(table, TARGET.id)
    with pytest.raises(ConfigError, match="hand its networks to predict"):
        model.price(count_matrix(held_out, TARGET.runtime, TARGET.precision))


@pytest.mark.parametrize("make", [MacsModel, ParamsModel, RooflineModel])
def test_networks_that_are_all_alike_teach_a_line_nothing(
    make: type, table: CostTable, held_out: list[Workload]
) -> None:
    one = [held_out[0]] * 5
    with pytest.raises(UnknownWorkload, match=r"all 5 networks .* have the same .*`edgecost profile --target sim/"):
        make().fit(one, [1.0, 1.1, 0.9, 1.0, 1.05], base=TARGET)
