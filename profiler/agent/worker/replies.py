"""What a worker answers."""

from __future__ import annotations

from typing import Any, Dict


def empty_reply(job_id: str) -> Dict[str, Any]:
    """All fields of a reply, none of them known yet."""
    return {
        "id": job_id,
        "status": "ok",
        "issues": [],
        "samples_ns": [],
        "runs_per_batch": 0,
        "load_ns": None,
        "first_run_ns": None,
        "warmup_runs": 0,
        "output_error": None,
        "energy_mj": None,
        "error": "",
        "env": {},
        "power": None,
    }
