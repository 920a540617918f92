"""What was measured on one board, beside what was true: plain values, from which the claims are counted out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from math import exp
from pathlib import Path
from statistics import median
from typing import Any

from profiler.errors import StorageError
from profiler.fleet.virtual.simulated.spec import SimulatedSpec
from profiler.fleet.virtual.simulated.truth import TrueJob, Truth, true_groups
from profiler.measure.fusion_verdicts import Finding
from profiler.measure.jobs import Job
from profiler.measure.journal import iter_journal
from profiler.measure.record import Measurement
from profiler.measure.runfolder import RunFolder
from profiler.measure.watch import BEGINS, DRIFT, VERDICT
from profiler.tables.table import CostTable
from profiler.workloads.fusion_pairs import Pair, Unit, trial, trial_shapes

__all__ = ["observed", "verdicts"]

_SEEN = (
    "throttle_events", "batches_left_out", "sampling_s", "warmup_s", "freq_min_mhz", "freq_max_mhz",
    "energy_refresh_hz", "energy_u_mj", "energy_upper_mj", "again", VERDICT, DRIFT, BEGINS,
)  # fmt: skip
"""What of a measurement's environment is kept."""


def observed(spec: SimulatedSpec, jobs: Sequence[Job], run_dir: Path, log: Sequence[TrueJob]) -> dict[str, Any]:
    """Rows of the table and single measurements, each with its truth.

    Returns:
        "rows": a dict for every figure of the table, with `true_ns` (in the reference state), `typical_ns` (in the
        board's median state of the campaign, by its own log) and `true_mj`; "tries": a dict for every measurement in
        the order of the journal, with the log's line as `truth`.

    Raises:
        StorageError: journal and log do not belong together, or cannot be read.
    """
    drift = median(entry.drift for entry in log)
    true_ns = dict(_true_figures(spec, jobs))
    true_mj = {job.workload.key: _net_mj(spec, job) for job in jobs if job.role.kind == "model"}
    rows = []
    for row in CostTable.from_runs([run_dir]).all_rows:
        found = row.to_dict()
        # the board's clock runs the kernels and what surrounds them alike, so a drift multiplies slopes as well
        found |= {"gated": row.gated, "true_ns": true_ns[row.key], "typical_ns": true_ns[row.key] * exp(drift)}
        found["true_mj"] = true_mj.get(row.key)
        rows.append(found)
    return {"rows": rows, "tries": list(_tries(run_dir, log))}


def _true_figures(spec: SimulatedSpec, jobs: Iterable[Job]) -> Iterator[tuple[str, float]]:
    """By subject: the latency of networks, the slope of kernels; ns."""
    stretches: dict[str, dict[int, float]] = {}
    for job in jobs:
        stretches.setdefault(job.role.subject_key, {})[job.role.repeats] = Truth(spec, job.workload, "fp32").latency_ns
    for key, found in stretches.items():
        short, long = min(found), max(found)
        yield key, (found[long] - found[short]) / (long - short) if long > short else found[long]


def _net_mj(spec: SimulatedSpec, job: Job) -> float:
    """What a run draws besides the idle power: interruptions included, since energies add up and a figure per run is a
    mean by nature."""
    truth = Truth(spec, job.workload, "fp32")
    return truth.net_mj * truth.mean_latency_ns / truth.latency_ns


def _tries(run_dir: Path, log: Sequence[TrueJob]) -> Iterator[dict[str, Any]]:
    true = {entry.id: entry for entry in log}
    names: Counter[str] = Counter()
    before: set[tuple[str, str]] = set()
    for line in iter_journal(RunFolder(run_dir).journal_path):
        if not isinstance(line, Measurement):
            raise StorageError(f"{run_dir}: the journal of a proof has a corrupt line")
        if (line.job_key, line.started_at) in before:
            continue  # the same figure once more, with an issue more
        before.add((line.job_key, line.started_at))
        # what the board calls a job that is measured again
        name = f"{line.job_key}.{names[line.job_key]}" if names[line.job_key] else line.job_key
        names[line.job_key] += 1
        entry = true.get(name)
        if line.status == "ok" and entry is None:
            raise StorageError(f"{run_dir}: the board's log knows nothing of the job {name}")
        yield _try(line, entry)


def _try(line: Measurement, entry: TrueJob | None) -> dict[str, Any]:
    seen = {name: line.env[name] for name in _SEEN if name in line.env}
    found: dict[str, Any] = {
        "role": line.role.kind,
        "key": line.role.subject_key,
        "job": line.job_key,
        "round": line.round,
        "status": line.status,
        "issues": list(line.issues),
        "samples": len(line.samples_ns),
        "median_ns": median(line.samples_ns) / line.runs_per_batch if line.samples_ns else None,
        "energy_mj": line.energy_mj,
        "truth": None if entry is None else asdict(entry),
    }
    return found | seen


def verdicts(spec: SimulatedSpec, findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """What was said of each pair, and what is true."""
    return [
        {
            "pair": "+".join(finding.pair),
            "verdict": finding.verdict,
            "share": [finding.share, finding.share_low, finding.share_high],
            "p": finding.adjusted,
            "reason": finding.reason,
            "true": "fused" if _runs_as_one(spec, finding.pair) else "not",
        }
        for finding in findings
    ]


def _runs_as_one(spec: SimulatedSpec, pair: Pair) -> bool:
    """Whether the second operator makes no kernel of its own where nothing but the pair is there to be drawn into.

    In a network a kernel before the pair may draw in its first operator, and the second has nothing left to join.
    """
    shape = trial_shapes(pair)[0]

    def kernels(unit: Unit) -> int:
        """Of one repetition; a second input that all of them read is drawn into nothing."""
        three, two = (len(true_groups(spec, trial(unit, shape, m), "fp32")) for m in (3, 2))
        return three - two

    return kernels(pair) == kernels(pair[:1])
