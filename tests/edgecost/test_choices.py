"""The cut that closure chose for a target is the one that its cost model goes by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgecost.stages.choices import choice_of, fit_chosen
from edgecost.stages.closing import closure
from edgecost.stages.costs import fit_and_save, fit_model, load_table
from edgecost.stages.cuts import PAIRS
from edgecost.stages.fitted import fitted_predictor
from edgecost.stages.predicting import predict_file, read_model
from predictors.additive import AdditiveModel
from predictors.chosen import ChosenCutModel
from predictors.storage import load_model
from profiler.errors import StorageError
from profiler.workloads.builders.onnx import build_onnx
from tests.edgecost.closure_runs import HELD_OUT, TARGET_ID, measure, network, networks


@pytest.fixture
def results(tmp_path: Path) -> Path:
    measure(tmp_path / "results", "first")
    return tmp_path / "results"


def record(results: Path, cut: str, isolation: str, target: str = TARGET_ID) -> None:
    chosen = {"cut": cut, "isolation": isolation}
    target_row = {"target": target, "emulation": "simulated", "chosen": chosen, "rows": []}
    (results / "cuts.json").write_text(json.dumps({"targets": [target_row]}))


def test_where_nothing_was_chosen_kernels_are_fused_and_chained(results: Path) -> None:
    table = load_table(results)
    assert choice_of(table, TARGET_ID) == ("fused", "chained")
    record(results, "exported", "chained", "other/onnxruntime-fp32-t1")
    model, said = fit_chosen(table, TARGET_ID)
    assert (type(model), said) == (AdditiveModel, "")


def test_the_recorded_choice_is_used_and_said(results: Path, tmp_path: Path) -> None:
    record(results, "exported", "alone")
    table = load_table(results)
    model = fit_model(table, TARGET_ID)
    assert isinstance(model, ChosenCutModel)
    assert (model.cut, model.isolation) == ("exported", "alone")
    file = tmp_path / "net.onnx"
    file.write_bytes(build_onnx(network(4, "net")))
    told = predict_file(fitted_predictor(results, TARGET_ID), read_model(file, {}), file)
    kernels = {layer["label"].split(" ")[0] for layer in told["layers"] if layer["source"] == "table"}
    assert kernels == {"conv2d", "relu"}, "every operator apart"
    assert "exported and alone, as closure chose" in told["cut"]
    saved = fit_and_save(table, TARGET_ID, results, tmp_path / "model.json")
    assert "as closure chose" in saved["sentence"]
    assert load_model(tmp_path / "model.json").predict([network(4, "")])[0] == told["latency_ms"]


def test_pairs_are_read_from_their_own_folder(results: Path) -> None:
    measure(results / PAIRS, "pairs", level=3.0)
    record(results, "fused", "pairs")
    model, said = fit_chosen(load_table(results), TARGET_ID)
    assert isinstance(model, ChosenCutModel)
    assert "pairs" in said
    usual = AdditiveModel().fit(load_table(results), TARGET_ID)
    dear, cheap = (sum(cost for cost, _ in m.costs_.rows.values()) for m in (model, usual))
    assert dear > 2 * cheap


def test_what_cannot_be_used_is_said_and_the_usual_cut_stays(results: Path) -> None:
    table = load_table(results)
    for cut, isolation, why in (("blocks", "block", "whole blocks"), ("fused", "pairs", "measured in pairs")):
        record(results, cut, isolation)
        model, said = fit_chosen(table, TARGET_ID)
        assert type(model) is AdditiveModel
        assert why in said
        assert "fused and chained" in said


def test_closure_is_that_of_the_chosen_model_beside_the_usual_one(results: Path) -> None:
    record(results, "exported", "chained")
    found = closure(load_table(results), results=results)
    assert found["cuts"] == {TARGET_ID: {"cut": "exported", "isolation": "chained"}}
    names = [row["model"] for row in found["rows"]]
    assert {"additive", "additive, fused and chained"} <= set(names)
    (headline,) = (row for row in found["rows"] if row["headline"])
    assert headline["model"] == "additive"
    points = {p["label"]: p["predicted_ms"] for p in found["points"][TARGET_ID]}
    model = fit_model(load_table(results), TARGET_ID)
    for net, predicted in zip(networks(HELD_OUT, 10), model.predict(networks(HELD_OUT, 10)), strict=True):
        assert points[net.name] == pytest.approx(predicted)


def test_a_broken_record_is_refused(results: Path) -> None:
    (results / "cuts.json").write_text("{}")
    with pytest.raises(StorageError, match="not a comparison of cuts"):
        fit_model(load_table(results), TARGET_ID)
