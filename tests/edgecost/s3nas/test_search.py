"""`edgecost search s3nas` and what follows: files, resumption, one result row, one sentence for what goes wrong."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mixconv_tables
import numpy as np
import pytest
import yaml
from mixconv_tables import OVERHEAD_MS, true_ms

from edgecost.stages import targets
from edgecost.stages.s3nas import costs as s3nas_costs
from edgecost.stages.s3nas import demand as s3nas_demand
from edgecost.stages.s3nas import verify as s3nas_verify
from edgecost.stages.s3nas.costs import Pricing
from edgecost.stages.s3nas.demand import Budgets
from edgecost.stages.s3nas.files import read_stage
from edgecost.stages.s3nas.search import SearchOptions, search_supernet
from edgecost.stages.s3nas.train import TrainOptions
from edgecost.stages.s3nas.whole import AllOptions, run_all
from profiler.errors import TrainingDiverged
from profiler.fleet.targets import Device
from profiler.tables.row import Row
from search.data import ImageSet
from search.s3nas import trainer
from search.spaces.network import network_workload, read_network
from search.spaces.supernet import read_supernet, supernet_dict
from search.tasks import task_of

TARGET = mixconv_tables.TARGET.id
STEPS = (2, 3)
FAST = ["--set", "batch_size=8", "--set", "overtime=0", "--set", "record_every=1"]


@pytest.fixture(scope="module")
def table():
    return mixconv_tables.block_table(mixconv_tables.tiny_space())


@pytest.fixture(scope="module")
def toy() -> ImageSet:
    """Ten classes of 8 x 8 pixels."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 10
    images = rng.normal(0, 0.3, (40, 3, 8, 8)).astype(np.float32)
    return ImageSet(images[:20], labels[:20], images[20:], labels[20:], 10, "toy", "made up")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, table, toy):
    """The table stands in for every results folder, and the toy images for the digits."""
    monkeypatch.setattr(s3nas_costs, "load_table", lambda results: table)
    load = TrainOptions.task
    monkeypatch.setattr(TrainOptions, "task", lambda self: task_of(toy) if self.data == "digits" else load(self))


@pytest.fixture
def run(run, given):
    """Runs `edgecost ...` in an empty folder, with what is given; returns (exit code, stdout, stderr)."""
    return run


def search(*more: str, budget: str = "0.7", target: str = "sim") -> list[str]:
    steps = ["--phase1-steps", "2", "--phase2-steps", "3", *FAST]
    return ["search", "s3nas", "--target", target, "--budget-ms", budget, "--supernet", "tiny", *steps, *more]


def middle(table) -> float:
    """A budget in the middle of the tiny space, for the search."""
    from edgecost.stages.s3nas.costs import supernet_costs

    costs, _ = supernet_costs(mixconv_tables.tiny_space(), Pricing(Path("results")), TARGET)
    return 0.5 * (costs.smallest + costs.largest)


def one_sentence(code: int, err: str, *words: str) -> None:
    assert code == 2
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("edgecost:")]
    assert len(lines) == 1, err
    for word in words:
        assert word in lines[0]


def measure(target: str, network: Any) -> Row:
    ns = 1e6 * (OVERHEAD_MS + true_ms(network_workload(network)))
    return Row(target, "key", "model", "net", ns, 0.99 * ns, 1.01 * ns, None)


# -------------------------------------------------------------------- the search


def test_a_search_leaves_its_files_and_is_found_again(run, table):
    budget = f"{2 * middle(table):.4f}"
    arguments = search("--json", budget=budget)
    code, out, _ = run(*arguments)
    folder = Path("results/s3nas") / f"tiny-sim-{float(budget):g}ms-s0"
    assert sorted(p.name for p in folder.iterdir()) == ["network.yaml", "result.json", "search.json"]
    answer = json.loads(out)
    assert answer == read_stage(folder / "search.json")
    assert answer["file"] == str(folder / "search.json")
    (row,) = answer["targets"]
    assert (row["target"], row["unit"]) == (TARGET, "ms")
    assert row["budget"] == pytest.approx(float(budget) / 2)
    assert answer["t_hat"] == [row["predicted"]]
    assert answer["key"] == network_workload(read_network(folder / "network.yaml")).key
    assert answer["costs"][TARGET]["held_out"]["mape"] < 0.02
    assert answer["definition"]["supernet"]["name"] == "tiny"
    assert code == (0 if answer["feasible"] else 2)
    before = (folder / "result.json").read_bytes()
    assert run(*arguments)[:2] == (code, out)
    assert (folder / "result.json").read_bytes() == before


