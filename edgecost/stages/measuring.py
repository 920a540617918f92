"""Measuring one whole network on one target: what verification, scaling and training end with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.metering import metering
from edgecost.stages.places import artefact_cache
from edgecost.stages.planning import measure_config
from edgecost.stages.targets import find_target
from profiler.errors import MeasurementError
from profiler.fleet.targets import Device
from profiler.workloads.identity import digest

if TYPE_CHECKING:
    from profiler.measure.progress import Progress
    from profiler.tables.row import Row
    from profiler.workloads.given import GivenFile
    from profiler.workloads.graph import Workload

__all__ = ["interval_ms", "measure_together", "measure_workload"]

ROUNDS = 5
"""In fresh processes: what a single network is measured for deserves more than a kernel's share."""


def measure_workload(
    devices: Sequence[Device],
    target: str,
    workload: Workload,
    effort: str,
    results: Path,
    progress: Progress | None = None,
    purpose: str = "verify",
    energy: bool = False,
    given: GivenFile | None = None,
) -> Row:
    """Measure a workload end to end on a target; what was journaled before is not measured again.

    Args:
        devices: among them the target's.
        target: a target or device id.
        workload: what runs.
        effort: how long to measure.
        results: where the run goes: RESULTS/<device>/<purpose>-<target>-<key>-<effort>.
        progress: is told what happens.
        purpose: the first word of the run's name.
        energy: whether its energy is measured too; the run's name then ends in "-energy".
        given: the file to measure, where that is not to be lowered from the workload.

    Raises:
        ConfigError: for a target that is not among the devices, or an unknown effort.
        DeviceError: when the board cannot be used.
        MeasurementError: when the measurement failed on the board.
    """
    rows, run_dir = _measured(
        devices, target, [workload], effort, results, progress, purpose, workload.key[:8], ROUNDS, energy, given
    )
    row = rows[workload.key]
    if not row.has_figure:
        raise MeasurementError(f"the network could not be measured on {row.target_id}: {row.status}; see {run_dir}")
    return row


def measure_together(
    devices: Sequence[Device],
    target: str,
    workloads: Sequence[Workload],
    effort: str,
    results: Path,
    progress: Progress | None = None,
    purpose: str = "study",
    rounds: int = ROUNDS,
) -> dict[str, Row]:
    """Measure workloads in one campaign, in rounds of random order, so that what the board does meanwhile is shared by
    all of them: what several networks are to be compared by. Rows by key; arguments and errors as `measure_workload`.

    One that failed has a row without a figure.
    """
    name = digest(sorted({w.key for w in workloads}))[:8]
    return _measured(devices, target, workloads, effort, results, progress, purpose, name, rounds)[0]


def _measured(
    devices: Sequence[Device],
    target: str,
    workloads: Sequence[Workload],
    effort: str,
    results: Path,
    progress: Progress | None,
    purpose: str,
    name: str,
    rounds: int,
    energy: bool = False,
    given: GivenFile | None = None,
) -> tuple[dict[str, Row], Path]:
    from profiler.fleet.sessions.session import connect
    from profiler.measure.campaign import Campaign
    from profiler.measure.jobs import model_jobs
    from profiler.measure.lowering import Lowerings
    from profiler.tables.table import CostTable
    from profiler.workloads.artefacts import ArtefactCache
    from profiler.workloads.given import GivenFirst

    device, found = find_target(devices, target)
    config = replace(measure_config(effort), rounds=rounds, energy=energy)
    run_id = f"{purpose}-{found.id.split('/', 1)[1]}-{name}-{effort}{'-energy' if energy else ''}"
    with (
        Lowerings(ArtefactCache(artefact_cache())) as lowered,
        metering([(device, found)], config, connect) as session,
    ):
        source = lowered if given is None else GivenFirst(given, lowered)
        campaign = Campaign(session or connect, source, results, config, progress)
        run = campaign.run(device, found, model_jobs(workloads), run_id)
    rows = CostTable.from_runs([run.run_dir]).rows(target_id=found.id, kind="model", with_failed=True)
    return {row.key: row for row in rows}, run.run_dir


def interval_ms(row: Row) -> dict[str, Any]:
    """A row's latency and its 95 % interval in milliseconds, as JSON files name them."""
    return {
        "measured_ms": row.latency_ns / 1e6,
        "low_ms": row.low_ns / 1e6,
        "high_ms": row.high_ns / 1e6,
        "issues": list(row.issues),
    }
