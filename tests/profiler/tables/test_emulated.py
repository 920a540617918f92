"""What an emulated processor gave stays out of tables, unless it is asked for by name."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.measure.journal import read_journal
from profiler.tables.table import CostTable

EMULATED_TARGET = Target("emulated", "onnxruntime", "fp32")


@pytest.fixture
def results(tmp_path: Path, fakes: ModuleType) -> Path:
    """Runs of a board and of an emulated one."""
    jobs = fakes.kernel_jobs("conv2d")
    hardware = replace(fakes.DEVICE, emulation="")
    board = replace(fakes.DEVICE, id="emulated", targets=(EMULATED_TARGET,), emulation="qemu")
    campaign = fakes.campaign(fakes.World(), tmp_path, config=fakes.CONFIG)
    campaign.run(hardware, fakes.TARGET, list(jobs), "r1")
    campaign.run(board, EMULATED_TARGET, list(jobs), "r2")
    return tmp_path


def test_emulated_measurements_are_journaled_counted_and_left_out(results: Path, fakes: ModuleType) -> None:
    journaled = read_journal(results / "emulated" / "r2" / "journal.jsonl").measurements
    assert journaled
    assert {"emulated" in m.issues for m in journaled} == {True}
    table = CostTable.from_results(results)
    assert {row.target_id for row in table.all_rows} == {fakes.TARGET.id}
    assert table.targets == (fakes.TARGET,), "a target without a row is none of the table's"
    assert dict(table.left_out) == {EMULATED_TARGET.id: len(journaled)}
    assert not table.with_emulated


def test_they_are_let_in_when_asked_for(results: Path, fakes: ModuleType) -> None:
    table = CostTable.from_results(results, with_emulated=True)
    assert {target.id for target in table.targets} == {fakes.TARGET.id, EMULATED_TARGET.id}
    (row,) = table.rows(EMULATED_TARGET.id, "kernel")
    assert "emulated" in row.issues
    assert row.emulation == "qemu"
    assert (dict(table.left_out), table.with_emulated) == ({}, True)


def test_a_loopback_board_is_no_emulated_processor(tmp_path: Path, fakes: ModuleType) -> None:
    board = replace(fakes.DEVICE, emulation="loopback")
    run = fakes.campaign(fakes.World(), tmp_path, config=fakes.CONFIG).run(
        board, fakes.TARGET, list(fakes.kernel_jobs("conv2d")), "r1"
    )
    table = CostTable.from_runs([run.run_dir])
    assert [row.emulation for row in table.rows()] == ["loopback"]
    assert not table.left_out


def test_one_emulated_line_in_a_run_of_a_board_is_left_out_too(results: Path, fakes: ModuleType) -> None:
    from profiler.measure.journal import encode

    path = results / fakes.DEVICE.id / "r1" / "journal.jsonl"
    first, *others = read_journal(path).measurements
    path.write_bytes(b"".join(map(encode, [replace(first, issues=("emulated",)), *others])))
    table = CostTable.from_results(results)
    assert table.left_out[fakes.TARGET.id] == 1
    assert fakes.TARGET in table.targets


@pytest.mark.parametrize("ending", ["json", "parquet"])
@pytest.mark.parametrize("with_emulated", [False, True])
def test_an_exported_table_says_what_became_of_them(
    results: Path, tmp_path: Path, ending: str, with_emulated: bool
) -> None:
    table = CostTable.from_results(results, with_emulated=with_emulated)
    path = tmp_path / f"table.{ending}"
    table.export(path)
    again = CostTable.load(path)
    assert again.all_rows == table.all_rows
    assert (again.with_emulated, dict(again.left_out)) == (with_emulated, dict(table.left_out))


def test_a_table_from_before_there_was_emulation_is_read(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    CostTable.from_results(results).export(path)
    data = json.loads(path.read_text())
    assert data.pop("emulated")
    path.write_text(json.dumps(data))
    assert (CostTable.load(path).with_emulated, dict(CostTable.load(path).left_out)) == (False, {})


def test_rows_do_not_come_in_by_the_back_door(results: Path, tmp_path: Path) -> None:
    rows = CostTable.from_results(results, with_emulated=True).all_rows
    with pytest.raises(ConfigError, match="emulated processor"):
        CostTable(rows)
    assert CostTable(rows, with_emulated=True).all_rows == rows
    path = tmp_path / "table.json"
    CostTable.from_results(results, with_emulated=True).export(path)
    path.write_text(path.read_text().replace('"included": true', '"included": false'))
    with pytest.raises(ConfigError, match="emulated processor"):
        CostTable.load(path)
