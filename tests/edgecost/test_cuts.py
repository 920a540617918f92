"""Cuts from the command line: what is planned, compared, written and read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgecost.cli.app import app
from edgecost.stages import cuts
from edgecost.stages.planning import EFFORTS, PlanOptions, default_run_id, plan_jobs
from predictors.cuts import Combination, CutClosure, CutComparison
from predictors.evaluate import Scores
from profiler.errors import ConfigError, StorageError
from profiler.fleet.targets import Target
from profiler.tables.table import CostTable

TARGET = Target("d", "onnxruntime", "fp32")


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = Scores(20, 0, 0.04, 0.05, 0.7, 0.95, 0.9, 0.95)
    rows = (
        CutClosure(Combination("fused", "chained"), 12, 0, 0.95, 0.01, 0.035, scores, scores),
        CutClosure(Combination("exported", "chained"), 15, 2),
    )
    answer = CutComparison(TARGET.id, rows, rows[0].combination)
    monkeypatch.setattr("predictors.cuts.compare_cuts", lambda tables, target_id: answer)
    monkeypatch.setattr(cuts, "load_table", lambda results: CostTable((), {}, (TARGET,)))


def test_the_choice_is_written_and_read_back(compared: None, tmp_path: Path) -> None:
    answer = cuts.compare(tmp_path)
    (target,) = answer["targets"]
    assert target["chosen"] == {"cut": "fused", "isolation": "chained"}
    assert [row["chosen"] for row in target["rows"]] == [True, False]
    assert target["rows"][0]["mape"] == pytest.approx(4.0)
    assert target["rows"][1]["mape"] is None
    assert cuts.read_comparison(tmp_path) == answer["targets"]
    assert cuts.read_comparison(tmp_path / "elsewhere") == []
    (tmp_path / "cuts.json").write_text("{}")
    with pytest.raises(StorageError, match="not a comparison of cuts"):
        cuts.read_comparison(tmp_path)


def test_the_verb_prints_it_and_keeps_a_gate(compared: None, tmp_path: Path) -> None:
    asked = ["validate", "--cuts", "--results", str(tmp_path)]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0, shown.output
    assert "fused" in shown.output
    assert "chosen" in shown.output
    as_json = CliRunner().invoke(app, [*asked, "--json", "--max-mape", "3"])
    assert as_json.exit_code == 1
    assert json.loads(as_json.output)["targets"][0]["rows"][0]["cut"] == "fused"


def test_what_is_planned_is_of_the_networks_and_bounded() -> None:
    plain = PlanOptions("nasbench201", fit_models=2, held_out=2)
    options = PlanOptions("nasbench201", fit_models=2, held_out=2, cuts="cuts")
    litert = Target("d", "litert", "fp32")
    jobs = plan_jobs(options, litert)
    kinds = {job.label.split(" ")[0] for job in jobs if job.role.kind == "kernel"}
    assert "relu" in kinds, "alone, as the exported cut has it"
    assert sum(job.role.kind == "model" for job in jobs) == 4
    assert sum(job.role.kind == "kernel" for job in jobs) < 150
    pairs = plan_jobs(PlanOptions("nasbench201", fit_models=2, held_out=2, cuts="pairs"), litert)
    assert 0 < len(pairs) < 60
    assert not any(job.role.kind == "model" for job in pairs)
    config = EFFORTS["quick"]
    assert len({default_run_id(o, config) for o in (plain, options)}) == 2
    with pytest.raises(ConfigError, match="about kernels"):
        plan_jobs(PlanOptions("mixconv", fit_models=1, held_out=1, blocks=True, cuts="cuts"), litert)
