"""The page of validations: what it shows of files by leaving out and of transfer protocols, and of damaged ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgecost.report.build import write_report
from edgecost.report.collect import DISCLAIMERS
from edgecost.report.validation import validations
from edgecost.report.validation_left_out import OVERVIEW, left_out_targets
from edgecost.report.validation_transfer import transfer_protocol
from edgecost.stages.costs import write_json
from profiler.errors import StorageError

ATTACK = "<script>pwned</script>"


def left_out_row(what: str, model: str, seed: int | None, rmspe: float | None, group: str = "all") -> dict[str, Any]:
    figures = {"n": 4, "n_missing": 0, "mape": rmspe, "rmspe": rmspe, "within_5": 0.5, "within_10": 0.75}
    row = {"what": what, "model": model, "group": group, "seed": seed, "covered": 0.75, "level": 0.9, "noise": 0.02}
    return {**row, **figures, "kendall_tau": 0.8, "spearman": None, "regret_1": 0.0, "regret_10": None}


def point(measured: float, predicted: float | None, half: float = 0.1, label: str = "net") -> dict[str, Any]:
    low, high = (None, None) if predicted is None else (predicted * (1 - half), predicted * (1 + half))
    return {"label": label, "group": "g", "measured_ms": measured, "predicted_ms": predicted, "low_ms": low,
            "high_ms": high, "noise": 0.01}  # fmt: skip


def left_out(folder: Path, **changes: Any) -> Path:
    rows = [
        left_out_row("kernel", "roofline", 0, 0.4, "well measured"),
        *(left_out_row("kernel", "regressors", seed, rmspe) for seed, rmspe in ((0, 0.1), (1, 0.3))),
        left_out_row("kernel", "regressors", 0, 0.6, "conv2d 3x3"),
        left_out_row("kind", "regressors", None, 0.5),
        left_out_row("network", "macs", 0, 0.7),
        left_out_row("network", "additive", 0, None),
    ]
    points = {
        "kernels": [point(1.0, 1.05), point(1.0, 1.05), point(2.0, 8.0, label=ATTACK), point(3.0, None)],
        "networks": [],
    }
    run = {"run": "r1", "started": "2026-01-02T03:04:05+00:00", "board": "a CPU", "processor": "P", "cores": 2,
           "runtimes": {"litert": "2"}}  # fmt: skip
    target = {"target": "b/litert-fp32-t1", "emulation": "loopback", "measured": [run], "rows": rows, "points": points,
              "notes": [ATTACK]}  # fmt: skip
    return write_json(folder / "mine.json", {"schema": 1, "seeds": 2, "targets": [target | changes]})


def method_row(method: str, target: str, spearman: float | None, **more: Any) -> dict[str, Any]:
    row = {"method": method, "target": target, "spearman": spearman, "within_5": 0.5, "within_10": None}
    return {**row, "spearman_sd": 0.01, **more}


def transfer(folder: Path, **changes: Any) -> Path:
    covered = {"covered": 0.9, "half_width": 0.05, "transfer_share": 0.25}
    summary = [
        *(method_row("MACs", target, value) for target, value in (("a", 0.5), ("b", 0.7), ("mean", 0.6))),
        *(method_row("transfer", t, v, **covered) for t, v in (("a", 0.9), ("b", 0.96), ("mean", 0.93))),
        *(method_row("noise ceiling", target, 1.0) for target in ("a", "b", "mean")),
    ]
    rows = [
        {"target": target, "seed": seed, "method": "transfer", "spearman": value}
        for seed, values in enumerate(((0.88, 0.96), (0.92, 0.96)))
        for target, value in zip("ab", values, strict=True)
    ]
    data = {
        "schema": 1, "protocol": "nasflat:X", "space": "fbnet", "sources": ["s1"], "targets": ["a", "b"],
        "missing_targets": [], "samples": 20, "source_samples": 800, "seeds": [0, 1], "level": 0.9,
        "published_mean_spearman": {"HELP": 0.888}, "published_by_target": {}, "published_origin": "a paper",
        "summary": summary, "rows": rows,
    }  # fmt: skip
    return write_json(folder / "transfer-x.json", data | changes)


def test_a_folder_of_validations_is_one_still_page(tmp_path: Path) -> None:
    left_out(tmp_path)
    transfer(tmp_path)
    write_json(tmp_path / "else.json", {"rows": []})
    text = write_report(tmp_path, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search(r"""(src|href)\s*=""", text)
    assert text.index(DISCLAIMERS["loopback"].replace("'", "&#39;")) < text.index("<h2>")
    assert "measured from 2026-01-02 03:04:05+00:00" in text
    assert "&lt;script&gt;pwned" in text
    assert text.count("<svg") == 3
    assert "20.00 ± 14.14" in text


def test_one_sort_alone_is_a_page_too(tmp_path: Path) -> None:
    transfer(tmp_path)
    text = write_report(tmp_path, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Transfer between devices" in text
    assert "had not seen" not in text
    assert 'class="note"' not in text


def test_a_folder_of_neither_says_so_and_writes_nothing(tmp_path: Path) -> None:
    write_json(tmp_path / "else.json", {"targets": []})
    assert validations(tmp_path) is None
    with pytest.raises(StorageError, match="there are no runs below"):
        write_report(tmp_path, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_target_beside_others_has_dashes_where_there_is_nothing(tmp_path: Path) -> None:
    (target,) = left_out_targets(left_out(tmp_path))
    found = dict(zip(zip(OVERVIEW, range(len(OVERVIEW)), strict=True), target.overview, strict=True))
    assert found["RMSPE %", 1] == "20.00 ± 14.14"
    assert found["well measured", 4] == "–"
    assert found["a roofline's", 6] == "40.00"
    assert found["RMSPE %", 9] == "–"
    assert found["covered %", 12] == "75.00"
    assert [row["group"] for row in target.section.kinds] == ["conv2d 3x3"]


def test_charts_say_what_they_draw(tmp_path: Path) -> None:
    (target,) = left_out_targets(left_out(tmp_path))
    parity, residuals = target.charts
    assert "kernels: 3 predicted, 1 more without a prediction" in parity
    assert "within their intervals: 2 (1 drawn)" in parity
    assert "outside: 1<" in parity
    assert parity.count("h0") == 1
    assert parity.count("<circle") == 1
    assert "1 beyond ± 100 % stand at the edge" in residuals
    assert residuals.count("<circle") == 1


def test_methods_stand_beside_published_figures(tmp_path: Path) -> None:
    found = transfer_protocol(transfer(tmp_path))
    assert [row[0] for row in found.methods] == ["transfer", "MACs", "noise ceiling", "published: HELP"]
    assert found.methods[0][1:] == ["0.930 ± 0.010", "50.0", "–", "90.0", "5.0"]
    assert found.methods[1][4:] == ["–", "–"]
    assert found.methods[3][1:] == ["0.888", "–", "–", "–", "–"]
    assert found.by_target[1] == ["b", "0.960 ± 0.010", "50.0", "–", "90.0", "5.0", "25"]
    assert found.published == "HELP 0.888"
    assert "published: HELP" in found.chart


def test_published_means_over_other_targets_do_not_compare(tmp_path: Path) -> None:
    found = transfer_protocol(transfer(tmp_path, missing_targets=["c"]))
    assert found.published == "–"
    assert not any("published" in row[0] for row in found.methods)
    assert "published" not in found.chart
    assert "HELP 0.888" in found.notes[1]
    assert "over 3 targets, of which c are not in the data" in found.notes[1]


def test_published_figures_of_single_targets_compare(tmp_path: Path) -> None:
    by_target = {"HELP": {"a": 0.8, "b": 0.9, "c": 0.1}}
    found = transfer_protocol(transfer(tmp_path, missing_targets=["c"], published_by_target=by_target))
    assert found.published == "HELP 0.850"
    assert found.target_columns[-1] == "published: HELP"
    assert [row[-1] for row in found.by_target] == ["0.800", "0.900"]
    assert "0.100" not in found.chart


@pytest.mark.parametrize(
    ("write", "changes", "said"),
    [
        (left_out, {"rows": [{}]}, "mine.json is no validation by leaving out"),
        (left_out, {"rows": None}, "mine.json is no validation by leaving out"),
        (left_out, {"points": {"kernels": [{"label": "a"}]}}, "mine.json is no validation by leaving out"),
        (left_out, {"measured": ["x"]}, "mine.json is no validation by leaving out"),
        (transfer, {"summary": []}, "transfer-x.json is no validation of transfer"),
        (transfer, {"seeds": 3}, "transfer-x.json is no validation of transfer"),
        (transfer, {"targets": ["z"]}, "transfer-x.json is no validation of transfer"),
        (transfer, {"schema": 9}, "transfer-x.json has schema 9"),
    ],
)
def test_a_damaged_file_is_a_sentence(run, tmp_path: Path, write: Any, changes: dict[str, Any], said: str) -> None:
    write(tmp_path, **changes)
    code, _, err = run("report", "--results", str(tmp_path))
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert len([line for line in err.splitlines() if line.startswith("edgecost:")]) == 1
    assert not (tmp_path / "report.html").exists()


def test_a_torn_file_is_a_sentence(run, tmp_path: Path) -> None:
    path = transfer(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()))[:-20])
    code, _, err = run("report", "--results", str(tmp_path))
    assert code == 2
    assert "transfer-x.json cannot be read" in err


def test_the_committed_tables_are_shown_whole(tmp_path: Path) -> None:
    folder = Path(__file__).parents[3] / "results" / "predictors"
    text = write_report(folder, tmp_path / "report.html").read_text(encoding="utf-8")
    for name in ("left-out-ort-int8-t1.json", "nasflat:FD", "leave-one-out:nasbench201"):
        assert name in text
    assert len(text) < 600_000
    assert "nan" not in re.sub(r"<title>.*?</title>", "", text).split()
