"""Validation by leaving out: the stage, its file, and the report's section on it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecost.report.build import render
from edgecost.report.collect import ReportData
from edgecost.report.predictors import predictors_section, summary
from edgecost.stages.costs import write_json
from edgecost.stages.left_out import FILE, leave_out, read_left_out
from predictors.measured import Measurements
from profiler.errors import StorageError, UnknownWorkload
from profiler.tables.table import CostTable
from tests.contracts.simulated_target import TARGET, simulated_table


def line(seed: int | None, rmspe: float, group: str = "all", what: str = "kernel", model: str = "a") -> dict[str, Any]:
    row = {"what": what, "model": model, "group": group, "seed": seed, "covered": 0.9, "level": 0.9, "noise": 0.01}
    figures = {"n": 12, "n_missing": 0, "mape": rmspe / 2, "rmspe": rmspe, "within_5": 0.5, "within_10": 0.75}
    return {**row, **figures, "kendall_tau": 0.8, "spearman": None, "regret_1": 0.0, "regret_10": 0.0}


POINT = {"label": "<b>net</b>", "group": "network", "measured_ms": 2.0, "predicted_ms": 2.2, "low_ms": 1.9,
         "high_ms": 2.1, "noise": 0.01}  # fmt: skip
LOST = {**POINT, "predicted_ms": None, "low_ms": None, "high_ms": None}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    rows = [line(0, 0.1), line(1, 0.3), line(0, 0.4, "conv2d 3x3"), line(None, 0.5, what="family")]
    target = {"target": "sim/simulated-fp32-t1", "emulation": "simulated", "rows": rows, "notes": ["few networks"]}
    points = {"kernels": [POINT, LOST], "networks": []}
    write_json(tmp_path / FILE, {"schema": 1, "seeds": 2, "targets": [{**target, "points": points}]})
    return tmp_path


def test_seeds_become_a_mean_and_its_deviation(results: Path) -> None:
    rows = summary(read_left_out(results)[0]["rows"])
    assert [(r["what"], r["group"], r["seeds"]) for r in rows] == [
        ("kernel", "all", 2), ("kernel", "conv2d 3x3", 1), ("family", "all", 1),
    ]  # fmt: skip
    assert rows[0]["rmspe"] == pytest.approx(20.0)
    assert rows[0]["rmspe_sd"] == pytest.approx(20.0 / 2**0.5)
    assert rows[1]["rmspe_sd"] is None
    assert rows[0]["spearman"] is None


def test_the_report_shows_tables_and_plots_and_escapes(results: Path) -> None:
    section = predictors_section(results)
    assert section is not None
    assert [row["rmspe"] for row in section.rows] == ["20.00 ± 14.14", "50.00"]
    assert [row["group"] for row in section.kinds] == ["conv2d 3x3"]
    page = render(ReportData("t", "now", "0", "", "", [], [], predictors=section))
    assert "Predictors on what they had not seen" in page
    assert "20.00 ± 14.14" in page
    assert "sim/simulated-fp32-t1 (simulated)" in page
    assert "few networks" in page
    assert "<b>net</b>" not in page


def test_nothing_left_out_is_nothing_shown(tmp_path: Path) -> None:
    assert predictors_section(tmp_path) is None
    page = render(ReportData("t", "now", "0", "", "", [], []))
    assert "not seen" not in page


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1}', '{"schema": 9, "targets": []}'])
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StorageError, match=FILE):
        predictors_section(tmp_path)


def test_the_stage_writes_every_predictor_and_every_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = simulated_table(n_fit=8, n_held=4, noise=0.01)
    monkeypatch.setattr("edgecost.stages.left_out.load_table", lambda results: table)
    answer = leave_out(tmp_path, [], 1)
    (target,) = read_left_out(tmp_path)
    assert target == json.loads(json.dumps(answer["targets"]))[0]
    found = {(row["what"], row["model"]) for row in target["rows"]}
    assert {("kernel", "regressors"), ("kind", "regressors"), ("family", "regressors")} <= found
    assert {("network", "macs"), ("network", "additive"), ("network", "roofline")} <= found
    assert len(target["points"]["networks"]) == 12
    assert target["notes"] == []


def test_networks_are_left_out_where_no_kernel_ran_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Measurements.from_table

    def chained(table: CostTable, target_id: str) -> Measurements:
        found = whole(table, target_id)
        return replace(found, kernels=tuple(replace(k, isolated_ms=None) for k in found.kernels))

    table = simulated_table(n_fit=8, n_held=4, noise=0.01)
    monkeypatch.setattr("edgecost.stages.left_out.load_table", lambda results: table)
    monkeypatch.setattr(Measurements, "from_table", chained)
    (target,) = leave_out(tmp_path, [], 1)["targets"]
    assert target["notes"] == []
    assert {row["model"] for row in target["rows"] if row["what"] == "network"} >= {"table", "additive"}


def test_a_table_with_too_little_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = CostTable((), {}, (TARGET,))
    monkeypatch.setattr("edgecost.stages.left_out.load_table", lambda results: table)
    with pytest.raises(UnknownWorkload, match="too few to leave some out"):
        leave_out(tmp_path, [], 1)
    assert not (tmp_path / FILE).exists()
