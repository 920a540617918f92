"""A campaign with the real agent, artefacts and session, by subprocesses of this machine, into a table."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from profiler.fleet.sessions.session import BoardSession
from profiler.fleet.targets import Device, Precision, Target
from profiler.fleet.transport.local import LocalTransport
from profiler.measure.campaign import Campaign
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import Job, block_plan_jobs, kernel_plan_jobs, model_jobs
from profiler.measure.journal import read_journal
from profiler.tables.table import CostTable
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import cut
from profiler.workloads.graph import Workload
from profiler.workloads.isolation import block_jobs, kernel_jobs

CONFIG = MeasureConfig(
    rounds=2, min_batch_s=0.0005, warmup_runs=1, warmup_s=0.0, min_batches=3, target_half_width=0.5, cap_s=0.05,
    cool_s=0.0, sentinel_jobs=0, retries=0,
)  # fmt: skip


def network() -> Workload:
    b = WorkloadBuilder("tiny")
    x = b.relu(b.batch_norm(b.conv2d(b.input((1, 3, 8, 8)), 8, kernel=3)))
    return b.build(b.linear(b.flatten(b.global_avg_pool(b.add(x, b.conv2d(x, 8, kernel=3)))), 4))


def here(target: Target, folder: Path) -> tuple[Device, Campaign]:
    """This machine as a board, and a campaign with it."""
    device = Device("here", "localhost", "me", (target,), python=sys.executable, workdir="~/work", machine=folder.name)
    (folder / "home").mkdir()

    def connect(device: Device, session: str) -> BoardSession:
        return BoardSession(device, LocalTransport(folder / "home", device.id), session)

    return device, Campaign(connect, ArtefactCache(folder / "cache"), folder / "results", CONFIG)


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_a_network_and_its_kernels_come_out_as_rows(tmp_path: Path, runtime: str):
    target = Target("here", runtime, "fp32")
    device, campaign = here(target, tmp_path)
    kernels = cut(network(), target.runtime, target.precision)
    plans = kernel_jobs(kernels, target.runtime, target.precision)
    jobs: list[Job] = [*kernel_plan_jobs(plans), *model_jobs([network()], "held_out")]
    result = campaign.run(device, target, jobs, "r1")
    assert result.failures == {}
    assert result.measured == 2 * len({(job.workload.key, job.role) for job in jobs})

    again = campaign.run(device, target, jobs, "r1")
    assert (again.measured, again.resumed) == (0, result.measured)

    table = CostTable.from_results(tmp_path / "results")
    assert {row.status for row in table.rows(with_failed=True)} == {"ok"}
    assert {row.key for row in table.rows(kind="kernel")} == {plan.key for plan in plans}
    (model,) = table.rows(kind="model")
    assert (model.label, model.split, model.n_rounds) == ("tiny", "held_out", 2)
    assert model.latency_ns > 0
    assert "few_rounds" in model.issues
    for record in read_journal(result.run_dir / "journal.jsonl").measurements:
        assert record.output_error is not None, "outputs were compared with the host's"


@pytest.mark.parametrize(("runtime", "precision"), [("onnxruntime", "fp32"), ("litert", "int8")])
def test_blocks_come_out_as_rows(tmp_path: Path, samples: ModuleType, runtime: str, precision: Precision):
    """Beside ballast: what a board computes in stretches of a block is what the host does."""
    target = Target("here", runtime, precision)
    device, campaign = here(target, tmp_path)
    parts = samples.network_parts()
    blocks = [parts[name] for name in ("mixconv uneven", "mbconv stride 2 se", "stem", "head")]
    plans = block_jobs(blocks, target.runtime, target.precision, network_params=20_000)
    result = campaign.run(device, target, block_plan_jobs(plans), "r1")
    assert result.failures == {}

    table = CostTable.from_results(tmp_path / "results")
    assert {row.status for row in table.rows(with_failed=True)} == {"ok"}
    assert {row.key for row in table.rows(kind="block")} == {block.key for block in blocks}
    assert {row.label for row in table.rows(kind="block")} == {block.name for block in blocks}
    for record in read_journal(result.run_dir / "journal.jsonl").measurements:
        assert record.output_error is not None, "outputs were compared with the host's"
