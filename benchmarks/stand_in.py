"""A stand-in for a board: it answers at once, in virtual time, with samples whose truth is known.

Everything between a job and the journal is the suite's own code, and when to stop is decided by the agent's. What is
made up is the noise of the samples (streams.py), an offset of each job in each process, how slow the board is at the
moment, and how long a job takes it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from streams import Floats, stream

from profiler.agent.worker import timing
from profiler.agent.worker.settings import Settings
from profiler.fleet.targets import Device, Target
from profiler.measure.board import BoardJob
from profiler.measure.campaign import Campaign, CampaignResult
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import Job, model_jobs
from profiler.measure.limits import CampaignLimits
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload

__all__ = ["TRUE_NS", "Level", "StandIn", "jobs", "run_campaign", "samples_taken", "steady"]

Level = Callable[[float], float]
"""How many times slower than it should be a board is, by virtual time in seconds."""

TARGET = Target("made-up", "onnxruntime", "fp32")
DEVICE = Device("made-up", "192.0.2.1", "nobody", (TARGET,))

TRUE_NS = 1_000_000
"""What every job truly takes, per run."""

OVERHEAD_S = 0.1
"""Of loading, first run and comparison: what a board takes beside its loops."""


@dataclass(frozen=True)
class Reply:
    """What the stand-in answers."""

    samples_ns: tuple[int, ...]
    env: dict[str, Any]
    status: Any = "ok"
    issues: tuple[str, ...] = ()
    runs_per_batch: int = 1
    load_ns: int | None = 5_000_000
    first_run_ns: int | None = 400_000
    warmup_runs: int = 5
    output_error: float | None = 1e-6
    energy_mj: float | None = None
    error: str = ""
    power: Any = None


@dataclass(frozen=True)
class Artefact:
    """What the stand-in runs."""

    sha256: str


class Source:
    """Lowers nothing."""

    def get(self, workload: Workload, runtime: str, precision: str) -> Artefact:
        """A file that nobody reads."""
        return Artefact(workload.key * 2)


class Facts:
    """Of no board."""

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        """Few."""
        return {"cpu_model": "none", "runtimes": {"onnxruntime": "1"}}


def samples_taken(noise: Floats, config: MeasureConfig, half_width: float | None = None) -> timing.Sampling:
    """What the agent takes of batches that last so long, relative to what a batch should last, by its own sampler."""
    settings = Settings.read(config.to_dict())._replace(target_half_width=half_width or config.target_half_width)
    batches = (settings.min_batch_s * 1e9 * noise).astype(int).tolist()
    now = place = 0

    def run() -> None:
        nonlocal now, place
        now += batches[place % len(batches)]
        place += 1

    return timing.sample(run, 1, settings, lambda: now)


def steady(at_s: float) -> float:
    """A board that never moves."""
    return 1.0


@dataclass
class StandIn:
    """The board.

    Attributes:
        rng: of everything.
        sd, rho, outliers: of the samples' noise, see streams.py.
        process_spread: deviation of what each job has of its own in each process, relative.
        level: how many times slower the board is than it should be, by virtual time.
        overhead_s: what a job takes beside its loops.
        now_s: virtual time; making_s, deciding_s: processor time that making samples up, and the agent's sampler, took.
        samples: how many batches each job took.
    """

    rng: np.random.Generator
    sd: float = 0.02
    rho: float = 0.4
    outliers: float = 0.02
    process_spread: float = 0.0
    level: Level = steady
    overhead_s: float = OVERHEAD_S
    now_s: float = 0.0
    making_s: float = 0.0
    deciding_s: float = 0.0
    samples: list[int] = field(default_factory=list)
    _offsets: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing to close."""

    def facts(self) -> Facts:
        """As a board has them."""
        return Facts()

    def interrupted(self) -> list[str]:
        """None ever."""
        return []

    def finish(self) -> None:
        """Nothing to forget."""

    def run(self, block: Sequence[BoardJob], target: Target, config: MeasureConfig) -> Iterator[tuple[str, Reply]]:
        """Every job's samples, taken until the agent would have stopped."""
        for job in block:
            began = time.process_time()
            if job.fresh:
                self._offsets.clear()
            offset = self._offsets.setdefault(job.artefact.sha256, np.exp(self.process_spread * self.rng.normal()))
            most = max(config.min_batches, int(config.cap_s / config.min_batch_s))
            noise = stream(self.rng, most, self.sd, self.rho, self.outliers)
            self.making_s += time.process_time() - began
            began = time.process_time()
            sampling = samples_taken(noise, config, job.half_width)
            self.deciding_s += time.process_time() - began
            began = time.process_time()
            taken = len(sampling.samples_ns)
            factor = TRUE_NS * offset * self.level(self.now_s)
            found = tuple((factor * noise[np.arange(taken) % most]).astype(int).tolist())
            spent_s = self.overhead_s + config.warmup_s + sum(sampling.samples_ns) / 1e9
            self.now_s += spent_s
            self.samples.append(taken)
            issues = () if sampling.converged else ("ci_not_met",)
            self.making_s += time.process_time() - began
            yield job.key, Reply(found, {"attempt_s": spent_s}, issues=issues)


class _Patience(threading.Event):
    """A stop that never comes; who waits for it lets virtual time pass."""

    def __init__(self, board: StandIn) -> None:
        super().__init__()
        self._board = board

    def wait(self, timeout: float | None = None) -> bool:
        """Nobody really waits."""
        self._board.now_s += timeout or 0.0
        return False


def jobs(count: int) -> list[Job]:
    """So many different models."""

    def model(channels: int) -> Workload:
        b = WorkloadBuilder(f"net {channels}")
        return b.build(b.relu(b.input((1, channels, 4, 4))))

    return model_jobs(model(1 + n) for n in range(count))


def run_campaign(
    board: StandIn, wanted: Sequence[Job], config: MeasureConfig, folder: Path, limits: CampaignLimits | None = None
) -> CampaignResult:
    """One campaign on the stand-in, whose pauses pass in virtual time."""
    campaign = Campaign(lambda device, session: board, Source(), folder, config, limits=limits, stop=_Patience(board))
    return campaign.run(DEVICE, TARGET, wanted, "r1")
