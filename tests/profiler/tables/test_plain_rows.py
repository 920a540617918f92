"""The arrays give what plain Python gives, on whatever journals."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_up
import numpy as np
import plain_rows
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.measure.record import Measurement
from profiler.measure.rounds import combine_rounds
from profiler.measure.runfolder import Subject
from profiler.tables.loading.rounds import Groups, combine_groups, last_of_each
from profiler.tables.row import Gates
from profiler.tables.table import CostTable

KEYS = ("a", "b", "c", "d")
STATUSES = ("ok", "ok", "ok", "crashed", "timed_out", "link_lost")
ISSUES = ("unpinned", "sensor_missing", "throttled", "emulated", "of_a_later_day")


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    kind = draw(st.sampled_from(["kernel", "kernel", "block", "model", "sentinel"]))
    status = draw(st.sampled_from(STATUSES))
    repeats = draw(st.sampled_from([1, 2, 4, 8])) if kind != "model" else draw(st.sampled_from([1, 1, 2]))
    level = 1000 * repeats + draw(st.integers(-300, 300))
    samples = tuple(level + draw(st.integers(-50, 50)) for _ in range(draw(st.integers(0, 5))))
    if kind == "sentinel":
        # boards that are always themselves: what slow spells do is in test_disturbed.py
        samples = (1000,) * len(samples)
    return made_up.line(
        draw(st.sampled_from(KEYS)),
        kind,
        repeats,
        draw(st.integers(0, 2)),
        status=status,
        samples_ns=samples if status == "ok" else (),
        runs_per_batch=1 if kind == "sentinel" else draw(st.sampled_from([1, 7])),
        issues=tuple(draw(st.lists(st.sampled_from(ISSUES), max_size=2, unique=True))),
        load_ns=draw(st.none() | st.integers(1, 9)),
        energy_mj=draw(st.none() | st.floats(0.1, 9.0)),
        error="" if status == "ok" else draw(st.sampled_from(["", "signal 11"])),
        split=draw(st.sampled_from(["", "fit", "held_out"])) if kind == "model" else "",
    )


SUBJECTS = st.lists(
    st.builds(
        made_up.subject,
        st.sampled_from(KEYS),
        st.sampled_from([0, 1, 2, 4, 4]),
        st.lists(st.sampled_from([*KEYS, "elsewhere"]), max_size=2),
    ),
    max_size=4,
    unique_by=lambda s: s.key,
)
RUNS = st.lists(st.tuples(st.lists(measurements(), max_size=40), SUBJECTS), min_size=1, max_size=3)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6)
    return bool(a == b)


def assert_same_rows(paths: list[Path], with_emulated: bool = False) -> None:
    table = CostTable.from_runs(paths, with_emulated=with_emulated)
    runs = [plain_rows.read_run(path, with_emulated=with_emulated) for path in paths]
    plain = plain_rows.rows_of_runs(runs, Gates())
    assert [(r.target_id, r.kind, r.key) for r in table.all_rows] == [(r.target_id, r.kind, r.key) for r in plain]
    in_circle = "they are companions of each other"
    for row, other in zip(table.all_rows, plain, strict=True):
        mine, its = row.to_dict(), other.to_dict()
        for name in ("energy_mj", "energy_u_mj", "energy_run_id", "energy_scope"):
            # the plain ones know of no second run for energies: its own test has them
            mine.pop(name), its.pop(name)
        if in_circle in row.error or "companion" in row.error:
            # which of several companions is named first depends on where one begins
            assert "companion" in other.error
            mine["error"] = its["error"] = mine["status"] = its["status"] = ""
        of_energy = ("energy_", "sensor_") if row.energy_run_id not in ("", row.run_id) else ()
        for figures in (mine, its):
            figures["issues"] = {code for code in figures["issues"] if not code.startswith(of_energy)}
        assert {name: (mine[name], its[name]) for name in mine if not same(mine[name], its[name])} == {}
    left_out = sum(run.left_out for run in runs)
    assert sum(table.left_out.values()) == left_out
    assert table.corrupt_lines == sum(run.corrupt_lines for run in runs)


@settings(max_examples=150, deadline=None)
@given(RUNS, st.booleans())
def test_rows_are_those_of_plain_python(runs: list[tuple[list[Measurement], list[Subject]]], with_emulated: bool):
    with tempfile.TemporaryDirectory() as scratch:
        paths = [
            made_up.write_run(Path(scratch), lines, subjects, run_id=f"r{n}", started=f"2026-01-0{n % 2 + 1}")
            for n, (lines, subjects) in enumerate(runs)
        ]
        assert_same_rows(paths, with_emulated)
        assert_same_rows(paths, with_emulated)  # and from the digests that are there by now


@pytest.mark.parametrize("kind", ["kernel", "block"])
def test_energies_are_those_of_plain_python_within_one_run(tmp_path: Path, kind: str):
    rng = np.random.default_rng(0)
    lines = [
        made_up.line(key, kind if key != "d" else "kernel", n, r, energy_mj=float(n + rng.normal(0, 0.1)))
        for key in KEYS
        for n in (1, 4, 8)
        for r in range(3)
    ]
    lines[4] = replace(lines[4], energy_mj=None)
    subjects = [made_up.subject(key, 4, ("d",) if key < "c" else ()) for key in KEYS]
    path = made_up.write_run(tmp_path, lines, subjects)
    plain = plain_rows.rows_of_runs([plain_rows.read_run(path)], Gates())
    rows = CostTable.from_runs([path]).all_rows
    assert [row.energy_mj for row in rows] == pytest.approx([row.energy_mj for row in plain])
    assert all(row.energy_mj is not None for row in rows)


@given(st.lists(st.lists(st.tuples(st.floats(1, 9), st.floats(0.01, 1) | st.just(math.nan)), min_size=1, max_size=25)))
def test_groups_are_combined_as_one_is(groups: list[list[tuple[float, float]]]):
    ids = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    values, errors = (np.array([pair[i] for group in groups for pair in group]) for i in (0, 1))
    found = combine_groups(Groups.of(ids), values, errors)
    for i, group in enumerate(groups):
        one = combine_rounds(*map(list, zip(*group, strict=True)))
        assert found.median[i] == pytest.approx(one.median)
        assert found.half[i] == pytest.approx(one.high - one.median, nan_ok=True)
        assert found.deviation[i] / found.median[i] == pytest.approx(one.spread, nan_ok=True)
        assert found.counts[i] == one.n_rounds


def test_the_last_preferred_of_each_is_taken_or_else_the_last():
    ids, preferred = np.array([2, 0, 2, 0, 1, 2]), np.array([True, False, True, False, True, False])
    assert last_of_each(ids, preferred).tolist() == [3, 4, 2]


def test_the_failure_is_that_of_the_stretch_that_was_tried_first(tmp_path: Path):
    lines = [
        made_up.line("k", "kernel", 4),
        made_up.line("k", "kernel", 1, status="crashed", samples_ns=()),
        made_up.line("k", "kernel", 4, 1, status="timed_out", samples_ns=()),
    ]
    path = made_up.write_run(tmp_path, lines, [made_up.subject("k", 4)])
    assert_same_rows([path])
    assert CostTable.from_runs([path]).all_rows[0].status == "timed_out"


def test_a_companion_that_occurs_twice_errs_twice(tmp_path: Path):
    rng = np.random.default_rng(1)
    lines = [
        made_up.line(key, "kernel", n, r, samples_ns=tuple(n * rng.integers(9_000, 11_000, 9).tolist()))
        for key in ("a", "c")
        for n in (4, 8)
        for r in range(3)
    ]
    path = made_up.write_run(tmp_path, lines, [made_up.subject("a", 4, ["c", "c"]), made_up.subject("c", 4)])
    assert_same_rows([path])
    a, c = CostTable.from_runs([path]).all_rows
    assert a.high_ns - a.low_ns > 2 * (c.high_ns - c.low_ns)