def test_steps_keep_the_shape_of_the_schedule():
    budgets, pricing = Budgets((TARGET,), (1.0,)), Pricing(Path("results"))
    config = SearchOptions(budgets, pricing, steps=(60, 40), changes={"weight": 3}).config
    assert (config.unit, config.phase1, config.phase2, config.decay_every, config.weight) == ("steps", 60, 40, 24, 3)
    assert SearchOptions(budgets, pricing).config.name == "reduced"
    assert SearchOptions(budgets, pricing, preset="published").config.unit == "epochs"


def test_ctrl_c_keeps_a_checkpoint_that_the_same_call_continues(given, table, tmp_path: Path, monkeypatch):
    budgets = Budgets((TARGET,), (middle(table),))
    options = SearchOptions(
        budgets, Pricing(tmp_path), "tiny", steps=STEPS, changes={"batch_size": 8, "overtime": 0, "record_every": 1}
    )
    whole = search_supernet(options, tmp_path / "whole")
    advance, steps = trainer._Search._advance, []

    def stop(self, module, batch, asked) -> bool:
        steps.append(self.step)
        return advance(self, module, batch, len(steps) == 3)

    monkeypatch.setattr(trainer._Search, "_advance", stop)
    with pytest.raises(KeyboardInterrupt):
        search_supernet(options, tmp_path / "parts")
    assert (tmp_path / "parts" / "checkpoint.pt").exists()
    assert not (tmp_path / "parts" / "search.json").exists()
    again = search_supernet(options, tmp_path / "parts")
    assert steps == [0, 1, 2, 3, 4]
    assert again["network"] == whole["network"]
    assert not (tmp_path / "parts" / "checkpoint.pt").exists()


