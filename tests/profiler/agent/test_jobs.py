"""What is no job is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from profiler.agent import jobs

Job = dict[str, Any]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"id": 3}, "job.id"),
        ({"id": ""}, "job.id"),
        ({"id": "../x"}, "job.id"),
        ({"id": "a" * 65}, "job.id"),
        ({"id": "a\n"}, "job.id"),
        ({"path": 3}, "job.path"),
        ({"runtime": "tvm"}, "job.runtime"),
        ({"threads": 0}, "job.threads"),
        ({"threads": True}, "job.threads"),
        ({"inputs": 7}, "job.inputs"),
        ({"inputs": [[1, 0]]}, "job.inputs"),
        ({"inputs": [[1, "4"]]}, "job.inputs"),
        ({"config": None}, "job.config.job_timeout_s"),
        ({"config": {"job_timeout_s": 0}}, "job.config.job_timeout_s"),
        ({"config": {"job_timeout_s": float("inf")}}, "job.config.job_timeout_s"),
        ({"config": {"job_timeout_s": float("nan")}}, "job.config.job_timeout_s"),
        ({"config": {"job_timeout_s": 1}}, "job.config.min_batch_s"),
        ({"expected": {"size": 4}}, "job.expected"),
        ({"expected": {"size": 4, "rms": 1.0, "indices": [], "values": []}}, "job.expected"),
        ({"expected": {"size": 4, "rms": 1.0, "indices": [4], "values": [0.0]}}, "job.expected"),
        ({"expected": {"size": 4, "rms": None, "indices": [3], "values": [0.0]}}, "job.expected"),
        ({"fresh": 1}, "job.fresh"),
        ({"allow_fallback": None}, "job.allow_fallback"),
        ({"accelerator": None}, "job.accelerator"),
        ({"library": 1}, "job.library"),
        ({"cpus": []}, "job.cpus"),
        ({"cpus": [-1]}, "job.cpus"),
        ({"cpus": [True]}, "job.cpus"),
        ({"cpus": 3}, "job.cpus"),
        ({"memory_mb": 0}, "job.memory_mb"),
        ({"memory_mb": 1.5}, "job.memory_mb"),
        ({"memory_mb": 2**31}, "job.memory_mb"),
    ],
)
def test_a_job_lacking_something_is_refused_by_name(good_job: Job, changes: Job, named: str) -> None:
    assert jobs.check_job(good_job) is good_job
    with pytest.raises(jobs.BadRequest, match=named):
        jobs.check_job(good_job | changes)


def test_what_bounds_a_job_may_be_left_out(good_job: Job) -> None:
    bounds = {"fresh", "cpus", "memory_mb", "accelerator", "library", "allow_fallback"}
    jobs.check_job({name: value for name, value in good_job.items() if name not in bounds})


@pytest.mark.parametrize("what", [None, 3, "job", [], {}])
def test_what_is_no_object_of_a_job_is_none(what: Any) -> None:
    with pytest.raises(jobs.BadRequest):
        jobs.check_job(what)
