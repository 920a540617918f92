from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from predictors.additive import AdditiveModel
from predictors.baselines import MacsModel
from predictors.conformal import ConformalModel
from predictors.energy import EnergyModel
from predictors.lookup import TableModel
from predictors.measured import Measurements
from predictors.models import OTHER_COSTS
from predictors.storage import MODEL_SCHEMA, load_cost_model, load_energy_model, load_model, save_model, stale_sources
from profiler.errors import ConfigError, StorageError
from profiler.tables.table import CostTable
from tests.contracts.simulated_target import TARGET, networks, simulated_table


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    journal = tmp_path / "journal.jsonl"
    journal.write_text("measurements\n")
    save_model(MacsModel(level=0.8).fit(simulated_table(n_fit=5), TARGET.id), tmp_path / "models" / "m.json", [journal])
    return tmp_path / "models" / "m.json"


def test_the_file_says_what_it_is_and_where_it_is_from(saved: Path, tmp_path: Path) -> None:
    data = json.loads(saved.read_text())
    assert (data["schema"], data["model"], data["params"]) == (MODEL_SCHEMA, "macs", {"level": 0.8})
    assert (data["target_id"], data["runtime"], data["precision"]) == (TARGET.id, "onnxruntime", "fp32")
    assert data["measurements_sha256"] == Measurements.from_table(simulated_table(n_fit=5), TARGET.id).sha256
    journal = tmp_path / "journal.jsonl"
    assert data["sources"] == [{"path": str(journal), "sha256": hashlib.sha256(b"measurements\n").hexdigest()}]
    assert set(data["state"]) == {"constant_ms", "slope", "residuals"}


def test_loading_gives_the_same_model(tmp_path: Path) -> None:
    model = AdditiveModel(least_rows=4).fit(simulated_table(noise=0.03), TARGET.id)
    save_model(model, tmp_path / "a.json")
    again = load_model(tmp_path / "a.json")
    assert isinstance(again, AdditiveModel)
    assert again.get_params() == model.get_params()
    nets = networks(10, seed=7)
    np.testing.assert_array_equal(again.predict(nets), model.predict(nets))
    assert again.estimate_many(nets) == model.estimate_many(nets)


def metered_table() -> CostTable:
    plain = simulated_table(noise=0.03)
    rows = [
        replace(row, energy_mj=2.5e-6 * row.latency_ns, energy_u_mj=1e-8 * row.latency_ns, energy_scope="module-in")
        for row in plain.all_rows
    ]
    return CostTable(rows, plain.workloads, plain.targets)


@pytest.mark.parametrize("inner", [AdditiveModel(least_rows=4), TableModel()], ids=lambda model: model.name)
def test_a_model_of_energy_predicts_the_same_from_its_file(tmp_path: Path, inner: AdditiveModel | TableModel) -> None:
    model = EnergyModel(inner).fit(metered_table(), TARGET.id)
    save_model(model, tmp_path / "e.json")
    again = load_energy_model(tmp_path / "e.json")
    nets = networks(10, seed=7)
    np.testing.assert_array_equal(again.predict(nets), model.predict(nets))
    assert [again.estimate(net) for net in nets] == [model.estimate(net) for net in nets]
    assert (again.scope_, again.target_id_) == ("module-in", TARGET.id)
    assert again.to_dict() == model.to_dict()


def test_a_recipe_within_a_recipe_comes_back_as_one() -> None:
    model = EnergyModel(ConformalModel(MacsModel(), folds=3, level=0.8)).fit(metered_table(), TARGET.id)
    again = EnergyModel.from_dict(model.to_dict())
    assert isinstance(again.model, ConformalModel)
    assert isinstance(again.model.model, MacsModel)
    assert again.model.get_params()["model__level"] == 0.9
    assert repr(again) == repr(model)


def test_millijoules_are_never_read_as_milliseconds(saved: Path, tmp_path: Path) -> None:
    save_model(EnergyModel().fit(metered_table(), TARGET.id), tmp_path / "e.json")
    with pytest.raises(ConfigError, match=r"e\.json is a model of energy"):
        load_cost_model(tmp_path / "e.json")
    with pytest.raises(ConfigError, match=r"m\.json is no model of energy; .*--cost energy"):
        load_energy_model(saved)
    with pytest.raises(ConfigError, match="not fitted"):
        save_model(EnergyModel(), tmp_path / "never.json")
    assert not (tmp_path / "never.json").exists()


