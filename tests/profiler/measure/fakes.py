"""A board with known costs and faults on demand, an artefact cache without artefacts, and a campaign to be killed.

Run as a program it does one campaign with them: fakes.py RESULTS_DIR RUN_ID MEASURED_LOG [pause_s]
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from profiler.errors import BoardFull, DeviceError, DeviceLost
from profiler.fleet.targets import Device, Target
from profiler.measure.board import BoardJob
from profiler.measure.campaign import Campaign
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import Job, model_jobs
from profiler.measure.limits import CampaignLimits
from profiler.measure.record import Role
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload

TARGET = Target("fake", "onnxruntime", "fp32")
DEVICE = Device("fake", "192.0.2.1", "nobody", (TARGET,), emulation="simulated", identity_file="/secret/key")
CONFIG = MeasureConfig(rounds=3, min_batches=5, seed=7, sentinel_jobs=0, process_probes=0, retries=0)
WATCHED = replace(CONFIG, sentinel_jobs=4)
RUN_OVERHEAD_NS = 20_000.0
OP_NS = {"conv2d": 50_000.0, "linear": 8_000.0, "relu": 0.0, "add": 3_000.0, "avg_pool": 12_000.0}


def true_cost_ns(workload: Workload) -> float:
    """An overhead per run and a fixed cost per operator: slopes find the latter exactly."""
    return RUN_OVERHEAD_NS + sum(OP_NS.get(workload.ops[i].kind, 0.0) for i in workload.compute_ops)


class Recorder:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.total = -1
        self.labels: list[str] = []
        self.messages: list[str] = []

    def start(self, total: int, done: int = 0) -> None:
        self.total = total
        self.labels = self.labels[:done]

    def advance(self, label: str) -> None:
        self.labels.append(label)

    def message(self, text: str) -> None:
        self.messages.append(text)


@dataclass(frozen=True)
class Artefact:
    sha256: str
    workload: Workload


class Cache:
    """Lowers nothing; `broken` maps workload keys to errors."""

    def __init__(self, broken: dict[str, Exception] | None = None) -> None:
        self.broken = broken or {}

    def get(self, workload: Workload, runtime: str, precision: str) -> Artefact:
        if workload.key in self.broken:
            raise self.broken[workload.key]
        return Artefact(hashlib.sha256(workload.key.encode()).hexdigest(), workload)


@dataclass(frozen=True)
class Reply:
    status: Any = "ok"
    issues: tuple[str, ...] = ("sensor_missing",)
    samples_ns: tuple[int, ...] = ()
    runs_per_batch: int = 10
    load_ns: int | None = 5_000_000
    first_run_ns: int | None = 400_000
    warmup_runs: int = 5
    output_error: float | None = 1e-6
    energy_mj: float | None = None
    error: str = ""
    env: dict[str, Any] = field(default_factory=lambda: {"load_1min": 0.1})
    power: Any = None


class Facts:
    def __init__(self, **changes: Any) -> None:
        self.values = {"cpu_model": "Imaginary", "cores": 4, "runtimes": {"onnxruntime": "1.0"}, "load": 0.3, **changes}

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        return self.values


@dataclass
class Session:
    """What a board keeps of one session: results by key, and the keys of jobs that an agent died with."""

    done: dict[str, Reply] = field(default_factory=dict)
    interrupted: list[str] = field(default_factory=list)


class World:
    """All boards of a test and what happened on them.

    Attributes:
        noise: relative standard deviation of a sample; round_noise: of what a whole round is off by.
        level: by what factor the board is slower than it should be, asked before every job.
        faults: called when a job is taken up with (artefact, how often it was taken up); it returns a Reply or None,
            or raises: then the agent died with the job, or the board did.
        cut: called when a job is done; True cuts the link before the result is sent.
        forgets: whether boards drop what they have sent.
        full: hashes of artefacts that the board has no room for, in blocks of more than `room` jobs.
        events: "connect", "worker", "close", "finish", or the artefact's workload key, in order.
        blocks: how many jobs were in each block.
        half_widths: what each workload's interval was asked to be.
    """

    def __init__(self, noise: float = 0.0, round_noise: float = 0.0) -> None:
        self.noise = noise
        self.round_noise = round_noise
        self.level: Callable[[], float] = lambda: 1.0
        self.faults: Callable[[Artefact, int], Reply | None] = lambda artefact, attempt: None
        self.cut: Callable[[Artefact], bool] = lambda artefact: False
        self.forgets = False
        self.full: set[str] = set()
        self.room = 0
        self.connect_faults: list[DeviceError] = []
        self.facts = Facts()
        self.events: list[str] = []
        self.blocks: list[int] = []
        self.half_widths: dict[str, float | None] = {}
        self.tries: Counter[str] = Counter()
        self.on_measure: Callable[[str], None] = lambda key: None
        self.rng = np.random.default_rng(3)
        self.round_factor = 1.0
        self.sessions: dict[str, Session] = {}

    def connect(self, device: Device, session: str) -> Board:
        self.events.append("connect")
        if self.connect_faults:
            raise self.connect_faults.pop(0)
        return Board(self, session)


@contextmanager
def interrupted(world: World, at: int) -> Iterator[None]:
    """The host is interrupted when the board has done so many jobs; behind the block nothing is in its way."""

    def die(artefact: Artefact) -> bool:
        if len([event for event in world.events if len(event) == 32]) == at:
            raise KeyboardInterrupt
        return False

    world.cut = die
    try:
        yield
    except KeyboardInterrupt:
        world.cut = lambda artefact: False
    else:
        raise AssertionError(f"nothing was interrupted: the board never did {at} jobs")


class Board:
    def __init__(self, world: World, session: str) -> None:
        self.world = world
        self.name = session
        self.session = world.sessions.setdefault(session, Session())

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *exc: object) -> None:
        self.world.events.append("close")

    def facts(self) -> Facts:
        return self.world.facts

    def interrupted(self) -> list[str]:
        return list(self.session.interrupted)

    def finish(self) -> None:
        self.world.events.append("finish")
        del self.world.sessions[self.name]

    def run(self, block: Sequence[BoardJob], target: Target, config: MeasureConfig) -> Iterator[tuple[str, Reply]]:
        world = self.world
        world.blocks.append(len(block))
        for job in block:
            if job.key in self.session.done:
                yield job.key, self.session.done[job.key]
        full = [job for job in block if job.artefact.sha256 in world.full and len(block) > world.room]
        for job in block:
            if job.key not in self.session.done and job not in full:
                self.session.done[job.key] = self.job(job, config)
                if world.cut(job.artefact):
                    raise DeviceLost("the link was cut", target.device_id)
                yield job.key, self.session.done.pop(job.key) if world.forgets else self.session.done[job.key]
        if full:
            raise BoardFull("no room", target.device_id)

    def job(self, job: BoardJob, config: MeasureConfig) -> Reply:
        world, artefact = self.world, job.artefact
        if job.fresh:
            world.events.append("worker")
            world.round_factor = 1 + world.round_noise * world.rng.normal()
        world.events.append(artefact.workload.key)
        world.tries[artefact.sha256] += 1
        world.half_widths[artefact.workload.key] = job.half_width
        try:
            special = world.faults(artefact, world.tries[artefact.sha256])
        except DeviceError:
            self.session.interrupted.append(job.key)
            raise
        if special is not None:
            return special
        world.on_measure(artefact.workload.key)
        runs = 10
        cost = true_cost_ns(artefact.workload) * world.round_factor * world.level() * runs
        samples = cost * (1 + world.noise * world.rng.normal(size=config.min_batches))
        return Reply(samples_ns=tuple(int(s) for s in samples), runs_per_batch=runs)


def chain(kind: str, m: int, channels: int = 8) -> Workload:
    """m operators of one kind, one after the other."""
    b = WorkloadBuilder(f"{kind} x{m}")
    x = b.input((1, channels, 8, 8))
    for _ in range(m):
        if kind == "conv2d":
            x = b.conv2d(x, channels, kernel=3, bias=True)
        elif kind == "relu":
            x = b.relu(x)
        else:
            x = b.add(x, x)
    return b.build(x)


def kernel_jobs(kind: str, m: int = 4, channels: int = 8, companions: tuple[str, ...] = ()) -> list[Job]:
    """The jobs of one kernel: 1, m and 2m of it."""
    subject = chain(kind, 1, channels)
    return [
        Job(
            chain(kind, n, channels), Role("kernel", subject.key, "chain", n), subject, f"{kind} {channels}", companions
        )
        for n in (1, m, 2 * m)
    ]


def network(depth: int, name: str = "") -> Workload:
    """A whole model of `depth` convolutions with an addition behind each."""
    b = WorkloadBuilder(name or f"net{depth}")
    x = b.input((1, 8, 8, 8))
    for _ in range(depth):
        y = b.conv2d(x, 8, kernel=3)
        x = b.add(x, y)
    return b.build(x)


def some_jobs() -> list[Job]:
    """Three kernels and two models: 11 jobs."""
    kernels = [job for channels in (4, 8, 16) for job in kernel_jobs("conv2d", channels=channels)]
    return kernels + model_jobs([network(2)], "fit") + model_jobs([network(3)], "held_out")


LIMITS = CampaignLimits(retry_wait_s=0.0, pause_s=0.0)


def campaign(
    world: World, results_dir: Path, cache: Cache | None = None, config: MeasureConfig = CONFIG, **changes: Any
) -> Campaign:
    return Campaign(world.connect, cache or Cache(), results_dir, config, **{"limits": LIMITS, **changes})


def main(results_dir: str, run_id: str, log: str, pause_s: str = "0.004") -> None:
    """A campaign that writes one line to `log` for every job measured, before it is journaled."""
    world = World(noise=0.001)

    def on_measure(key: str) -> None:
        with open(log, "a", encoding="utf-8") as file:
            file.write(key + "\n")
        time.sleep(float(pause_s))

    world.on_measure = on_measure
    campaign(world, Path(results_dir)).run(DEVICE, TARGET, some_jobs(), run_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
