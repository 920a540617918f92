"""What never stands in one table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_up
import pytest

from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.tables.table import CostTable, Row

OTHER = Target("other", "onnxruntime", "fp32")


def test_simulated_runs_beside_measured_ones_are_refused_by_name(tmp_path: Path):
    made_up.write_run(tmp_path, [made_up.line()], run_id="real")
    made_up.write_run(tmp_path, [made_up.line()], run_id="made-up", target=OTHER, emulation="simulated")
    with pytest.raises(ConfigError) as caught:
        CostTable.from_results(tmp_path)
    said = str(caught.value)
    assert "other/made-up" in said
    assert "board/real" in said
    assert "results folder of its own" in said
    assert "\n" not in said


@pytest.mark.parametrize("emulation", ["loopback", "qemu"])
def test_whatever_was_measured_is_measured(tmp_path: Path, emulation: str):
    made_up.write_run(tmp_path, [made_up.line()], emulation=emulation)
    made_up.write_run(tmp_path, [made_up.line()], run_id="s", target=OTHER, emulation="simulated")
    with pytest.raises(ConfigError, match="simulated"):
        CostTable.from_results(tmp_path)


def test_a_line_that_says_simulated_is_enough(tmp_path: Path):
    one = made_up.write_run(tmp_path, [made_up.line(issues=("simulated",))], run_id="s", target=OTHER)
    (row,) = CostTable.from_runs([one]).all_rows
    assert row.emulation == "simulated"
    with pytest.raises(ConfigError, match=r"simulated runs \(.*other/s\)"):
        CostTable.from_runs([one, made_up.write_run(tmp_path, [made_up.line()])])


def test_simulated_lines_in_a_measured_run_are_refused(tmp_path: Path):
    lines = [made_up.line("a"), made_up.line("b", issues=("simulated",))]
    with pytest.raises(ConfigError, match="simulated"):
        CostTable.from_runs([made_up.write_run(tmp_path, lines)])


def test_runs_without_a_measurement_are_no_mixture(tmp_path: Path):
    made_up.write_run(tmp_path, [made_up.line()])
    made_up.write_run(tmp_path, [], run_id="s", target=OTHER, emulation="simulated")
    assert len(CostTable.from_results(tmp_path).all_rows) == 1


def test_simulated_runs_alone_make_a_table(tmp_path: Path):
    path = made_up.write_run(tmp_path, [made_up.line(), made_up.line("b", status="crashed")], emulation="simulated")
    assert [row.emulation for row in CostTable.from_runs([path]).all_rows] == ["simulated"] * 2


def test_simulated_rows_do_not_come_in_by_the_back_door():
    real = Row("t", "k", "model", "k", 1.0, 1.0, 1.0)
    made_up_row = replace(real, target_id="u", emulation="simulated")
    with pytest.raises(ConfigError, match=r"simulated rows \(u\) beside measured ones \(t\)"):
        CostTable([real, made_up_row])
    with pytest.raises(ConfigError, match="simulated rows"):
        CostTable([real, replace(real, key="l", issues=("simulated",))])
    assert len(CostTable([made_up_row]).all_rows) == 1


def test_energies_of_several_scopes_do_not_come_in_by_the_back_door():
    wall = Row("t", "k", "model", "k", 1.0, 1.0, 1.0, energy_mj=1.0, energy_scope="wall")
    rails = replace(wall, key="l", energy_scope="SoC-rails")
    with pytest.raises(ConfigError, match=r"energies of t by several scopes \(SoC-rails, wall\)"):
        CostTable([wall, rails])
    assert len(CostTable([wall, replace(rails, target_id="u")]).all_rows) == 2
    assert len(CostTable([wall, replace(rails, energy_mj=None)]).all_rows) == 2


def test_hot_and_cold_caches_make_tables_of_their_own(tmp_path: Path):
    made_up.write_run(tmp_path, [made_up.line()])
    slow = made_up.line(samples_ns=(90_000,) * 3)
    late = "2027-01-01T00:00:00+00:00"
    made_up.write_run(tmp_path, [slow], run_id="cold", started=late, config={"cache": "cold"})
    hot, cold = CostTable.from_results(tmp_path), CostTable.from_results(tmp_path, cache="cold")
    assert (hot.all_rows[0].latency_ns, cold.all_rows[0].latency_ns) == (10_000, 90_000)
    assert "board/cold) were not measured with hot caches" in hot.notes[0]
    assert "board/r1) were not measured with cold caches" in cold.notes[0]
