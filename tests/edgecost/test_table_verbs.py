"""`edgecost table audit` and `diff` as users type them: answers, exit codes, one sentence for bad input."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from profiler.fleet.targets import Device, Target
from profiler.measure.config import MeasureConfig
from profiler.measure.journal import encode
from profiler.measure.record import Measurement, Role
from profiler.measure.runfolder import RunFolder
from profiler.tables.row import Row
from profiler.tables.table import CostTable

Run = Callable[..., tuple[int, str, str]]

TARGET = Target("rpi5", "onnxruntime", "fp32")


def export(path: Path, factor: float = 1.0, target: Target = TARGET) -> str:
    rows = [
        Row(target.id, f"key{i}", "model", f"net {i}", ns, 0.999 * ns, 1.001 * ns, spread=0.001, n_rounds=5)
        for i in range(1, 9)
        if (ns := 1e6 * i * (factor if i == 3 else 1.0))
    ]
    CostTable(rows, targets=[target]).export(path)
    return str(path)


def one_sentence(err: str) -> str:
    lines = [line for line in err.splitlines() if line.startswith("edgecost:")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


# -------------------------------------------------------------------- audit


def test_a_sound_table_passes(run: Run, tmp_path: Path):
    code, out, _ = run("table", "audit", export(tmp_path / "t.json"))
    assert code == 0
    assert "0 errors" in out


def test_an_impossible_table_fails_and_names_the_row(run: Run, tmp_path: Path):
    (tmp_path / "t.csv").write_text("name,latency_ms,energy_mj\nnet a,10,40\nnet b,10,900\nnet c,0,40\n")
    code, out, _ = run("table", "audit", "t.csv", "--device-class", "phone")
    assert code == 1
    assert "row 1 (net b): energy / latency is 90 W" in out
    assert "row 2 (net c): the latency is 0 ms" in out
    assert "2 errors" in out


def test_an_audit_as_json_holds_everything(run: Run, tmp_path: Path):
    (tmp_path / "t.csv").write_text("name,latency_ms\na,10\na,11\n")
    code, out, _ = run("table", "audit", "t.csv", "--json")
    found = json.loads(out)
    assert code == 1
    assert found["counts"] == {"error": 1, "warning": 0, "note": 0}
    assert found["tables"] == [{"device": "t", "rows": 2, "class": "unknown", "source": "t.csv"}]
    (finding,) = found["findings"]
    assert (finding["check"], finding["index"], finding["key"]) == ("duplicated", 1, "a")
    assert found["summary"][0]["findings"] == 1


def test_columns_units_and_checks_can_be_said(run: Run, tmp_path: Path):
    (tmp_path / "t.csv").write_text("net,cost,joules\na,10,0.00004\nb,10,0.9\n")
    arguments = ("--latency-column", "cost", "--energy-column", "joules", "--energy-unit", "J", "--key-columns", "net")
    code, out, _ = run("table", "audit", "t.csv", *arguments, "--unit", "us", "--check", "power", "--json")
    assert code == 1
    assert [(f["index"], f["check"]) for f in json.loads(out)["findings"]] == [(1, "power")]


def test_names_from_a_file_do_not_reach_the_terminal_raw(run: Run, tmp_path: Path):
    (tmp_path / "t.csv").write_text("name,latency_ms\n\x1b[31mred,0\n")
    _, out, _ = run("table", "audit", "t.csv")
    assert "\x1b[31m" not in out
    assert "red" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.csv",), "there is no none.csv"),
        (("hwnasbench",), "EDGECOST_DATA"),
        (("t.csv", "--check", "luck"), "no check 'luck'"),
        (("t.csv", "--device-class", "toaster"), "no device class"),
        (("t.csv", "--latency-column", "speed"), "'speed'"),
        (("t.csv", "--unit", "hours"), "no unit"),
        ((".",), "no runs below"),
    ],
)
def test_bad_input_of_an_audit_is_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
):
    monkeypatch.delenv("EDGECOST_DATA", raising=False)
    (tmp_path / "t.csv").write_text("name,latency_ms\na,10\n")
    code, out, err = run("table", "audit", *arguments)
    assert (code, out) == (2, "")
    assert words in one_sentence(err)


# -------------------------------------------------------------------- diff


def test_a_table_and_itself_are_the_same(run: Run, tmp_path: Path):
    path = export(tmp_path / "a.json")
    code, out, _ = run("table", "diff", path, path)
    assert code == 0
    assert "8 same" in out


def test_a_regression_fails(run: Run, tmp_path: Path):
    code, out, _ = run("table", "diff", export(tmp_path / "a.json"), export(tmp_path / "b.parquet", 1.2))
    assert code == 1
    assert "1 slower" in out
    assert "net 3" in out
    assert "net 4" not in out


def test_an_improvement_passes(run: Run, tmp_path: Path):
    code, out, _ = run("table", "diff", export(tmp_path / "a.json", 1.2), export(tmp_path / "b.json"), "--all")
    assert code == 0
    assert "1 faster" in out
    assert "net 4" in out


def test_a_diff_as_json_holds_everything(run: Run, tmp_path: Path):
    code, out, _ = run("table", "diff", export(tmp_path / "a.json"), export(tmp_path / "b.json", 1.2), "--json")
    found = json.loads(out)
    assert code == 1
    assert found["regression"] is True
    assert found["verdicts"] == {"same": 7, "slower": 1}
    (slower,) = [e for e in found["effects"] if e["verdict"] == "slower"]
    assert slower["ratio"] == pytest.approx(1.2)
    assert slower["low"] < 1.2 < slower["high"]
    assert slower["p_adjusted"] < 0.05
    assert found["shifts"][0]["ratio"] == pytest.approx(1.0)
    assert {m["name"] for m in found["mismatches"]} == {"unknown"}


def test_two_configurations_are_refused_unless_allowed(run: Run, tmp_path: Path):
    a, b = export(tmp_path / "a.json"), export(tmp_path / "b.json", target=Target("rpi5", "onnxruntime", "int8"))
    code, _, err = run("table", "diff", a, b)
    assert code == 2
    assert "the precision differs: fp32 in A, int8 in B" in one_sentence(err)
    code, out, _ = run("table", "diff", a, b, "--allow", "precision")
    assert code == 0
    assert "8 same" in out
    code, out, _ = run("table", "diff", a, b, "--allow", "precision", "--target-a", "rpi5", "--target-b", "rpi5")
    assert code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.json", "a.json"), "there is no none.json"),
        (("a.json", "bad.json"), "bad.json is not a cost table"),
        (("a.json", "a.json", "--allow", "weather"), "no gate 'weather'"),
        (("a.json", "a.json", "--target-a", "rpi5"), "--target-a and --target-b"),
        (("a.json", "a.json", "--target-a", "rpi4", "--target-b", "rpi5"), "no rows for 'rpi4'"),
    ],
)
def test_bad_input_of_a_diff_is_one_sentence(run: Run, tmp_path: Path, arguments: tuple[str, ...], words: str):
    export(tmp_path / "a.json")
    (tmp_path / "bad.json").write_text("{}")
    code, out, err = run("table", "diff", *arguments)
    assert (code, out) == (2, "")
    assert words in one_sentence(err)


def results_with(folder: Path, isolation: str) -> str:
    """A folder of results with one model in two rounds, whose kernels were chosen to be isolated in a way."""
    run_folder = RunFolder.create(folder, TARGET.device_id, "r1")
    run_folder.write_header(Device(TARGET.device_id, "192.0.2.1", "nobody", (TARGET,)), TARGET, MeasureConfig(), {})
    lines = [
        Measurement(
            f"job{n}", "net", "", TARGET.device_id, TARGET.id, Role("model", "net"), n, "ok",
            samples_ns=(1_000_000 + n, 1_000_900, 999_100), runs_per_batch=1, started_at="2026-01-01T00:00:00+00:00",
        )
        for n in range(2)
    ]  # fmt: skip
    run_folder.journal_path.write_bytes(b"".join(map(encode, lines)))
    chosen = {"target": TARGET.id, "emulation": "", "chosen": {"cut": "nodes", "isolation": isolation}, "rows": []}
    (folder / "cuts.json").write_text(json.dumps({"targets": [chosen]}))
    return str(folder)


def test_chosen_cuts_are_a_gate(run: Run, tmp_path: Path):
    a, b = (results_with(tmp_path / name, how) for name, how in (("a", "chained"), ("b", "pairs")))
    code, _, err = run("table", "diff", a, b)
    assert code == 2
    assert "isolation chained in A" in one_sentence(err)
    assert run("table", "diff", a, b, "--allow", "cut")[0] == 0
    assert run("table", "diff", a, a)[0] == 0
    (tmp_path / "a" / "cuts.json").write_text("{}")
    code, _, err = run("table", "diff", a, b)
    assert code == 2
    assert "is not a comparison of cuts" in one_sentence(err)
