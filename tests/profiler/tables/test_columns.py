from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.tables.columns import Coded, Columns
from profiler.tables.row import GATE_CODES, Row

ROWS = [
    Row("t", "a", "kernel", "x", 1.0, 0.5, 1.5, 2.0, 0.01, 3, issues=("noisy",)),
    Row("t", "b", "model", "y", 3.0, 2.0, 4.0, n_rounds=2, energy_mj=0.5, energy_scope="wall"),
    Row("u", "a", "kernel", "x", status="crashed", error="signal 11", issues=("throttled", "unpinned")),
    Row("u", "c", "block", "z", 5.0, 5.0, 5.0, issues=("unpinned",)),
]


def remade(rows: list[Row]) -> Columns:
    """The same columns, without the rows that they were made of."""
    return Columns(Columns.of(rows).columns)


def test_rows_are_made_of_their_columns_once():
    columns = remade(ROWS)
    assert [row.to_dict() for row in columns] == [row.to_dict() for row in ROWS]
    assert columns[1] is columns[1]
    assert columns[-1].key == "c"
    assert columns[1:3] == (columns[1], columns[2])
    assert [type(value) for value in columns[0].to_dict().values()] == [type(v) for v in ROWS[0].to_dict().values()]
    with pytest.raises(IndexError):
        columns[4]


def test_columns_know_which_rows_have_figures_and_doubts():
    columns = remade(ROWS)
    assert columns.has_figure.tolist() == [row.has_figure for row in ROWS] == [True, True, False, True]
    assert columns.gated.tolist() == [row.gated for row in ROWS] == [True, False, True, False]
    assert columns.has_energy.tolist() == [False, True, False, False]
    assert columns.with_issue({"unpinned", "never"}).tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("target", "kind", "failed", "gated", "places"),
    [
        (None, None, True, True, [0, 1, 2, 3]),
        (None, None, False, True, [0, 1, 3]),
        (None, None, False, False, [1, 3]),
        ("u", None, True, True, [2, 3]),
        ("u", "kernel", True, False, []),
        ("t", "model", False, False, [1]),
        ("nowhere", None, True, True, []),
    ],
)
def test_views(target: str | None, kind: str | None, failed: bool, gated: bool, places: list[int]):
    found = remade(ROWS).where(target, kind, with_failed=failed, with_gated=gated)  # type: ignore[arg-type]
    assert found.tolist() == places


def test_nothing_is_a_table_too():
    columns = Columns.of([])
    assert (len(columns), list(columns), columns.has_figure.tolist()) == (0, [], [])
    assert columns.where(None, "model", with_failed=False, with_gated=False).tolist() == []


@given(st.lists(st.sampled_from("dbca")))
def test_codes_sort_as_their_values_do(values: list[str]):
    coded = Coded.of(values)
    assert coded.tolist() == values
    assert np.argsort(coded.ranks(), kind="stable").tolist() == sorted(range(len(values)), key=values.__getitem__)
    assert coded.which({"a", "x"}).tolist() == [value == "a" for value in values]


def test_gate_codes_are_those_of_the_protocol():
    """Spread, noise, rounds, throttling, clock, load, heat, drift: what fails one is left out of the default view."""
    for code in (
        "spread_high",
        "noisy",
        "throttled",
        "clock_moved",
        "background_load",
        "bimodal",
        "drifted",
        "too_hot",
    ):
        assert Row("t", "k", "model", "", 1.0, issues=("unpinned", code)).gated, code
    for code in ("unpinned", "sensor_missing", "ci_not_met", "energy_uncertain", "delegate_fallback"):
        assert code not in GATE_CODES
