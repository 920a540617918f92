from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from profiler.fleet.agent_bundle import build_agent
from profiler.fleet.messages import Bye, Heartbeat, Hello, Message, Result, Started, parse_message
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import Artefact, ArtefactCache
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload

QUICK = MeasureConfig(
    min_batch_s=0.0005, warmup_runs=3, warmup_s=0.0, min_batches=5, target_half_width=0.5, cap_s=0.2, job_timeout_s=60.0
)

SESSION = "0123456789abcdef"
OWNER = {"host": "lab", "user": "ada", "owner": "a test", "pid": os.getpid(), "start": "1"}


class Agent:
    """A relay to a session's daemon, which it starts if there is none, and the conversation with it."""

    def __init__(
        self, pyz: Path, workdir: Path, session: str = SESSION, wait_s: float = 0.0, python: str = sys.executable
    ) -> None:
        self.workdir = workdir
        self.folder = workdir / "sessions" / session
        command = [python, str(pyz), "attach", str(workdir), session, json.dumps(OWNER), str(wait_s)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/"
        )
        self.pid = 0
        self.seqs: list[int] = []
        self._names = itertools.count()

    def send(self, request: dict[str, Any] | bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self) -> Message:
        assert self.process.stdout is not None
        while isinstance(message := parse_message(self.process.stdout.readline()), Heartbeat):
            pass
        if isinstance(message, Result | Started):
            self.seqs.append(message.seq)
        return message

    def ask(self, request: dict[str, Any] | bytes) -> Any:
        self.send(request)
        return self.hear()

    def hello(self, since: int = 0, alone_s: float | None = None, linger_s: float = 60.0) -> Hello:
        message = self.ask({"op": "hello", "since": since, "alone_s": alone_s, "linger_s": linger_s})
        assert isinstance(message, Hello), message
        self.pid = message.pid
        return message

    def entries(self, number: int) -> list[Any]:
        """So many further messages, all of them entries of the journal."""
        found = [self.hear() for _ in range(number)]
        assert all(isinstance(message, Started | Result) for message in found)
        return found

    def block(self, *jobs: dict[str, Any]) -> int:
        message = self.ask({"op": "block", "jobs": jobs})
        assert message.event == "queued", message
        return int(message.jobs)

    def run(self, job: dict[str, Any]) -> Result:
        """One job, under a name of its own: a name is journaled once."""
        job = job | {"id": f"{job['id']}.{os.getpid()}.{next(self._names)}"}
        assert self.block(job) == 1
        started, result = self.entries(2)
        assert isinstance(started, Started)
        assert isinstance(result, Result)
        assert started.id == result.id == job["id"]
        return result

    def busy(self, endless: dict[str, Any], until: Callable[[Callable[[], bool]], None]) -> int:
        """Start a job that does not end; the worker's pid once it is at work."""
        self.block(endless)
        self.entries(1)
        until(lambda: bool(self.workers()) and cpu_ticks(self.workers()[0]) > 60)
        return self.workers()[0]

    def workers(self) -> list[int]:
        """Processes that the daemon has started."""
        return [int(word) for word in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def quit(self, forget: bool = False) -> int:
        """Take leave; the relay's exit status."""
        self.send({"op": "quit", "forget": forget})
        while not isinstance(self.hear(), Bye):
            pass
        return self.process.wait(20)

    def cut(self) -> None:
        """The link is gone."""
        self.process.kill()
        self.close()

    def close(self) -> tuple[int, str]:
        """Close the link from this end: exit status and last words of the relay."""
        pipes = (self.process.stdin, self.process.stdout, self.process.stderr)
        with contextlib.suppress(BrokenPipeError, ValueError):
            pipes[0].close()  # type: ignore[union-attr]
        status = self.process.wait(20)
        words = "" if pipes[2].closed else pipes[2].read().decode()  # type: ignore[union-attr]
        for pipe in pipes[1:]:
            pipe.close()  # type: ignore[union-attr]
        return status, words


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def end_daemons(workdir: Path) -> None:
    """Whoever still holds the board after a test."""
    for card in workdir.glob("sessions/*/agent.json"):
        found = json.loads(card.read_text())
        stat = Path(f"/proc/{found['pid']}/stat")
        if stat.exists() and found["start"] in stat.read_text().split():
            os.kill(found["pid"], signal.SIGCONT)
            os.kill(found["pid"], signal.SIGTERM)


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "agent.pyz"
    path.write_bytes(build_agent()[0])
    return path


@pytest.fixture
def workdir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "board"
    folder.mkdir()
    yield folder
    end_daemons(folder)


@pytest.fixture
def attach(pyz: Path, workdir: Path) -> Iterator[Callable[..., Agent]]:
    """Attaches to the daemon of a session on one board; all links are cut after the test."""
    links: list[Agent] = []

    def begin(**changes: Any) -> Agent:
        links.append(Agent(pyz, changes.pop("workdir", workdir), **changes))
        return links[-1]

    yield begin
    for link in links:
        link.close()


@pytest.fixture
def start(attach: Callable[..., Agent]) -> Callable[[], Agent]:
    """Starts an agent that a test may leave as it likes, and says hello."""

    def begin() -> Agent:
        agent = attach()
        agent.hello()
        return agent

    return begin


@pytest.fixture(scope="module")
def agent(pyz: Path) -> Iterator[Agent]:
    """One agent for tests that leave it as they found it."""
    folder = Path(tempfile.mkdtemp(prefix="edgecost-test-"))
    shared = Agent(pyz, folder)
    shared.hello()
    yield shared
    try:
        assert shared.quit() == 0
        assert shared.seqs == list(range(len(shared.seqs)))
    finally:
        shared.close()
        end_daemons(folder)
        shutil.rmtree(folder)


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
            "fresh": False,
            "cpus": None,
            "memory_mb": None,
            "accelerator": "",
            "library": "",
            "allow_fallback": False,
        }
        return dict(json.loads(json.dumps(request | changes)))  # as it arrives on a board

    return job


@pytest.fixture(scope="session")
def good_job(cache: ArtefactCache, workload: Workload, job_for: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return job_for(cache.get(workload, "onnxruntime", "fp32"))


@pytest.fixture(scope="session")
def endless(good_job: dict[str, Any]) -> dict[str, Any]:
    """A job that samples for a minute if it is let."""
    return good_job | {"id": "endless", "config": good_job["config"] | {"cap_s": 60.0, "min_batches": 10**9}}


@pytest.fixture(scope="session")
def file_job() -> Callable[..., dict[str, Any]]:
    """A job for a file of one input (1, 4) and no reference."""

    def job(path: Path, runtime: str, timeout_s: float = 60.0) -> dict[str, Any]:
        config = QUICK.to_dict() | {"job_timeout_s": timeout_s}
        return {
            "id": path.name, "path": str(path), "format": "", "runtime": runtime, "precision": "fp32",
            "threads": 1, "inputs": [[1, 4]], "layout": "nchw", "expected": None, "config": config,
        }  # fmt: skip

    return job


@pytest.fixture
def gone(tmp_path: Path, file_job: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Jobs that end at once, as their file is not there."""

    def job(name: str, **changes: Any) -> dict[str, Any]:
        return file_job(tmp_path / "gone.onnx", "onnxruntime") | {"id": name} | changes

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
