"""Closure is for targets whose kernels were measured, whatever a file says of the others."""

from __future__ import annotations

from typing import Any

from edgecost.report.closure import closure_section
from profiler.fleet.targets import Target
from profiler.tables.row import Row, RowKind
from profiler.tables.table import CostTable

A, B = Target("a", "onnxruntime", "fp32"), Target("b", "onnxruntime", "fp32")


def table(**kinds: RowKind) -> CostTable:
    ids = {"a": A.id, "b": B.id}
    rows = [Row(ids[name], "k", kind, "label", 1e6, 0.9e6, 1.1e6, None, 0.01, 3) for name, kind in kinds.items()]
    return CostTable(rows, targets=[A, B])


def closed(*targets: Target) -> dict[str, Any]:
    figures = {"mape": 12.3, "within_5": 1.0, "within_10": None, "kendall_tau": 0.5, "spearman": None}
    rows = [{"target": t.id, "model": "additive", "n": 3, "headline": True, **figures} for t in targets]
    point = {"label": "net", "measured_ms": 1.0, "predicted_ms": 1.1}
    return {"rows": rows, "points": {t.id: [point, {**point, "predicted_ms": None}] for t in targets}}


def test_targets_with_blocks_alone_have_none() -> None:
    found = closure_section(table(a="kernel", b="block"), closed(A, B))
    assert [row["target"] for row in found.rows] == [A.id]
    assert list(found.parity) == [A.id]
    assert len(found.parity[A.id]) == 1
    assert found.titles == {A.id: "a: MAPE 12.3 %"}
    assert found.card["detail"] == "worst of 1 targets; best 12.3 %"


def test_where_no_kernel_was_measured_there_is_nothing() -> None:
    for kind in ("block", "model"):
        found = closure_section(table(a=kind, b=kind), None)
        assert (found.rows, found.parity, found.card, found.notes) == ([], {}, {}, [])
    assert closure_section(table(a="block", b="block"), closed(A, B)).rows == []


def test_what_cannot_be_closed_is_a_note() -> None:
    found = closure_section(table(a="kernel", b="block"), None)
    assert found.rows == []
    assert found.notes
    assert found.notes[0].startswith("No closure:")
    assert B.id not in found.notes[0]
