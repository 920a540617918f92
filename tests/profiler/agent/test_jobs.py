"""What is no job is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from profiler.agent import jobs
from profiler.fleet.inventory.devices import load_devices
from profiler.fleet.sessions.jobs import request
from profiler.measure.board import BoardJob
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.graph import Workload

Job = dict[str, Any]

QUICK = MeasureConfig().to_dict()


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
        ({"config": QUICK | {"cache": "warm"}}, "job.config.cache"),
        ({"config": QUICK | {"cool_s": -1}}, "job.config.cool_s"),
        ({"board": None}, "job.board "),
        ({"board": {"governor": None}}, "job.board.governor"),
        ({"board": {"governor": "a b"}}, "job.board.governor"),
        ({"board": {"clock": 1500}}, "job.board.clock"),
        ({"board": {"clock": "0"}}, "job.board.clock"),
        ({"board": {"clock": "nan"}}, "job.board.clock"),
        ({"board": {"clock": "1e3"}}, "job.board.clock"),
        ({"board": {"heat": []}}, "job.board.heat "),
        ({"board": {"heat": {"zones": "cpu"}}}, "job.board.heat.zones"),
        ({"board": {"heat": {"files": ["x"] * 65}}}, "job.board.heat.files"),
        ({"board": {"heat": {"throttle_command": [1]}}}, "job.board.heat.throttle_command"),
        ({"board": {"heat": {"throttle_file": None}}}, "job.board.heat.throttle_file"),
        ({"board": {"heat": {"throttle_bits": [64]}}}, "job.board.heat.throttle_bits"),
        ({"board": {"heat": {"throttle_bits": [True]}}}, "job.board.heat.throttle_bits"),
        ({"board": {"sensors": {}}}, "job.board.sensors"),
        ({"board": {"sensors": ["rapl"]}}, "job.board.sensors"),
        ({"board": {"meter": "yes"}}, "job.board.meter"),
    ],
)
def test_a_job_lacking_something_is_refused_by_name(good_job: Job, changes: Job, named: str) -> None:
    assert jobs.check_job(good_job) is good_job
    with pytest.raises(jobs.BadRequest, match=named):
        jobs.check_job(good_job | changes)


def test_what_bounds_a_job_may_be_left_out(good_job: Job) -> None:
    bounds = {"fresh", "cpus", "memory_mb", "accelerator", "library", "allow_fallback", "board"}
    jobs.check_job({name: value for name, value in good_job.items() if name not in bounds})


@pytest.mark.parametrize("what", [None, 3, "job", [], {}])
def test_what_is_no_object_of_a_job_is_none(what: Any) -> None:
    with pytest.raises(jobs.BadRequest):
        jobs.check_job(what)


def test_what_the_host_asks_of_every_board_in_the_inventory_is_a_job(cache: ArtefactCache, workload: Workload) -> None:
    artefact = cache.get(workload, "onnxruntime", "fp32")
    for device in load_devices(Path(__file__).parents[3] / "devices.yaml"):
        for target in device.targets:
            job = request(BoardJob("job-1", artefact), "/tmp/a", device, target, MeasureConfig())
            jobs.check_job(json.loads(json.dumps(job)) | {"runtime": "onnxruntime"})
