from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from profiler.fleet.agent_bundle import build_agent
from profiler.fleet.messages import Heartbeat, Message, Result, parse_message
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import Artefact, ArtefactCache
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload

QUICK = MeasureConfig(
    min_batch_s=0.0005, warmup_runs=3, warmup_s=0.0, min_batches=5, target_half_width=0.5, cap_s=0.2, job_timeout_s=60.0
)


class Agent:
    """A running agent.pyz, and the conversation with it."""

    def __init__(self, pyz: Path, python: str = sys.executable) -> None:
        self.process = subprocess.Popen(
            [python, str(pyz), "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.hello = self.hear()

    def send(self, request: dict[str, Any] | bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self) -> Message:
        assert self.process.stdout is not None
        while isinstance(message := parse_message(self.process.stdout.readline()), Heartbeat):
            pass
        return message

    def ask(self, request: dict[str, Any] | bytes) -> Any:
        self.send(request)
        return self.hear()

    def run(self, job: dict[str, Any]) -> Result:
        message = self.ask(job)
        assert isinstance(message, Result), message
        assert message.id == job["id"]
        return message

    def fresh_worker(self) -> int:
        return int(self.ask({"op": "fresh_worker"}).pid)

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait(20)


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "agent.pyz"
    path.write_bytes(build_agent()[0])
    return path


@pytest.fixture
def start(pyz: Path) -> Iterator[Callable[[], Agent]]:
    """Starts agents, and ends them after the test."""
    started: list[Agent] = []

    def begin() -> Agent:
        started.append(Agent(pyz))
        return started[-1]

    yield begin
    for agent in started:
        if agent.process.poll() is None:
            agent.process.send_signal(signal.SIGTERM)
        agent.close()


@pytest.fixture(scope="module")
def agent(pyz: Path) -> Iterator[Agent]:
    """One agent for tests that leave it as they found it."""
    shared = Agent(pyz)
    yield shared
    shared.close()
    assert shared.process.returncode == 0


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> ArtefactCache:
    return ArtefactCache(tmp_path_factory.mktemp("artefacts"))


@pytest.fixture(scope="session")
def workload() -> Workload:
    """Two inputs and two outputs, the first of them an image: layouts and positions all matter."""
    b = WorkloadBuilder("small")
    first, second = b.input((1, 8, 6, 10)), b.input((1, 16, 6, 10))
    image = b.add(b.conv2d(first, 16, 3), second)
    return b.build(image, b.linear(b.flatten(b.global_avg_pool(b.relu(image))), 10))


@pytest.fixture(scope="session")
def job_for() -> Callable[..., dict[str, Any]]:
    def job(artefact: Artefact, **changes: Any) -> dict[str, Any]:
        request = {
            "op": "job",
            "id": "job-1",
            "path": str(artefact.path),
            "format": artefact.format,
            "runtime": artefact.runtime,
            "precision": artefact.precision,
            "threads": 1,
            "inputs": artefact.inputs,
            "layout": artefact.layout,
            "expected": asdict(artefact.expected),
            "config": QUICK.to_dict(),
        }
        return dict(json.loads(json.dumps(request | changes)))  # as it arrives on a board

    return job


@pytest.fixture(scope="session")
def good_job(cache: ArtefactCache, workload: Workload, job_for: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return job_for(cache.get(workload, "onnxruntime", "fp32"))


@pytest.fixture(scope="session")
def file_job() -> Callable[..., dict[str, Any]]:
    """A job for a file of one input (1, 4) and no reference."""

    def job(path: Path, runtime: str, timeout_s: float = 60.0) -> dict[str, Any]:
        config = QUICK.to_dict() | {"job_timeout_s": timeout_s}
        return {
            "op": "job", "id": path.name, "path": str(path), "format": "", "runtime": runtime, "precision": "fp32",
            "threads": 1, "inputs": [[1, 4]], "layout": "nchw", "expected": None, "config": config,
        }  # fmt: skip

    return job


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], bool]], None]:
    """Waits for a condition, at most 20 s."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def alive() -> Callable[[int], bool]:
    """Whether a process runs; a zombie does not."""

    def check(pid: int) -> bool:
        try:
            os.kill(pid, 0)
            return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return False

    return check
