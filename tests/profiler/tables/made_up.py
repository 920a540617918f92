"""Runs written by hand: whatever a journal may hold, without a campaign."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from profiler.fleet.targets import Device, Target
from profiler.measure.config import MeasureConfig
from profiler.measure.journal import encode
from profiler.measure.record import Measurement, Role
from profiler.measure.runfolder import RunFolder, Subject
from profiler.workloads.build import WorkloadBuilder

TARGET = Target("board", "onnxruntime", "fp32")
_GRAPH = WorkloadBuilder("any")
GRAPH = _GRAPH.build(_GRAPH.relu(_GRAPH.input((1, 2, 2, 2)))).to_dict()


def line(subject: str = "k", kind: Any = "model", repeats: int = 1, round_: int = 0, **changes: Any) -> Measurement:
    """A measurement of ten microseconds a repetition."""
    fields: dict[str, Any] = {
        "job_key": f"{subject}{repeats}{round_}",
        "workload_key": subject,
        "artefact_sha256": "",
        "device_id": "board",
        "target_id": TARGET.id,
        "role": Role(kind, subject, "whole" if kind == "model" else "chain", repeats, changes.pop("split", "")),
        "round": round_,
        "status": "ok",
        "samples_ns": (repeats * 10_000, repeats * 10_100, repeats * 9_900),
        "runs_per_batch": 1,
        "started_at": "2026-01-01T00:00:00.000+00:00",
    }
    return Measurement(**{**fields, **changes})


def subject(key: str, repeats: int = 0, companions: Sequence[str] = ()) -> Subject:
    return Subject(key, GRAPH, f"label {key}", "chain" if repeats else "whole", repeats, tuple(companions))


def write_run(
    results: Path,
    lines: Iterable[Measurement],
    subjects: Iterable[Subject] = (),
    *,
    run_id: str = "r1",
    target: Target = TARGET,
    started: str = "2026-01-01T00:00:00+00:00",
    emulation: str = "",
    **header: Any,
) -> Path:
    folder = RunFolder.create(results, target.device_id, run_id)
    folder.write_header(
        Device(target.device_id, "192.0.2.1", "nobody", (target,), emulation=emulation), target, MeasureConfig(), {}
    )
    path = folder.path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "started": started, **header}))
    folder.add_subjects(subjects)
    folder.journal_path.write_bytes(b"".join(map(encode, lines)))
    return folder.path