def test_only_the_first_of_several_processes_writes(given, table, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    options = SearchOptions(
        Budgets((TARGET,), (middle(table),)), Pricing(tmp_path), "tiny", steps=(1, 1), changes={"batch_size": 8}
    )
    answer = search_supernet(options, tmp_path / "run")
    assert "sentence" in answer
    assert not (tmp_path / "run" / "search.json").exists()


# -------------------------------------------------------------------- everything at once


def test_all_stages_come_to_one_row(given, table, tmp_path: Path):
    low = middle(table)
    training = TrainOptions(steps=1)
    options = AllOptions(
        SearchOptions(
            Budgets((TARGET,), (low,)), Pricing(tmp_path), "tiny", training, steps=STEPS, changes={"batch_size": 8}
        ),
        Budgets((TARGET,), (2 * low,)),
        removed=(1.0, 0.0),
    )
    folder = tmp_path / "run"
    row = run_all(options, folder, [mixconv_tables.TARGET], measure)
    (target,) = row["targets"]
    assert target["measured"] <= target["budget"] == pytest.approx(2 * low)
    assert row["within_budget"]
    assert row["option"] in {"plain", "hswish", "se", "se + hswish"}
    assert row["accuracy"] == read_stage(folder / "final" / "final.json")["accuracy"]
    assert {e["file"] for e in row["exports"]} == {p.name for p in (folder / "final").glob("final*.[ot]*")}
    assert json.loads((folder / "row.json").read_text()) == row
    stamps = {p: p.stat().st_mtime_ns for p in folder.rglob("*.json") if p.name != "row.json"}
    assert run_all(options, folder, [mixconv_tables.TARGET], measure) == row
    assert {p: p.stat().st_mtime_ns for p in stamps if p.name != "search.json"} == {
        p: t for p, t in stamps.items() if p.name != "search.json"
    }


def test_the_command_does_all_stages(run, table, monkeypatch):
    board = Device("sim", "127.0.0.1", "me", targets=(mixconv_tables.TARGET,))
    monkeypatch.setattr(targets, "all_devices", lambda path: (board,))
    monkeypatch.setattr(s3nas_demand, "measure_workload", lambda devices, target, work, *rest: _row(target, work))
    arguments = search("--all", "--train-steps", "1", "--removed", "1", budget=f"{2 * middle(table):.4f}")
    code, out, err = run(*arguments)
    assert code == 0, err
    assert "measured" in out
    folder = next(Path("results/s3nas").iterdir())
    assert (folder / "row.json").exists()
    asked: list[bool] = []

    def measured(devices: Any, target: str, work: Any, *rest: Any, energy: bool) -> Row:
        asked.append(energy)
        return replace(_row(target, work), **(DRAWN if energy else {}))

    monkeypatch.setattr(s3nas_verify, "measure_workload", measured)
    code, out, err = run("verify", str(folder))
    assert code == 0, err
    assert "within budget" in out
    verdict = json.loads((folder / "verify.json").read_text())
    assert (verdict["stage"], verdict["within_budget"]) == ("postprocess", True)
    code, out, _ = run("verify", str(folder / "search.json"), "--budget-ms", "0.001")
    assert code == 1
    assert "NOT within budget" in out
    code, _, err = run("verify", str(folder / "search.json"), "--budget-mj", "1")
    one_sentence(code, err, "is in ms, which --budget-mj is not")
    assert asked == [False, False]
    # the same stage with a budget of energy: measured with it, and held against mJ
    stage = json.loads((folder / "search.json").read_text())
    stage["targets"] = [{**row, "unit": "mj", "budget": 2.0} for row in stage["targets"]]
    (folder / "search.json").write_text(json.dumps(stage))
    code, out, err = run("verify", str(folder / "search.json"))
    assert code == 0, err
    assert "measured 1.5 mJ a run above rest (± 0.1, k = 2; wall) against a budget of 2 mJ: within budget" in out
    assert run("verify", str(folder / "search.json"), "--budget-mj", "1")[0] == 1
    assert asked == [False, False, True, True]


DRAWN = {"energy_mj": 1.5, "energy_u_mj": 0.1, "energy_scope": "wall"}


def _row(target: str, work: Any) -> Row:
    ns = 1e6 * (OVERHEAD_MS + true_ms(work))
    return Row(target, "key", "model", "net", ns, 0.99 * ns, 1.01 * ns, None)


def test_what_nobody_can_price_is_said_before_the_search(run, table, monkeypatch):
    plain = mixconv_tables.block_table(mixconv_tables.tiny_space(), scaled=0)
    monkeypatch.setattr(s3nas_costs, "load_table", lambda results: plain)
    code, _, err = run(*search("--all", "--no-measure"))
    one_sentence(code, err, "'hswish'", "--blocks --scaled 60")
    assert not Path("results/s3nas").exists()


# -------------------------------------------------------------------- bad input


def test_an_impossible_supernet(run):
    Path("mine.yaml").write_text(yaml.safe_dump({**supernet_dict(read_supernet("tiny")), "name": "mine", "stages": []}))
    code, _, err = run(*search("--supernet", "mine.yaml"))
    one_sentence(code, err, "the supernet mine.yaml: stages")


@pytest.mark.parametrize(("budget", "words"), [("0.001", "no network meets"), ("1000", "every network meets")])
def test_budgets_out_of_bounds(run, budget: str, words: str):
    code, _, err = run(*search(budget=budget))
    one_sentence(code, err, words, "networks of mixconv:tiny cost")


def test_missing_blocks(run):
    code, _, err = run(*search("--supernet", "mbconv32"))
    one_sentence(code, err, "44 of 62 blocks of mbconv32", "--space mixconv --supernet mbconv32 --blocks`")


def test_a_folder_of_another_search(run, table):
    budget = f"{2 * middle(table):.4f}"
    run(*search("--out", "run", budget=budget))
    code, _, err = run(*search("--out", "run", "--seed", "1", budget=budget))
    one_sentence(code, err, "run holds another search")


def test_a_checkpoint_of_another_supernet(run, table, tmp_path: Path, monkeypatch):
    def stop(self, module, batch, asked) -> bool:
        return advance(self, module, batch, True)

    advance = trainer._Search._advance
    monkeypatch.setattr(trainer._Search, "_advance", stop)
    budget = f"{2 * middle(table):.4f}"
    assert run(*search("--out", "run", budget=budget))[0] == 130
    monkeypatch.setattr(trainer._Search, "_advance", advance)
    other = {**supernet_dict(read_supernet("tiny")), "name": "other"}
    other["branches"] = list(reversed(other["branches"]))
    Path("other.yaml").write_text(yaml.safe_dump(other))
    code, _, err = run(*search("--out", "run", "--supernet", "other.yaml", budget=budget))
    one_sentence(code, err, "is the checkpoint of another search (other supernet", "remove it")


@pytest.mark.parametrize("kind", ["none", "one class"])
def test_a_bad_data_folder(run, kind: str):
    if kind == "one class":
        for split in ("train", "test"):
            Path("images", split, "cat").mkdir(parents=True)
    code, _, err = run(*search("--data", "images"))
    one_sentence(code, err, "images")


def test_a_loss_that_is_no_number(run, table, monkeypatch):
    def diverge(*given: Any, **named: Any) -> None:
        raise TrainingDiverged("the loss became nan in step 3 of phase 1 (200 steps): the checkpoint of step 0 is kept")

    monkeypatch.setattr(trainer, "run_s3nas", diverge)
    code, _, err = run(*search(budget=f"{2 * middle(table):.4f}"))
    one_sentence(code, err, "the loss became nan in step 3 of phase 1", "checkpoint")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "wait=5"], "a search has no setting 'wait'"),
        (["--set", "weight"], "--set takes NAME=VALUE"),
        (["--set", "weight=-1"], "weight must be at least 0"),
        (["--preset", "best"], "there is no search preset 'best'"),
        (["--search-share", "2"], "--search-share must be above 0 and at most 1"),
        (["--search-share", "0.5", "--search-budget-ms", "0.2"], "give one"),
        (["--search-budget-ms", "0.2", "--search-budget-ms", "0.3"], "1 targets and 2 budgets"),
        (["--target", "other"], "2 targets and 1 budgets"),
        (["--cost", "money"], "--cost is latency or energy"),
        (["--cost", "energy"], "a budget of energy is given by --budget-mj"),
        (["--costs", "magic"], "--costs is table, model, hwnasbench"),
        (["--removed", "much", "--all"], "--removed is shares between 0 and 1"),
    ],
)
def test_options_that_make_no_sense(run, monkeypatch, more: list[str], words: str):
    monkeypatch.setattr(targets, "all_devices", lambda path: ())
    code, _, err = run(*search(*more))
    one_sentence(code, err, words)


