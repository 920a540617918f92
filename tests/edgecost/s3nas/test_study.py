"""A study of S3NAS: every method at the same budgets, one row each, resumed from its files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mixconv_tables
import numpy as np
import pytest

from edgecost.cli.demand import settings_of
from edgecost.stages.s3nas import costs as s3nas_costs
from edgecost.stages.s3nas import study as s3nas_study
from edgecost.stages.s3nas import study_measure, study_plan
from edgecost.stages.s3nas.costs import Pricing
from edgecost.stages.s3nas.study import run_study
from edgecost.stages.s3nas.study_plan import CONTROLS, OWN, Method, StudyOptions, planned
from edgecost.stages.s3nas.study_table import _methods
from edgecost.stages.s3nas.train import TrainOptions
from profiler.errors import ConfigError
from profiler.tables.row import Row
from search.data import ImageSet
from search.spaces.network import Network, network_workload
from search.tasks import task_of

TARGET = mixconv_tables.TARGET.id
SHORT = {"phase1": 1, "phase2": 1, "batch_size": 4, "overtime": 0}


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StudyOptions:
    space = mixconv_tables.tiny_space()
    table = mixconv_tables.block_table(space)
    monkeypatch.setattr(s3nas_costs, "load_table", lambda results: table)
    monkeypatch.setattr(study_plan, "CONTROLS", (Method("random search", "random", "tiny", "random"),))
    own = Method("S3NAS", "s3nas", "tiny")
    for module in (study_plan, s3nas_study, study_measure):
        monkeypatch.setattr(module, "OWN", own)
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 10
    images = ImageSet(
        rng.normal(0, 1, (20, 3, 16, 16)).astype(np.float32), labels[:20],
        rng.normal(0, 1, (20, 3, 16, 16)).astype(np.float32), labels[20:], 10, "toy", "made up",
    )  # fmt: skip
    monkeypatch.setattr(TrainOptions, "task", lambda self: task_of(images))
    return StudyOptions(
        (TARGET,), Pricing(tmp_path, supernet="tiny"), TrainOptions(steps=4), seeds=1, settings=SHORT, jobs=1
    )


def test_every_method_gets_a_row_at_the_same_budgets(study: StudyOptions, tmp_path: Path) -> None:
    out = tmp_path / "study"
    answer = run_study(study, out)
    assert [r["method"] for r in answer["rows"]] == ["S3NAS", "random search"]
    first, second = answer["rows"]
    assert first["budget_ms"] == second["budget_ms"] == pytest.approx(first["search_budget_ms"] / 0.6, rel=1e-3)
    for row in answer["rows"]:
        assert 0 < row["predicted_ms"] <= row["budget_ms"]
        assert 0 <= row["accuracy"] <= 1
        assert row["measured_ms"] is None
        assert row["macs"] > 0
    assert second["t_hat_ms"] <= second["search_budget_ms"]
    (post,) = answer["post_processing"]
    assert len(post["options"]) >= 4
    (course,) = answer["courses"]
    assert next(point[1] for point in course["points"]) == 1
    written = json.loads((out / "study.json").read_text())
    assert written["methods"][0]["n"] == 1

    def refuse(*arguments: Any) -> None:
        raise AssertionError("done before")

    again = pytest.MonkeyPatch()
    again.setattr(s3nas_study, "_searched", refuse)
    again.setattr(s3nas_study, "_best_random", refuse)
    assert run_study(study, out)["rows"] == answer["rows"]
    again.undo()


def test_what_is_measured_stands_beside_what_was_predicted(study: StudyOptions, tmp_path: Path) -> None:
    out = tmp_path / "study"
    asked: list[int] = []

    def together(target: str, networks: Sequence[Network]) -> dict[str, Row]:
        asked.append(len(networks))
        keys = [network_workload(network).key for network in networks]
        return {key: Row(target, key, "model", "", 2e6, 1e6, 3e6, n_rounds=9) for key in keys}

    answer = run_study(study, out, together)
    assert len(asked) == 1
    assert {(row["measured_ms"], row["low_ms"], row["high_ms"]) for row in answer["rows"]} == {(2.0, 1.0, 3.0)}
    (post,) = answer["post_processing"]
    assert post["measured"]["final"]["measured_ms"] == 2.0
    assert {option["option"] for option in post["measured"]["options"]} >= {"plain", "hswish", "se"}
    assert all(anchor["measured_ms"] == 2.0 and anchor["table_ms"] > 0 for anchor in answer["anchors"][TARGET])
    slower = np.median([2.0 / anchor["table_ms"] for anchor in answer["anchors"][TARGET]])
    assert all(method["levelled_ms"] == pytest.approx(2.0 / slower) for method in answer["methods"])
    # what was measured stays when the command is given without measuring
    assert run_study(study, out)["rows"] == answer["rows"]


def test_controls_run_on_the_first_target_only(study: StudyOptions, tmp_path: Path) -> None:
    twice = StudyOptions((TARGET, TARGET), study.pricing, study.training, seeds=2, settings=SHORT)
    assert [(r.method.slug, r.seed) for r in planned(twice, tmp_path)] == [
        ("s3nas", 0), ("random", 0), ("s3nas", 0), ("s3nas", 1), ("random", 1), ("s3nas", 1)
    ]  # fmt: skip


@pytest.mark.skipif("EDGECOST_DATA" not in os.environ, reason="EDGECOST_DATA is not set: it names the public data")
def test_imported_devices_are_searched_in_fbnet32_and_not_scaled(study: StudyOptions, tmp_path: Path) -> None:
    imported = replace(study, targets=(), imported=("raspi4",), imported_settings={"batch_size": 2})
    (row,) = run_study(imported, tmp_path / "study")["rows"]
    assert row["method"] == "S3NAS, imported table"
    assert row["phi"] == 0
    assert row["predicted_ms"] == row["t_hat_ms"]
    assert row["budget_ms"] == row["search_budget_ms"]
    assert row["measured_ms"] is None


def test_a_budget_may_be_given(study: StudyOptions, tmp_path: Path) -> None:
    given = replace(study, search_budget_ms=0.3)
    assert {(r.search_budget_ms, r.budget_ms) for r in planned(given, tmp_path)} == {(0.3, 0.5)}


def test_post_processing_may_be_left_out(study: StudyOptions, tmp_path: Path) -> None:
    answer = run_study(replace(study, controls=False, post_processing=False), tmp_path / "study")
    assert [row["method"] for row in answer["rows"]] == ["S3NAS"]
    assert not answer["post_processing"]


def test_controls_may_be_left_out(study: StudyOptions, tmp_path: Path) -> None:
    assert [r.method.slug for r in planned(replace(study, controls=False), tmp_path)] == ["s3nas"]


def test_the_controls_are_those_that_experts_ask_for() -> None:
    assert {m.kind for m in CONTROLS} == {"random", "hand", "search"}
    assert any(m.changes == {"choice_dropout": False} for m in CONTROLS)
    assert {m.supernet for m in CONTROLS} > {OWN.supernet}
    assert len({m.changes["weight"] for m in CONTROLS if m.changes.get("form") == "log"}) >= 3


def test_means_over_seeds_never_take_what_is_missing_for_zero() -> None:
    base = {"method": "a", "target": "t", "search_budget_ms": 1.0, "budget_ms": 2.0, "t_hat_ms": 0.5, "search_s": 1.0}
    base |= {"params": 1, "macs": 2, "predicted_ms": 1.0}
    rows = [{**base, "accuracy": 0.4, "measured_ms": 1.5}, {**base, "accuracy": 0.6, "measured_ms": None}]
    (found,) = _methods(rows, {"t": 2.0})
    assert found["accuracy"] == pytest.approx(0.5)
    assert found["accuracy_sd"] == pytest.approx(0.02**0.5)
    assert found["measured_ms"] is None
    assert found["met"] == 1


def test_settings_are_read_as_yaml() -> None:
    assert settings_of(["phase1=150", "choice_dropout=false", "form=log"]) == {
        "phase1": 150, "choice_dropout": False, "form": "log"
    }  # fmt: skip
    with pytest.raises(ConfigError, match="--set takes NAME=VALUE.*: , "):
        settings_of(["a=: , "])
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        settings_of(["phase1"])
