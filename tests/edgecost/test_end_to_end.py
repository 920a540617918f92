"""The command line from a board to a report, over real SSH: two loopback boards, three small networks."""

import json
import sys
from pathlib import Path

import pytest

from edgecost.cli import main
from profiler.measure.watch import VERDICT
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.builders.onnx import build_onnx

TARGET = "ort-fp32-t1/onnxruntime-fp32-t1"


def network(name: str, depth: int):
    b = WorkloadBuilder(name)
    x = b.conv2d(b.input((1, 3, 16, 16)), 8, kernel=3, bias=True)
    for _ in range(depth):
        x = b.add(x, b.conv2d(b.relu(x), 8, kernel=3, bias=True))
    return b.build(b.linear(b.flatten(b.global_avg_pool(x)), 10))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A folder with a fleet that is up and one profiled run; gives (folder, call)."""
    from profiler.fleet.virtual.loopback import Fleet

    folder = tmp_path_factory.mktemp("bench")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    for depth in (1, 2, 4):
        (folder / f"net{depth}.onnx").write_bytes(build_onnx(network(f"net{depth}", depth)))

    def call(*arguments: str) -> int:
        patch.setattr(sys, "argv", ["edgecost", *arguments])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    with Fleet(Path(".edgecost/fleet")):
        models = [part for depth in (1, 2, 4) for part in ("--model", f"net{depth}.onnx")]
        profile = ["profile", "--target", "ort-fp32-t1", *models, "--effort", "quick", "--rounds", "2", "--json"]
        assert call(*profile) == 0
        yield folder, call, profile
    patch.undo()


def output(capsys, call, *arguments: str) -> dict:
    capsys.readouterr()
    assert call(*arguments) == 0
    return json.loads(capsys.readouterr().out)


def test_the_same_command_measures_nothing_twice(bench, capsys) -> None:
    _, call, profile = bench
    journal = next(Path("results").glob("*/*/journal.jsonl"))
    before = journal.read_bytes()
    (run,) = output(capsys, call, *profile)
    assert run["measured"] == 0
    assert run["resumed"] > 0
    assert journal.read_bytes() == before


def test_every_job_is_one_good_record(bench) -> None:
    journal = next(Path("results").glob("*/*/journal.jsonl"))
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    assert {r["status"] for r in records} == {"ok"}
    moved = {r["env"].get(VERDICT) for r in records if r["role"]["kind"] == "sentinel"} - {"reference", "good"}
    if not moved:  # a machine that changes its speed has its jobs measured again
        assert len({r["job_key"] for r in records}) == len(records)
    assert all(r["samples_ns"] and min(r["samples_ns"]) > 0 for r in records)
    assert all(r["output_error"] < 1e-3 for r in records)


def test_table_holds_marginal_and_isolated_costs(bench, capsys) -> None:
    _, call, _ = bench
    rows = output(capsys, call, "table", "show", "--kind", "all", "--all-rows", "--json")["rows"]
    kernels = [r for r in rows if r["kind"] == "kernel"]
    assert {r["target"] for r in rows} == {TARGET}
    assert any(r["label"].startswith("conv2d 3x3") for r in kernels)
    assert all(r["isolated_us"] > 0 for r in kernels)
    assert sum(r["kind"] == "model" for r in rows) == 3


@pytest.mark.parametrize("name", ["costs.csv", "costs.parquet", "costs.json"])
def test_export(bench, capsys, name: str) -> None:
    _, call, _ = bench
    answer = output(capsys, call, "table", "export", name, "--json")
    assert Path(name).stat().st_size > 0
    assert answer["rows"] > 3


def test_predict_prints_layers_total_and_interval(bench, capsys) -> None:
    folder, call, _ = bench
    (folder / "net3.onnx").write_bytes(build_onnx(network("net3", 3)))
    answer = output(capsys, call, "predict", "net3.onnx", "--target", "ort-fp32-t1", "--json")
    assert answer["complete"]
    assert answer["low_ms"] <= answer["latency_ms"]
    assert answer["not_covered"] == []
    total = sum(layer["latency_ms"] for layer in answer["layers"])
    assert total == pytest.approx(answer["latency_ms"])


def test_predict_of_unknown_operators_is_a_lower_bound_and_exit_code_2(bench, capsys) -> None:
    import onnx
    from onnx import helper

    _, call, _ = bench
    model = onnx.load_from_string(build_onnx(network("net2", 2)))
    last = model.graph.node[-1]
    strange = helper.make_node("Sin", [last.input[0]], ["sine"], name="strange")
    model.graph.node.insert(len(model.graph.node) - 1, strange)
    last.input[0] = "sine"
    onnx.save(model, "strange.onnx")
    capsys.readouterr()
    assert call("predict", "strange.onnx", "--target", "ort-fp32-t1") == 2
    shown = capsys.readouterr()
    assert "lower bound" in shown.out
    assert "Sin" in shown.err


def test_predict_measures_the_very_file_and_prints_both(bench, capsys) -> None:
    """One with names of its own, a dynamic batch, and weights beside it."""
    import onnx

    _, call, _ = bench
    model = onnx.load_from_string(build_onnx(network("net3", 3)))
    names = {"input_0": "image", "output_0": "scores"}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    model.graph.input[0].name, model.graph.output[0].name = "image", "scores"
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, "own.onnx", save_as_external_data=True, location="own.bin", size_threshold=0)
    command = ["predict", "own.onnx", "--target", "ort-fp32-t1", "--measure", "--effort", "quick"]
    capsys.readouterr()
    assert call(*command) == 2
    assert "--input-shape 1,3,16,16" in capsys.readouterr().err
    answer = output(capsys, call, *command, "--input-shape", "1,3,16,16", "--json")
    measured = answer["measured"]
    assert measured["low_ms"] <= measured["measured_ms"] <= measured["high_ms"]
    assert measured["off_by"] == pytest.approx(answer["latency_ms"] / measured["measured_ms"] - 1)
    assert measured["what"] == "the file with its weights inside and its shapes fixed"
    (given,) = Path(".edgecost/artefacts/given").iterdir()
    (journal,) = Path("results").glob("*/file-*/journal.jsonl")
    hashes = [line for line in journal.read_text().splitlines() if given.stem in line]
    assert hashes


def test_predict_does_not_measure_what_it_has_not_read_whole(bench, capsys) -> None:
    _, call, _ = bench
    capsys.readouterr()
    assert call("predict", "strange.onnx", "--target", "ort-fp32-t1", "--measure") == 2
    assert "Sin" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "word"), [(b"not a model", "bad.onnx"), (b"", "bad.onnx")], ids=["text", "empty"])
def test_predict_of_no_onnx_file(bench, capsys, content: bytes, word: str) -> None:
    _, call, _ = bench
    Path("bad.onnx").write_bytes(content)
    capsys.readouterr()
    assert call("predict", "bad.onnx", "--target", "ort-fp32-t1") == 2
    assert word in capsys.readouterr().err


def test_predict_on_a_target_that_was_not_measured(bench, capsys) -> None:
    _, call, _ = bench
    capsys.readouterr()
    assert call("predict", "net1.onnx", "--target", "litert-fp32-t1") == 2
    assert "edgecost profile" in capsys.readouterr().err


def test_a_corrupt_line_is_skipped_and_counted(bench, capsys, tmp_path) -> None:
    import shutil

    _, call, _ = bench
    copy = tmp_path / "results"
    shutil.copytree("results", copy)
    journal = next(copy.glob("*/*/journal.jsonl"))
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], b'{"schema": 1, "broken\n', *lines[1:]]))
    answer = output(capsys, call, "table", "show", "--results", str(copy), "--all-rows", "--json")
    assert answer["corrupt_lines"] == 1
    assert answer["rows"] == output(capsys, call, "table", "show", "--all-rows", "--json")["rows"]


def test_verify_says_whether_the_budget_holds(bench, capsys) -> None:
    _, call, _ = bench
    # |none|...: the smallest network of the space, connected by one skip
    best = {"choices": [0, 0, 0, 1, 0, 0], "cost_ms": 1.0}
    study = {"space": "nasbench201", "target": TARGET, "budget_ms": 1e3, "best": best}
    Path("study.json").write_text(json.dumps(study))
    answer = output(capsys, call, "verify", "study.json", "--effort", "quick", "--json")
    assert answer["within_budget"]
    assert 0 < answer["measured_ms"] < 1e3
    Path("study.json").write_text(json.dumps({**study, "budget_ms": 1e-6}))
    assert call("verify", "study.json", "--effort", "quick") == 1


def test_report_is_one_offline_file(bench, capsys) -> None:
    _, call, _ = bench
    answer = output(capsys, call, "report", "--json")
    html = Path(answer["report"]).read_text()
    assert "six configurations, not six boards" in html
    assert TARGET in html
    assert "<script src" not in html


def test_report_draws_in_a_browser(bench, capsys, tmp_path) -> None:
    import shutil
    import subprocess

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium")
    _, call, _ = bench
    path = Path(output(capsys, call, "report", "--json")["report"]).absolute()
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    found = subprocess.run(
        [chromium, *flags, f"--user-data-dir={tmp_path}", "--virtual-time-budget=8000", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    # bokeh puts a canvas into the page only where its script ran
    assert "bk-Figure" in found.stdout or "<canvas" in found.stdout
