from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from predictors.additive import AdditiveModel
from predictors.baselines import MacsModel
from predictors.measured import Measurements
from predictors.models import ENTRY_POINTS, ISOLATED_MODEL, MODELS, find_model, standard_models
from profiler import extensions
from profiler.errors import ConfigError
from tests.contracts.simulated_target import TARGET, simulated_table


def offer(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    points = EntryPoints([EntryPoint(name, value, ENTRY_POINTS)])
    monkeypatch.setattr(extensions, "entry_points", lambda group: points.select(group=group))


def test_our_models_are_found_by_name() -> None:
    assert find_model("additive") is AdditiveModel
    assert all(find_model(name).name == name for name in MODELS)


def test_other_packages_offer_models(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "theirs", "predictors.baselines:MacsModel")
    assert find_model("theirs") is MacsModel


def test_ours_are_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "additive", "predictors.baselines:MacsModel")
    assert find_model("additive") is AdditiveModel


def test_what_is_no_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "theirs", "math:pi")
    with pytest.raises(ConfigError, match="not a CostModel"):
        find_model("theirs")
    with pytest.raises(ConfigError, match=r"no cost model 'oracle'.*additive.*theirs"):
        find_model("oracle")


def test_what_cannot_be_imported_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "theirs", "predictors.no_such_module:Model")
    with pytest.raises(ConfigError, match=r"'theirs' of edgecost.predictors \(predictors.no_such_module:Model\)"):
        find_model("theirs")


def test_standard_models_are_fresh() -> None:
    first, second = standard_models(), standard_models()
    assert list(first) == ["params", "macs", "ridge", "roofline", "isolated table", "table", "additive"]
    assert not any(model.fitted for model in first.values())
    assert all(first[name] is not second[name] for name in first)


def test_the_isolated_table_is_left_out_where_no_kernel_ran_alone() -> None:
    measured = Measurements.from_table(simulated_table(), TARGET.id)
    assert ISOLATED_MODEL in standard_models(measured)
    chained = replace(measured, kernels=tuple(replace(k, isolated_ms=None) for k in measured.kernels))
    assert list(standard_models(chained)) == [name for name in standard_models() if name != ISOLATED_MODEL]