def test_steps_of_the_phases_belong_together(run):
    code, _, err = run("search", "s3nas", "--target", "sim", "--budget-ms", "1", "--phase1-steps", "3")
    one_sentence(code, err, "belong together")


def test_verify_of_a_folder_without_a_run(run, monkeypatch):
    monkeypatch.setattr(targets, "all_devices", lambda path: ())
    Path("empty").mkdir()
    code, _, err = run("verify", "empty")
    one_sentence(code, err, "holds no run of S3NAS")


def test_the_stages_have_commands(run, table, monkeypatch):
    budget = 2 * middle(table)
    run(*search("--out", "run", budget=f"{budget:.4f}"))
    code, out, err = run("scale", "run/network.yaml", "-t", "sim", "--budget-ms", f"{budget:.4f}")
    assert code == 0, err
    assert out.startswith("phi ")
    common = ["--train-steps", "1"]
    asked = ["-t", "sim", "--budget-ms", f"{budget:.4f}", "--removed", "1", *common]
    code, out, err = run("postprocess", "run/network.yaml", *asked)
    assert code == 0, err
    assert "plain" in out
    shutil.copy("run/scaled.yaml", "mine.yaml")
    code, out, err = run("train", "mine.yaml", *common, "--out", "trained")
    assert code == 0, err
    assert "final-int8.tflite" in out
    assert SimpleNamespace(**json.loads(Path("trained/final.json").read_text())).stage == "final"
