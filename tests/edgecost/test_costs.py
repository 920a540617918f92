"""Tables through the command line: what emulated processors gave stays out, and is named."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgecost.cli import main
from edgecost.stages.costs import emulated_note, load_table, resolve_target
from profiler.errors import UnknownWorkload
from profiler.fleet.targets import Target

FAKES = Path(__file__).parents[1] / "profiler" / "measure" / "fakes.py"
EMULATED = Target("emulated", "onnxruntime", "fp32")

Call = Callable[..., tuple[str, str]]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    spec = importlib.util.spec_from_file_location("measure_fakes", FAKES)
    assert spec is not None
    assert spec.loader is not None
    fakes = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = fakes
    spec.loader.exec_module(fakes)
    campaign = fakes.campaign(fakes.World(), tmp_path / "results", config=fakes.CONFIG)
    jobs = list(fakes.kernel_jobs("conv2d"))
    campaign.run(replace(fakes.DEVICE, emulation=""), fakes.TARGET, jobs, "r1")
    campaign.run(replace(fakes.DEVICE, id="emulated", targets=(EMULATED,), emulation="qemu"), EMULATED, jobs, "r2")
    return tmp_path / "results"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["edgecost", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        out, err = capsys.readouterr()
        return out, err

    return run


def test_show_leaves_them_out_and_says_so_in_one_line(results: Path, call: Call) -> None:
    out, err = call("table", "show", "--results", str(results), "--all-rows", "--json")
    assert {row["target"] for row in json.loads(out)["rows"]} == {"fake/onnxruntime-fp32-t1"}
    assert err.count("\n") == 1
    assert "measurements of emulated/onnxruntime-fp32-t1 were left out" in err


def test_export_lets_them_in_when_asked_and_says_so(results: Path, tmp_path: Path, call: Call) -> None:
    path = tmp_path / "table.json"
    _, err = call("table", "export", str(path), "--results", str(results))
    assert "left out" in err
    assert {row["target_id"] for row in json.loads(path.read_text())["rows"]} == {"fake/onnxruntime-fp32-t1"}
    _, err = call("table", "export", str(path), "--results", str(results), "--with-emulated")
    assert "as asked" in err
    assert json.loads(path.read_text())["emulated"] == {"included": True, "left_out": {}}
    assert {row["target_id"] for row in json.loads(path.read_text())["rows"]} >= {EMULATED.id}


def test_a_model_of_an_emulated_target_is_refused_with_the_reason(results: Path) -> None:
    table = load_table(results)
    for name in (EMULATED.id, "emulated"):
        with pytest.raises(UnknownWorkload, match="processor is emulated"):
            resolve_target(table, name)
    assert resolve_target(load_table(results, with_emulated=True), "emulated") == EMULATED.id


def test_boards_alone_are_worth_no_remark(results: Path, call: Call) -> None:
    import shutil

    shutil.rmtree(results / "emulated")
    assert emulated_note(load_table(results)) == ""
    assert call("table", "show", "--results", str(results), "--all-rows", "--json")[1] == ""
