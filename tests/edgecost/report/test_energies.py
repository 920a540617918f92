"""Energies: with their interval and scope, as bounds, or with the reason why there are none."""

from __future__ import annotations

from typing import Any

import pytest

from edgecost.report.energies import energy_section
from edgecost.report.trust_figures import energies
from profiler.tables.row import Row
from profiler.tables.table import CostTable

NAMES = {"a": "board a", "b": "board b"}


def row(target: str, key: str, **changes: Any) -> Row:
    figures = {"latency_ns": 1e6, "low_ns": 0.99e6, "high_ns": 1.01e6, "spread": 0.01, "n_rounds": 3}
    return Row(target, key, changes.pop("kind", "model"), f"label {key}", **{**figures, **changes})


def test_figures_have_their_interval_and_bounds_are_told_apart() -> None:
    table = CostTable(
        [
            row("a", "1", energy_mj=2.0, energy_u_mj=0.1, energy_gross_mj=3.0, energy_scope="wall"),
            row("a", "2", energy_upper_mj=0.5, energy_scope="wall", issues=("energy_undetected",)),
            row("a", "3", kind="kernel", energy_mj=-0.01, energy_u_mj=0.05, energy_scope="wall"),
            row("b", "1", issues=("sensor_missing", "unpinned")),
        ]
    )
    found = energy_section(table, NAMES)
    assert found.sentence == ""
    first, second = found.targets
    assert (first["figures"], first["bounds"], first["none"], first["scope"]) == ("2", "1", "0", "wall")
    assert (second["figures"], second["none"], second["scope"]) == ("0", "1", "–")
    assert {r["label"]: r["energy"] for r in found.listed} == {
        "label 1": "2 ± 0.1", "label 2": "< 0.5", "label 3": "-0.01 ± 0.05",
    }  # fmt: skip
    assert found.listed[0]["share"] == "5.0"
    assert {r["code"]: r["counts"] for r in found.refusals} == {
        "sensor_missing": ["·", "1"], "energy_undetected": ["1", "·"],
    }  # fmt: skip
    assert list(found.points) == ["board a"]
    assert [(p["energy_mj"], p["u_mj"], p["bound"]) for p in found.points["board a"]] == [
        (2.0, 0.1, False), (0.5, None, True),
    ]  # fmt: skip
    assert found.notes == ["board a: 1 figures at or below zero are not drawn."]
    drawn = energies(found.points["board a"], "board a")
    assert {str(r.glyph.marker) for r in drawn.renderers if hasattr(r.glyph, "marker")} >= {
        "inverted_triangle",
        "circle",
    }


@pytest.mark.parametrize(
    ("codes", "sentence"),
    [
        (((), ()), "There is no energy: no run has measured it; `edgecost profile --energy` does."),
        (
            (("sensor_missing",), ("sensor_missing",)),
            "There is no energy: the board has no power sensor that can be read (sensor_missing).",
        ),
    ],
)
def test_without_any_there_is_one_sentence(codes: tuple[tuple[str, ...], ...], sentence: str) -> None:
    found = energy_section(CostTable([row(t, "1", issues=c) for t, c in zip("ab", codes, strict=True)]), NAMES)
    assert found.sentence == sentence
    assert found.points == {}


def test_targets_without_any_are_told_apart_where_their_reasons_differ() -> None:
    found = energy_section(CostTable([row("a", "1"), row("b", "1", issues=("sensor_stuck",))]), NAMES)
    assert found.sentence.startswith("No energy on board a: no run has measured it;")
    assert "No energy on board b: the power sensor shows one and the same value" in found.sentence


def test_many_are_thinned_and_said_to_be() -> None:
    rows = [row("a", f"{i}", energy_mj=1.0 + i, energy_u_mj=0.1) for i in range(2000)]
    found = energy_section(CostTable(rows), NAMES)
    drawn = [p["energy_mj"] for p in found.points["board a"]]
    assert len(drawn) == 500
    assert (min(drawn), max(drawn)) == (1.0, 2000.0)
    assert "500 of 2000 figures are drawn" in found.notes[0]
    assert len(found.listed) == 10
