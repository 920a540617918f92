"""Rows of kind "block": parts of networks, measured as kernels are, less companions that are kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from profiler.measure.jobs import block_plan_jobs, kernel_plan_jobs
from profiler.measure.journal import encode, read_journal
from profiler.measure.record import Measurement
from profiler.measure.runfolder import RunFolder
from profiler.tables.table import CostTable
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import kernels_of
from profiler.workloads.graph import Workload
from profiler.workloads.isolation import block_jobs, kernel_jobs

TARGET = ("torch", "fp32")  # where every operator is a kernel of its own, as the fake board's costs have it
MJ_PER_NS = 1e-6

Campaign = Callable[[list[Any]], Path]


def residual() -> Workload:
    """Keeps its shape: a chain."""
    b = WorkloadBuilder("residual block")
    x = b.input((1, 8, 8, 8))
    return b.build(b.add(b.conv2d(b.relu(b.conv2d(x, 16, 3)), 8), x))


def widening() -> Workload:
    """Does not: a fan, whose additions are companions."""
    b = WorkloadBuilder("widening block")
    x = b.input((1, 8, 8, 8))
    return b.build(b.conv2d(b.relu(b.conv2d(x, 16, 3, stride=2)), 24))


@pytest.fixture
def campaign(tmp_path: Path, fakes: ModuleType) -> Campaign:
    """Measures on a fake board, which resumes, and returns the run's folder."""

    def run(jobs: list[Any]) -> Path:
        return fakes.campaign(fakes.World(), tmp_path).run(fakes.DEVICE, fakes.TARGET, jobs, "r1").run_dir

    return run


def with_energy(run: Path, fakes: ModuleType, missing: str = "") -> None:
    """Give every record the energy that its workload's true cost stands for, but those of one subject."""
    lines = [line for line in RunFolder(run).subjects() if line is not None]
    workloads = {line.key: Workload.from_dict(line.workload) for line in lines}

    def changed(m: Measurement) -> Measurement:
        energy = fakes.true_cost_ns(workloads[m.workload_key]) * MJ_PER_NS
        return m if m.role.subject_key == missing else replace(m, energy_mj=energy)

    path = run / "journal.jsonl"
    path.write_bytes(b"".join(encode(changed(m)) for m in read_journal(path).measurements))


def costs(fakes: ModuleType, work: Workload) -> float:
    return fakes.true_cost_ns(work) - fakes.RUN_OVERHEAD_NS


def test_a_block_costs_its_slope_less_its_companions(fakes: ModuleType, campaign: Campaign):
    plans = block_jobs([residual(), widening()], *TARGET)
    table = CostTable.from_runs([campaign(block_plan_jobs(plans))])
    rows = {row.label: row for row in table.rows(fakes.TARGET.id, "block")}
    assert rows.keys() == {"residual block", "widening block"}
    for work in (residual(), widening()):
        row = rows[work.name]
        assert row.key == work.key
        assert row.latency_ns == pytest.approx(costs(fakes, work), rel=1e-3)
        assert row.isolated_ns == pytest.approx(costs(fakes, work) + fakes.RUN_OVERHEAD_NS, rel=1e-3)
        assert (row.status, row.n_rounds, row.split) == ("ok", 3, "")
        assert table.workloads[row.key].key == work.key
    assert [row.label for row in table.rows(kind="kernel")] == ["add 24x4x4, 24x4x4 -> 24x4x4"]
    assert table.rows(kind="model") == ()


def test_a_block_whose_companion_failed_has_no_figure(fakes: ModuleType, campaign: Campaign):
    plans = block_jobs([widening()], *TARGET)
    table = CostTable.from_runs([campaign([job for job in block_plan_jobs(plans) if job.role.kind == "block"])])
    (row,) = table.rows(kind="block", with_failed=True)
    assert (row.status, row.has_figure) == ("incomplete", False)
    assert "companion" in row.error


def test_what_kernels_and_blocks_share_is_measured_once_and_nothing_again(fakes: ModuleType, campaign: Campaign):
    kernels = kernel_plan_jobs(kernel_jobs(kernels_of([residual()], *TARGET), *TARGET))
    blocks = block_plan_jobs(block_jobs([residual(), widening()], *TARGET))
    run = campaign([*kernels, *blocks])
    once = read_journal(run / "journal.jsonl").measurements
    assert len({(m.role, m.workload_key, m.round) for m in once}) == len(once)
    assert campaign([*blocks, *kernels]) == run
    assert read_journal(run / "journal.jsonl").measurements == once
    kinds = {row.kind for row in CostTable.from_runs([run]).rows()}
    assert kinds == {"kernel", "block"}


def test_a_block_of_one_kernel_and_that_kernel_have_a_row_each(fakes: ModuleType, campaign: Campaign):
    b = WorkloadBuilder("lone")
    lone = b.build(b.conv2d(b.input((1, 8, 8, 8)), 8, 3, bias=True))
    kernels = kernel_plan_jobs(kernel_jobs(kernels_of([lone], *TARGET), *TARGET))
    table = CostTable.from_runs([campaign([*block_plan_jobs(block_jobs([lone], *TARGET)), *kernels])])
    both = [table.lookup(fakes.TARGET.id, lone.key, kind).latency_ns for kind in ("kernel", "block")]
    assert both == pytest.approx([fakes.OP_NS["conv2d"]] * 2, rel=1e-3)


def test_energy_is_a_slope_less_that_of_companions_too(fakes: ModuleType, campaign: Campaign):
    run = campaign(block_plan_jobs(block_jobs([residual(), widening()], *TARGET)))
    with_energy(run, fakes)
    for row in CostTable.from_runs([run]).rows(kind="block"):
        work = residual() if row.label == "residual block" else widening()
        assert row.energy_mj == pytest.approx(costs(fakes, work) * MJ_PER_NS, rel=1e-6)


def test_energy_of_a_companion_that_is_missing_is_not_zero(fakes: ModuleType, campaign: Campaign):
    plans = block_jobs([residual(), widening()], *TARGET)
    (companion,) = (plan.key for plan in plans if not plan.is_block)
    run = campaign(block_plan_jobs(plans))
    with_energy(run, fakes, missing=companion)
    energies = {row.label: row.energy_mj for row in CostTable.from_runs([run]).rows(kind="block")}
    assert energies["widening block"] is None
    assert energies["residual block"] is not None


def test_block_rows_survive_a_file(fakes: ModuleType, campaign: Campaign, tmp_path: Path):
    table = CostTable.from_runs([campaign(block_plan_jobs(block_jobs([widening()], *TARGET)))])
    for suffix in ("json", "parquet"):
        table.export(tmp_path / f"t.{suffix}")
        assert CostTable.load(tmp_path / f"t.{suffix}").all_rows == table.all_rows
