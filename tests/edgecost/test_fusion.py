"""Fusion experiments as a stage and as a verb, on a fake board that fuses by rules of its own."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from edgecost.cli.app import app
from edgecost.stages.fusion import evidence, fusion_of_target, rules_and_graph, told_of_pairs, tried_pairs
from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.measure.config import MeasureConfig
from profiler.tables.table import CostTable
from profiler.workloads.fusion import Fusions, cut_by
from profiler.workloads.fusion_pairs import parse_pairs
from profiler.workloads.fusion_rules import fusions_for
from profiler.workloads.graph import Workload

FAKES = Path(__file__).parents[1] / "profiler" / "measure" / "fakes.py"
LITERT = Target("fake", "litert", "fp32")
PAIRS = parse_pairs(["conv2d+relu", "conv2d+add"])


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The fake board; every kernel of LiteRT's rules costs the same, so that what is absorbed costs nothing."""
    spec = importlib.util.spec_from_file_location("fusion_fakes", FAKES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def fuse_by(fakes: ModuleType, monkeypatch: pytest.MonkeyPatch, rules: Fusions) -> None:
    def cost(workload: Workload) -> float:
        return 20_000.0 + 10_000.0 * len(cut_by(workload, rules))

    monkeypatch.setattr(fakes, "true_cost_ns", cost)


def run(fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, Any]:
    world = fakes.World(noise=0.002, round_noise=0.01)
    device = replace(fakes.DEVICE, targets=(LITERT,))
    config = MeasureConfig(rounds=3, min_batches=8)
    wanted = {"threshold": 0.5, "connect": world.connect, "source": fakes.Cache()} | changes
    answer = fusion_of_target(device, LITERT, PAIRS, config, tmp_path / "results", **wanted)
    return {"world": world, **answer}


def test_the_clock_finds_what_the_board_fuses(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuse_by(fakes, monkeypatch, fusions_for("litert", "fp32"))
    answer = run(fakes, tmp_path, monkeypatch)
    verdicts = {row["pair"]: (row["verdict"], row["rules"], row["graph"]) for row in answer["pairs"]}
    assert verdicts == {"conv2d+relu": ("fused", True, None), "conv2d+add": ("not", False, None)}
    assert (answer["evidence"], answer["rules_and_graph"]) == (None, None)
    assert answer["emulation"] == "simulated"
    written = json.loads((Path(answer["run_dir"]) / "fusion.json").read_text())
    assert [row["verdict"] for row in written["pairs"]] == ["fused", "not"]
    measured = len(answer["world"].events)
    again = run(fakes, tmp_path, monkeypatch)
    assert [row["verdict"] for row in again["pairs"]] == ["fused", "not"]
    assert len(again["world"].events) < 10 < measured, "nothing is measured twice"


def test_a_board_that_fuses_otherwise_contradicts_the_rules(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuse_by(fakes, monkeypatch, Fusions({"conv2d": frozenset({("add",)})}))
    answer = run(fakes, tmp_path, monkeypatch)
    assert {row["pair"]: row["verdict"] for row in answer["pairs"]} == {"conv2d+relu": "not", "conv2d+add": "fused"}


def test_trials_are_in_no_table(fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fuse_by(fakes, monkeypatch, fusions_for("litert", "fp32"))
    run(fakes, tmp_path, monkeypatch)
    with pytest.raises(Exception, match="no runs below"):
        CostTable.from_results(tmp_path / "results")


def test_what_cannot_be_asked_is_refused(fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        run(fakes, tmp_path, monkeypatch, threshold=1.5)
    with pytest.raises(ConfigError, match="no fusion rules for torch int8"):
        tried_pairs([], Target("d", "torch", "int8"))


def test_rules_and_graph_are_laid_side_by_side() -> None:
    onnx = Target("d", "onnxruntime", "fp32")
    told = {t.pair: (t.rules, t.graph) for t in told_of_pairs(parse_pairs(["conv2d+relu", "conv2d+mul"]), onnx)}
    assert told == {("conv2d", "relu"): (True, True), ("conv2d", "mul"): (False, False)}
    assert rules_and_graph(replace(onnx, accelerator="cuda")) is None


def test_evidence_is_where_the_truth_is_known() -> None:
    def row(pair: str, share: float | None, verdict: str, graph: bool | None) -> dict[str, Any]:
        return {"pair": pair, "share": share, "verdict": verdict, "graph": graph}

    rows = [row("a", 0.9, "fused", True), row("b", 0.3, "not", True), row("c", 0.1, "not", False)]
    found = evidence([*rows, row("d", None, "undecided", True), row("e", 1.0, "fused", None)])
    assert found == {
        "decided": 3,
        "undecided": 2,
        "wrong": ["b"],
        "lowest_fused": {"pair": "b", "share": 0.3},
        "highest_apart": {"pair": "c", "share": 0.1},
    }
    assert evidence([row("e", 1.0, "fused", None)]) is None


def test_the_verb_prints_what_rules_and_graph_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgecost.stages import fusion

    monkeypatch.setattr(fusion, "rules_and_graph", lambda target: None)
    devices = Path(__file__).parents[2] / "devices.yaml"
    asked = ["fusion", "-t", "rpi5/onnxruntime-fp32-t1", "--no-measure", "--devices", str(devices), "--json"]
    answer = CliRunner().invoke(app, [*asked, "--pairs", "conv2d+relu"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.output)[0]["pairs"] == [{"pair": "conv2d+relu", "rules": True, "graph": True}]
