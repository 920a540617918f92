"""A campaign on an aarch64 board, and what becomes of its figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.fleet.provisioning import Provisioned
from profiler.fleet.sessions.session import connect
from profiler.fleet.targets import Device
from profiler.measure.campaign import Campaign
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import Job, kernel_plan_jobs, model_jobs
from profiler.measure.journal import read_journal
from profiler.tables.table import CostTable
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import cut
from profiler.workloads.graph import Workload
from profiler.workloads.isolation import kernel_jobs


def network() -> Workload:
    b = WorkloadBuilder("tiny")
    x = b.relu(b.batch_norm(b.conv2d(b.input((1, 3, 8, 8)), 8, kernel=3)))
    x = b.add(x, b.conv2d(x, 8, kernel=3, groups=8))
    return b.build(b.linear(b.flatten(b.global_avg_pool(x)), 4))


@pytest.mark.parametrize(("runtime", "precision"), [("onnxruntime", "fp32"), ("litert", "int8")])
def test_a_campaign_is_journaled_as_emulated_and_enters_no_table(
    device: Device,
    provisioned: list[Provisioned],
    artefacts: ArtefactCache,
    quick: MeasureConfig,
    tmp_path: Path,
    runtime: str,
    precision: str,
) -> None:
    (chosen,) = (t for t in device.targets if (t.runtime, t.precision) == (runtime, precision))
    plans = kernel_jobs(cut(network(), chosen.runtime, chosen.precision), chosen.runtime, chosen.precision)
    jobs: list[Job] = [*kernel_plan_jobs(plans), *model_jobs([network()], "held_out")]
    campaign = Campaign(connect, artefacts, tmp_path, quick)
    result = campaign.run(device, chosen, jobs, "r1")
    assert result.failures == {}

    journaled = read_journal(result.run_dir / "journal.jsonl").measurements
    assert len(journaled) == result.measured > len(plans)
    assert all("emulated" in m.issues for m in journaled)
    assert {m.status for m in journaled} == {"ok"}

    table = CostTable.from_results(tmp_path)
    assert table.all_rows == ()
    assert dict(table.left_out) == {chosen.id: result.measured}
    asked = CostTable.from_results(tmp_path, with_emulated=True)
    assert {row.key for row in asked.rows(kind="kernel")} == {plan.key for plan in plans}
    assert [row.label for row in asked.rows(kind="model")] == ["tiny"]
    assert all("emulated" in row.issues for row in asked.rows())
