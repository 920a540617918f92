"""Run folders written by hand, as a campaign leaves them: jobs, sentinels, and what the board told meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from profiler.fleet.targets import Device, Target
from profiler.measure.config import MeasureConfig
from profiler.measure.journal import encode
from profiler.measure.record import Measurement, Role
from profiler.measure.runfolder import RunFolder, Subject
from profiler.workloads.build import WorkloadBuilder

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
GRAPH = WorkloadBuilder("any")
WORKLOAD = GRAPH.build(GRAPH.relu(GRAPH.input((1, 2, 2, 2)))).to_dict()


def job(subject: str, round_: int, at_s: float | None, kind: Any = "model", **changes: Any) -> Measurement:
    """A measurement of ten microseconds, so many seconds after the campaign began."""
    mean = changes.pop("mean_ns", 10_000)
    fields: dict[str, Any] = {
        "job_key": f"{subject}{round_}{at_s}",
        "workload_key": subject,
        "artefact_sha256": "",
        "device_id": "board",
        "target_id": "board/onnxruntime-fp32-t1",
        "role": Role(kind, subject),
        "round": round_,
        "status": "ok",
        "samples_ns": (mean, mean + 10, mean - 10),
        "runs_per_batch": 1,
        "started_at": "" if at_s is None else (BEGUN + timedelta(seconds=at_s)).isoformat(timespec="milliseconds"),
    }
    return Measurement(**{**fields, **changes})


def sentinel(at_s: float, verdict: str, mean_ns: int = 5_000, round_: int = 0, **env: Any) -> Measurement:
    """A sentinel and what was said of it."""
    env["sentinel_verdict"] = verdict
    return job("sentinel", round_, at_s, "sentinel", mean_ns=mean_ns, env=env)


def write(
    results: Path, lines: Iterable[Measurement], *, run_id: str = "r1", board: str = "board", emulation: str = "",
    started: str = "2026-01-01T00:00:00+00:00",
) -> Path:  # fmt: skip
    """A run of these lines; its subjects are those of the lines."""
    simulated = emulation == "simulated"
    target = Target(board, "simulated" if simulated else "onnxruntime", "fp32")
    folder = RunFolder.create(results, board, run_id)
    device = Device(board, "192.0.2.1", "nobody", (target,), emulation=emulation)
    folder.write_header(device, target, MeasureConfig(), {})
    header = folder.path / "run.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "started": started}))
    lines = list(lines)
    keys = dict.fromkeys(line.role.subject_key for line in lines if line.role.kind != "sentinel")
    folder.add_subjects(Subject(key, WORKLOAD, f"label {key}", "whole", 0, ()) for key in keys)
    folder.journal_path.write_bytes(b"".join(map(encode, lines)))
    return folder.path
