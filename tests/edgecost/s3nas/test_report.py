"""The report's section on S3NAS: every stage of a run, what was verified, tables of studies; nothing breaks it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mixconv_tables
import numpy as np
import pytest

from edgecost.report import s3nas_figures
from edgecost.report.build import render
from edgecost.report.collect import ReportData
from edgecost.report.s3nas import s3nas_section
from edgecost.stages.costs import write_json
from edgecost.stages.s3nas.files import network_facts, write_stage
from search.s3nas.post.transforms import with_se

TARGET = mixconv_tables.TARGET.id
COURSE = [
    {"step": step, "phase": 1 + step // 30, "loss": 3.0, "cross_entropy": 2.0 - step / 100, "t_hat": [1.2 - step / 100]}
    for step in range(10, 60, 10)
]


def targets(measured: float | None = None, budget: float = 0.9) -> list[dict[str, Any]]:
    return [{"target": TARGET, "unit": "ms", "budget": budget, "predicted": 0.87, "measured": measured}]


@pytest.fixture(scope="module")
def network():
    space = mixconv_tables.tiny_space()
    return space.network(space.sample(np.random.default_rng(3)))


@pytest.fixture
def run(tmp_path: Path, network) -> Path:
    """A run with all its stages."""
    folder = tmp_path / "s3nas" / "tiny-sim-0.9ms-s0"
    search = {"sentence": "found <b>one</b>", "targets": targets(), "seconds": 12.0, "steps": 60, "t_hat": [0.87]}
    write_json(folder / "result.json", {"course": COURSE})
    write_stage("search", folder, "a", {**search, **network_facts(network)})
    scale = {"phi": 1.5, "targets": targets(0.89), "seconds": 0.4, "sentence": "scaled"}
    write_stage("scale", folder, "b", {**scale, **network_facts(network)})
    final = with_se(network)
    option = {
        "option": "se", "phi": 1.2, "predicted": 0.88, "measured": None, "params": 1000, "macs": 2000, "accuracy": 0.75,
        "why": "kept: it is better", "kept": True,
    }  # fmt: skip
    extra = {"target": TARGET, "option": "se", "predicted_extra": 0.25}
    post = {"unit": "ms", "options": [option], "option_costs": [extra], "targets": targets(), "seconds": 70.0}
    write_stage("postprocess", folder, "c", {**post, **network_facts(final), "accuracy": 0.75})
    exported = {"file": "final.onnx", "bytes": 4096, "accuracy": 0.74, "agreement": 0.99, "max_error": 1e-6}
    write_stage("final", folder / "final", "d", {"accuracy": 0.77, "exports": [exported], **network_facts(final)})
    return folder


def page(section: Any) -> str:
    data = ReportData("title", "now", "0", "host", "", [], [])
    data.s3nas = section
    return render(data)


def test_a_run_is_shown_stage_by_stage(run: Path, tmp_path: Path):
    section = s3nas_section(tmp_path)
    assert section is not None
    assert [r["stage"] for r in section.rows] == ["searched", "scaled", "post-processed"]
    assert [r["accuracy"] for r in section.rows] == ["–", "–", "77.00 %"]
    assert [r["measured"] for r in section.rows] == ["–", "0.89 ms", "–"]
    assert section.rows[0]["seconds"] == "12 s"
    (found,) = section.runs
    assert [name for name, _ in found.networks] == ["found", "scaled", "post-processed"]
    assert all(block["se"] for block in found.networks[2][1])
    assert found.extras[0]["predicted_extra"] == "+25.0 %"
    assert section.notes == []
    assert [row["step"] for row in found.course] == [10, 20, 30, 40, 50, 60]
    assert found.course[-1]["t_hat"] == [0.87]


def test_the_page_draws_it_and_escapes_what_it_says(run: Path, tmp_path: Path):
    html = page(s3nas_section(tmp_path))
    assert "<h2>S3NAS</h2>" in html
    assert "found &lt;b&gt;one&lt;/b&gt;" in html
    assert "T_hat and budget" in html
    assert "post-processed: blocks by stage, expansion by kernel" in html
    assert "kept: it is better" in html
    assert "final.onnx" in html
    assert html.count("data-root-id") >= 2


def test_what_was_verified_counts_as_measured(run: Path, tmp_path: Path):
    verdict = {"stage": "search", "targets": [{"target": TARGET, "measured_ms": 0.91}]}
    (run / "verify.json").write_text(json.dumps(verdict))
    section = s3nas_section(tmp_path)
    assert section is not None
    assert [r["measured"] for r in section.rows] == ["0.91 ms", "0.89 ms", "–"]


def test_a_search_alone_is_enough(run: Path, tmp_path: Path):
    for name in ("scaling.json", "postprocess.json", "final/final.json"):
        (run / name).unlink()
    section = s3nas_section(tmp_path)
    assert section is not None
    assert [r["stage"] for r in section.rows] == ["searched"]
    assert "T_hat and budget" in page(section)
    (run / "result.json").unlink()
    section = s3nas_section(tmp_path)
    assert section is not None
    assert "T_hat and budget" not in page(section)


@pytest.mark.parametrize("text", ["{", "[]", '{"sentence": "x"}', '{"sentence": "x", "targets": 3}'])
def test_a_run_that_cannot_be_read_is_a_note(run: Path, tmp_path: Path, text: str):
    other = tmp_path / "s3nas" / "broken"
    other.mkdir()
    (other / "search.json").write_text(text)
    section = s3nas_section(tmp_path)
    assert section is not None
    assert len(section.runs) == 1
    assert "The run broken could not be read" in section.notes[0]


def test_tables_of_studies_have_whatever_columns_they_have(tmp_path: Path):
    folder = tmp_path / "s3nas"
    folder.mkdir()
    rows = [
        {"method": "S3NAS", "accuracy": 0.7512, "params": 12345, "measured_ms": None, "exports": {"a": 1}},
        {"method": "random <b>", "accuracy": 0.7, "gap": 0.123456, "seeds": [1, 2]},
    ]
    (folder / "study.json").write_text(json.dumps({"rows": rows}))
    (folder / "other.json").write_text("{")
    (folder / "plain.json").write_text("{}")
    section = s3nas_section(tmp_path)
    assert section is not None
    ((title, columns, cells),) = section.studies
    assert title == "study"
    assert columns == ["method", "accuracy", "params", "measured_ms", "gap", "seeds"]
    assert cells == [
        ["S3NAS", "75.12 %", "12,345", "–", "–", "–"],
        ["random <b>", "70.00 %", "–", "–", "0.1235", "1, 2"],
    ]
    assert len(section.notes) == 1
    assert "random &lt;b&gt;" in page(section)


def test_nothing_is_no_section(tmp_path: Path):
    assert s3nas_section(tmp_path) is None
    assert "<h2>S3NAS</h2>" not in page(None)


def test_at_most_six_runs_are_drawn(run: Path, tmp_path: Path):
    text = (run / "search.json").read_text()
    for index in range(8):
        folder = tmp_path / "s3nas" / f"more{index}"
        folder.mkdir()
        (folder / "search.json").write_text(text)
    section = s3nas_section(tmp_path)
    assert section is not None
    assert len(section.runs) == 6
    assert len(section.rows) == 3 + 8


STUDY_ROW = {
    "method": "S3NAS", "target": "a/onnxruntime-fp32-t1", "seed": 0, "t_hat_ms": 0.2, "search_budget_ms": 0.25,
    "phi": 1.5, "predicted_ms": 0.4, "measured_ms": 0.5, "low_ms": 0.45, "high_ms": 0.55, "accuracy": 0.5,
    "params": 1000, "macs": 2_000_000, "network": "k3 e6 <b>",
}  # fmt: skip
STUDY = {
    "kind": "s3nas-study",
    "rows": [STUDY_ROW, {**STUDY_ROW, "seed": 1, "measured_ms": None, "low_ms": None, "high_ms": None}],
    "methods": [
        {**STUDY_ROW, "n": 2, "accuracy_sd": 0.01, "budget_ms": 0.41, "search_s": 50.0},
        {**STUDY_ROW, "n": 1, "accuracy_sd": None, "budget_ms": 0.41, "search_s": 50.0, "method": "random"},
    ],
    "anchors": {"a/onnxruntime-fp32-t1": [{"network": "n", "table_ms": 1.0, "measured_ms": 1.5}]},
    "post_processing": [
        {
            "target": "a/onnxruntime-fp32-t1",
            "options": [{"option": "se", "phi": 1.0, "predicted": 0.4, "macs": 1e6, "accuracy": 0.4, "why": "dearer"}],
            "predicted_option_costs": [{"option": "plain", "predicted": 0.2}, {"option": "se", "predicted": 0.3}],
            "measured": {"options": [{"option": "plain", "measured_ms": 0.25}, {"option": "se", "measured_ms": 0.5}]},
        }
    ],
}


def test_a_study_of_methods_has_its_tables_and_a_picture(tmp_path: Path):
    folder = tmp_path / "s3nas"
    folder.mkdir()
    (folder / "study.json").write_text(json.dumps(STUDY))
    section = s3nas_section(tmp_path)
    tables = {title.split(":")[0]: cells for title, _, cells in section.studies}
    assert tables["Methods"][0][3:8] == ["50.0", "1.0", "0.41", "0.4", "0.5"]
    assert tables["Methods"][1][4] == "–"
    (costs,) = [cells for title, cells in tables.items() if title.startswith("What each option")]
    assert costs[1] == ["a", "se", "0.3", "1.50", "0.5", "2.00"]
    (anchors,) = [cells for title, cells in tables.items() if title.startswith("Networks that")]
    assert anchors == [["a", "1", "1.500", "1.500", "1.500"]]
    assert [row[7] for row in tables["Every network"]] == ["0.5", "–"]
    figure = s3nas_figures.methods(section.compared[0])
    assert list(figure.y_range.factors) == ["S3NAS, a"]


def test_a_broken_study_is_a_note(tmp_path: Path):
    folder = tmp_path / "s3nas"
    folder.mkdir()
    (folder / "study.json").write_text(json.dumps({"kind": "s3nas-study", "rows": []}))
    section = s3nas_section(tmp_path)
    assert section.studies == []
    assert "study.json could not be read" in section.notes[0]