@pytest.mark.parametrize("change", [{"scope": None}, {"model": {"model": "oracle"}}, {"model": 3}, {"model": {}}])
def test_a_damaged_model_of_energy_is_refused_by_name(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "e.json"
    save_model(EnergyModel().fit(metered_table(), TARGET.id), path)
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "state": {**data["state"], **change}}))
    with pytest.raises(ConfigError, match=r"e\.json"):
        load_energy_model(path)


def test_changed_and_lost_sources_are_stale(saved: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    assert stale_sources(saved) == ()
    journal.write_text("other measurements\n")
    assert stale_sources(saved) == (journal,)
    journal.unlink()
    assert stale_sources(saved) == (journal,)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"schema": MODEL_SCHEMA + 1}, StorageError, "update edgecost"),
        ({"schema": 0}, StorageError, "oldest that is read is 1"),
        ({"schema": None}, ConfigError, "not a saved model"),
        ({"model": "oracle"}, ConfigError, "oracle"),
        ({"state": {"slope": 1.0}}, ConfigError, "constant_ms"),
        ({"params": {"depth": 3}}, ConfigError, "depth"),
    ],
)
def test_what_is_not_a_saved_model_is_refused_by_name(
    saved: Path, change: dict[str, object], error: type[Exception], says: str
) -> None:
    saved.write_text(json.dumps({**json.loads(saved.read_text()), **change}))
    with pytest.raises(error, match=says) as caught:
        load_model(saved)
    assert str(saved) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', "\x00\x01"])
def test_a_damaged_file_is_refused(saved: Path, text: str) -> None:
    saved.write_text(text)
    with pytest.raises(ConfigError, match=r"m\.json"):
        load_model(saved)


def test_places_that_cannot_be_read_or_written(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere\.json"):
        load_model(tmp_path / "nowhere.json")
    model = load_model(saved)
    with pytest.raises(StorageError, match="journal"):
        save_model(model, tmp_path / "journal.jsonl" / "m.json")
    with pytest.raises(StorageError, match="lost"):
        save_model(model, tmp_path / "m.json", [tmp_path / "lost.jsonl"])
    assert not (tmp_path / "m.json").exists()
    with pytest.raises(ConfigError, match="fit"):
        save_model(MacsModel(), tmp_path / "m.json")


def test_a_failed_write_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()
    model = load_model(saved)

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError, match=r"m\.json"):
        save_model(model, saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == ["m.json"]


def test_the_versions_that_did_the_fit_are_in_the_file(saved: Path) -> None:
    from importlib.metadata import version

    found = json.loads(saved.read_text())["libraries"]
    assert found == {name: version(name) for name in ("numpy", "scipy", "scikit-learn")}


def test_coefficients_predict_the_same_under_any_version(saved: Path) -> None:
    nets = networks(5, seed=3)
    before = load_model(saved).predict(nets)
    data = json.loads(saved.read_text())
    for other in ({"numpy": "1.26.0", "scikit-learn": "0.24.0"}, None):
        saved.write_text(json.dumps({**data, "libraries": other}))
        np.testing.assert_array_equal(load_model(saved).predict(nets), before)
    del data["libraries"]  # files from before there was any
    saved.write_text(json.dumps(data))
    np.testing.assert_array_equal(load_model(saved).predict(nets), before)


def test_trees_that_come_out_differently_are_refused_with_both_versions(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(cls: object, data: dict[str, object]) -> None:
        raise StorageError("trees that this version builds differently")

    monkeypatch.setattr(MacsModel, "from_dict", classmethod(refuse))
    data = json.loads(saved.read_text())
    data["libraries"]["scikit-learn"] = "0.24.0"
    saved.write_text(json.dumps(data))
    with pytest.raises(StorageError, match=r"m\.json.*builds differently.*saved under scikit-learn 0\.24\.0"):
        load_model(saved)


@pytest.mark.parametrize("cost", ["energy", "memory"])
def test_models_of_other_costs_are_kept_alike(cost: str, tmp_path: Path) -> None:
    plain = simulated_table(n_fit=6, n_held=2)
    rows = [replace(r, energy_mj=r.latency_ns / 1e6, energy_scope="wall") for r in plain.all_rows]
    table = CostTable(rows, plain.workloads, plain.targets)
    model = OTHER_COSTS[cost]().fit(table, TARGET.id)
    save_model(model, tmp_path / "m.json")
    again = load_model(tmp_path / "m.json")
    assert type(again) is OTHER_COSTS[cost]
    nets = networks(4, seed=9)
    np.testing.assert_array_equal(again.predict(nets), model.predict(nets))
    assert again.estimate(nets[0]) == model.estimate(nets[0])
