"""The report's section on cuts: closures, verdicts, contradictions; nothing there is nothing shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgecost.report.build import render
from edgecost.report.collect import ReportData
from edgecost.report.cuts import cuts_section
from edgecost.stages.costs import write_json
from profiler.errors import StorageError

CLOSED = {
    "cut": "fused", "isolation": "chained", "parts": 12, "missing": 0, "ratio": 0.98765, "fit_mape": 1.234,
    "sum_mape": 3.21, "mape": 2.345, "within_5": 95.0, "within_10": 100.0, "kendall_tau": 0.9, "chosen": True,
}  # fmt: skip
UNKNOWN = dict.fromkeys(("ratio", "fit_mape", "sum_mape", "mape", "within_5", "within_10", "kendall_tau"))
OPEN = {**CLOSED, **UNKNOWN, "cut": "exported", "missing": 3, "chosen": False}


def verdict(pair: str, word: str, rules: bool, share: float | None) -> dict[str, Any]:
    found = {"pair": pair, "verdict": word, "rules": rules, "graph": None, "shapes": [{"resolved": True}] * 5}
    for name in ("share", "benefit"):
        ends = (None, None, None) if share is None else (share, share - 0.1, share + 0.1)
        found |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
    return found


@pytest.fixture
def results(tmp_path: Path) -> Path:
    target = {"target": "rpi5/litert-fp32-t1", "emulation": ""}
    write_json(tmp_path / "cuts.json", {"targets": [{**target, "chosen": None, "rows": [CLOSED, OPEN]}]})
    pairs = [
        verdict("conv2d+relu", "fused", True, 0.97),
        verdict("conv2d+<b>", "not", True, 0.02),
        verdict("relu+add", "undecided", True, None),
    ]
    run = tmp_path / "fusion" / "sim" / "pairs-1"
    write_json(run / "fusion.json", {"target": "sim/simulated-fp32-t1", "emulation": "simulated", "pairs": pairs})
    return tmp_path


def page(results: Path) -> str:
    return render(ReportData("t", "now", "0", "", "", [], [], cuts=cuts_section(results)))


def test_every_combination_and_every_verdict_is_shown(results: Path) -> None:
    section = cuts_section(results)
    assert section is not None
    assert [(row["mape"], row["chosen"]) for row in section.closures] == [("2.35", True), ("–", False)]
    assert [row["share"] for row in section.verdicts] == ["97 (87 to 107)", "2 (-8 to 12)", "–"]
    assert {row["target"] for row in section.verdicts} == {"sim/simulated-fp32-t1 (simulated)"}
    assert section.notes == ["sim/simulated-fp32-t1 (simulated): the clock contradicts the rules on conv2d+<b>."]
    shown = page(results)
    assert "How networks are cut" in shown
    assert "97 (87 to 107)" in shown
    assert "conv2d+&lt;b&gt;" in shown
    assert "conv2d+<b>" not in shown


def test_where_nothing_was_compared_nothing_is_shown(tmp_path: Path) -> None:
    assert cuts_section(tmp_path) is None
    assert "How networks are cut" not in page(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"target": "a", "emulation": "", "pairs": [{}]}'])
def test_a_file_that_holds_no_verdicts_is_refused(results: Path, text: str) -> None:
    next(results.glob("fusion/*/*/fusion.json")).write_text(text)
    with pytest.raises(StorageError, match="holds no verdicts"):
        cuts_section(results)


def test_a_comparison_that_is_broken_is_refused(results: Path) -> None:
    (results / "cuts.json").write_text(json.dumps({"targets": [{"target": "a"}]}))
    with pytest.raises(StorageError, match="not a comparison of cuts"):
        cuts_section(results)
