"""Energy in rows: made anew of what sensors showed, with its uncertainty, and never of two scopes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_up
import numpy as np
import pytest
from power_traces import Truth, record

from profiler.fleet.targets import Target
from profiler.measure.energy import energy_of
from profiler.measure.energy_rounds import combine
from profiler.measure.record import Measurement, Power
from profiler.tables.table import CostTable, Row

OTHER = Target("other", "onnxruntime", "fp32")
LATE = "2027-01-01T00:00:00+00:00"


def power(seed: int = 0, scope: str = "module-in", **truth: float) -> Power:
    return replace(record(Truth(**truth), np.random.default_rng(seed)), scope=scope)


def rounds(subject: str = "k", kind: str = "model", repeats: int = 1, **changes: object) -> list[Measurement]:
    scope = str(changes.pop("scope", "module-in"))
    step = 400.0 * repeats
    return [
        made_up.line(subject, kind, repeats, r, power=power(100 * repeats + r, scope, step_mw=step), **changes)
        for r in range(3)
    ]


def only(path: Path) -> Row:
    (row,) = CostTable.from_runs([path]).all_rows
    return row


def test_a_models_energy_is_that_of_its_rounds_put_together(tmp_path: Path):
    lines = rounds()
    row = only(made_up.write_run(tmp_path, [replace(m, energy_mj=123.0) for m in lines]))
    energies = [energy_of(m.power) for m in lines if m.power]
    whole = combine(energies)
    assert row.energy_mj == pytest.approx(whole.value_mj)
    assert row.energy_mj == pytest.approx(Truth(step_mw=400).net_mj, rel=0.05)
    assert row.energy_u_mj == pytest.approx(whole.u_mj)
    assert row.energy_gross_mj == pytest.approx(np.median([e.gross_mj for e in energies]))
    assert (row.energy_scope, row.energy_run_id, row.energy_upper_mj) == ("module-in", "r1", None)


def test_a_kernels_energy_is_a_slope_whose_gain_does_not_cancel(tmp_path: Path):
    lines = [m for n in (4, 8) for m in rounds("k", "kernel", n)]
    row = only(made_up.write_run(tmp_path, lines, [made_up.subject("k", 4)]))
    truth = Truth(step_mw=400).net_mj
    assert row.energy_u_mj is not None
    assert row.energy_mj == pytest.approx(truth, abs=row.energy_u_mj)
    assert row.energy_u_mj > truth * Truth().gain_u
    gross = [energy_of(m.power).gross_mj for m in lines if m.power]
    step = np.median(np.subtract(gross[3:], gross[:3]))
    assert row.energy_gross_mj == pytest.approx(step / 4)


def test_a_companions_energy_and_its_doubt_are_taken_along(tmp_path: Path):
    lines = [m for key in ("k", "c") for n in (4, 8) for m in rounds(key, "kernel", n)]
    subjects = [made_up.subject("k", 4, ["c"]), made_up.subject("c", 4)]
    c, k = CostTable.from_runs([made_up.write_run(tmp_path, lines, subjects)]).all_rows
    assert k.energy_mj == pytest.approx(0.0, abs=1e-9)
    assert c.energy_u_mj is not None
    assert k.energy_u_mj == pytest.approx(2**0.5 * c.energy_u_mj)


def test_below_detection_there_is_a_bound_and_a_code(tmp_path: Path):
    weak = [made_up.line(round_=r, power=power(r, step_mw=1.0, noise_mw=30.0, walk_mw=20.0)) for r in range(3)]
    row = only(made_up.write_run(tmp_path, weak))
    bounds = [energy_of(m.power).upper_mj for m in weak if m.power]
    assert None not in bounds
    assert (row.energy_mj, row.energy_u_mj) == (None, None)
    assert row.energy_upper_mj == pytest.approx(min(bounds))  # type: ignore[type-var]
    assert "energy_undetected" in row.issues
    assert row.energy_scope == "module-in"


def test_a_minority_of_rounds_makes_a_bound_and_no_figure(tmp_path: Path):
    weak = [made_up.line(round_=r, power=power(r, step_mw=1.0, noise_mw=30.0, walk_mw=20.0)) for r in range(3)]
    strong = made_up.line(round_=2, power=power(9, step_mw=60.0))
    row = only(made_up.write_run(tmp_path, [*weak[:2], strong]))
    whole = combine([energy_of(m.power) for m in (*weak[:2], strong) if m.power])
    assert (row.energy_mj, row.energy_u_mj) == (None, None)
    assert row.energy_upper_mj == pytest.approx(whole.upper_mj)
    assert row.energy_upper_mj > Truth(step_mw=60.0).net_mj
    assert row.energy_gross_mj is not None
    assert "energy_undetected" in row.issues


def test_a_slope_that_most_rounds_lack_is_none(tmp_path: Path):
    lines = [m for n in (4, 8) for m in rounds("k", "kernel", n)]
    lost = [
        m if m.round == 0 or m.role.repeats == 4 else replace(m, power=None, issues=("sensor_lost",)) for m in lines
    ]
    one_lost = [m if m.round != 1 or m.role.repeats == 4 else replace(m, power=None) for m in lines]
    subjects = [made_up.subject("k", 4)]
    row = only(made_up.write_run(tmp_path / "a", lost, subjects))
    assert (row.energy_mj, row.energy_upper_mj, row.has_figure) == (None, None, True)
    assert "sensor_lost" in row.issues
    assert only(made_up.write_run(tmp_path / "b", one_lost, subjects)).energy_mj is not None


def test_codes_of_energy_are_judged_anew_and_the_boards_own_stay(tmp_path: Path):
    lines = [replace(m, issues=("energy_uncertain", "unpinned")) for m in rounds()]
    row = only(made_up.write_run(tmp_path, lines))
    assert row.issues == ("unpinned",)
    lines = [replace(m, issues=("energy_window_short",)) for m in lines]
    row = only(made_up.write_run(tmp_path, lines, run_id="r2"))
    assert (row.energy_mj, row.energy_gross_mj, row.issues) == (None, None, ("energy_window_short",))


def test_where_the_idle_power_moved_the_gross_energy_stays_with_its_scope(tmp_path: Path):
    moved = [replace(m, power=power(r, drift_mw=60.0, step_mw=400.0)) for r, m in enumerate(rounds("b"))]
    path = made_up.write_run(tmp_path, [*rounds("a"), *moved])
    a, b = CostTable.from_runs([path]).all_rows
    assert (b.energy_mj, b.energy_u_mj, b.energy_upper_mj) == (None, None, None)
    assert "energy_idle_moved" in b.issues
    assert b.energy_gross_mj == pytest.approx(a.energy_gross_mj, rel=0.3)
    assert (a.energy_scope, b.energy_scope, b.energy_run_id) == ("module-in", "module-in", "r1")
    other = made_up.write_run(tmp_path, rounds("a", scope="wall"), run_id="wall", started=LATE)
    table = CostTable.from_runs([path, other])
    assert [row.energy_gross_mj for row in table.all_rows] == [None, None], "gross energies do not mix either"
    assert "wall: " in table.notes[0]


def test_without_a_record_the_journals_figure_stands_without_an_uncertainty(tmp_path: Path):
    row = only(made_up.write_run(tmp_path, [made_up.line(round_=r, energy_mj=2.0) for r in range(3)]))
    assert (row.energy_mj, row.energy_u_mj, row.energy_gross_mj, row.energy_scope) == (2.0, None, None, "")


def test_a_sensor_that_is_missing_is_none_and_says_so(tmp_path: Path):
    row = only(made_up.write_run(tmp_path, [made_up.line(issues=("sensor_missing",))]))
    assert (row.energy_mj, row.energy_run_id, "sensor_missing" in row.issues) == (None, "", True)


def test_a_newer_run_without_energies_leaves_those_of_an_older_one(tmp_path: Path):
    made_up.write_run(tmp_path, rounds())
    fast = [made_up.line(round_=r, samples_ns=(5_000,), issues=("sensor_missing",)) for r in range(3)]
    made_up.write_run(tmp_path, fast, run_id="r2", started=LATE)
    (row,) = CostTable.from_results(tmp_path).all_rows
    assert (row.latency_ns, row.run_id, row.energy_run_id) == (5_000, "r2", "r1")
    assert row.energy_mj is not None
    assert "sensor_missing" not in row.issues


# -------------------------------------------------------------------- scopes


def test_a_target_whose_energies_have_several_scopes_has_none_until_one_is_chosen(tmp_path: Path):
    made_up.write_run(tmp_path, rounds("a"), run_id="rails")
    made_up.write_run(tmp_path, rounds("b", scope="wall"), run_id="wall", started=LATE)
    made_up.write_run(tmp_path, rounds("b", scope="wall"), run_id="far", target=OTHER)
    table = CostTable.from_results(tmp_path)
    energies = {(row.target_id, row.key): row.energy_mj for row in table.all_rows}
    assert energies[made_up.TARGET.id, "a"] is energies[made_up.TARGET.id, "b"] is None
    assert energies[OTHER.id, "b"] is not None, "another board is not concerned"
    assert {row.energy_scope for row in table.rows(made_up.TARGET.id)} == {""}
    assert all(row.has_figure for row in table.all_rows), "their latencies stay"
    (note,) = table.notes
    assert "module-in: " in note
    assert "board/rails" in note
    assert "board/wall" in note
    assert "energy_scope" in note
    chosen = CostTable.from_results(tmp_path, energy_scope="wall")
    assert {row.key: row.energy_scope for row in chosen.rows(made_up.TARGET.id)} == {"a": "", "b": "wall"}
    assert chosen.notes == ()


def test_two_scopes_within_one_subject_are_no_figure(tmp_path: Path):
    one, two, three = rounds()
    changed = replace(two, power=power(7, "wall"))
    table = CostTable.from_runs([made_up.write_run(tmp_path, [one, changed, three])])
    assert table.all_rows[0].energy_mj is None
    assert "wall: " in table.notes[0]


@pytest.mark.parametrize("ending", ["json", "parquet"])
def test_energies_and_notes_survive_a_file(tmp_path: Path, ending: str):
    lines = [m for n in (4, 8) for m in rounds("k", "kernel", n)] + rounds("m")
    table = CostTable.from_runs([made_up.write_run(tmp_path, lines, [made_up.subject("k", 4)])])
    noted = CostTable(table.all_rows, targets=table.targets, notes=["a note"])
    noted.export(tmp_path / f"t.{ending}")
    again = CostTable.load(tmp_path / f"t.{ending}")
    assert again.all_rows == table.all_rows
    assert again.notes == ("a note",)
    assert all(row.energy_u_mj for row in again.all_rows)
