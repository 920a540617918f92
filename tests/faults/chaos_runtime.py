"""The runtime "chaos": jobs of known length whose outcome is known before they run, so that it can be told when a
fault has changed it.

    tasks(20, seed=1)  ->  20 tasks;  task.job for a campaign, task.status for what it has to come to
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from profiler.fleet.runtime_spec import RuntimeSpec
from profiler.fleet.targets import Precision, Runtime
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import Job, model_jobs
from profiler.measure.record import Status
from profiler.workloads.artefacts import Artefact
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.expected import Expected
from profiler.workloads.graph import Workload

CONFIG = MeasureConfig(
    rounds=1,
    min_batch_s=0.001,
    warmup_runs=1,
    warmup_s=0.0,
    min_batches=3,
    cap_s=0.02,
    job_timeout_s=6.0,
    cool_s=0.0,
    sentinel_jobs=0,
    retries=0,
)
MEMORY_MB = 400
"""Of a job; numpy alone takes a good part of it."""

OUTCOMES: dict[str, Status] = {
    "ok": "ok",
    "hang": "timed_out",
    "eat": "out_of_memory",
    "segv": "crashed",
    "refuse": "unsupported_operator",
    "wrong": "wrong_output",
}
KINDS = tuple(OUTCOMES)

HEAVY = 1000
"""Tasks of this number and above have artefacts of a quarter of a megabyte."""


@dataclass(frozen=True)
class Task:
    """One job and what it has to come to.

    Attributes:
        number: tells tasks apart.
        kind: a key of OUTCOMES.
        sleep_s: how long it takes, less some ms.
    """

    number: int
    kind: str = "ok"
    sleep_s: float = 0.05

    @property
    def status(self) -> Status:
        """What the host's journal has to say."""
        return OUTCOMES[self.kind]

    @property
    def workload(self) -> Workload:
        """A graph whose shape spells the task, so that every process reads the same out of it."""
        builder = WorkloadBuilder(f"{self.kind} {self.number}")
        shape = (1, self.number + 1, KINDS.index(self.kind) + 1, round(self.sleep_s * 100) + 1)
        return builder.build(builder.relu(builder.input(shape)))

    @property
    def job(self) -> Job:
        """For a campaign."""
        return model_jobs([self.workload])[0]


def tasks(count: int, seed: int = 0, *, ill: float = 0.15, longest_s: float = 0.4) -> list[Task]:
    """Tasks, a part of which fails by itself, each in its own way."""
    rng = np.random.default_rng([seed, count])
    kinds = [str(rng.choice(KINDS[1:])) if rng.random() < ill else "ok" for _ in range(count)]
    return [Task(n, kind, round(float(rng.uniform(0.05, longest_s)), 2)) for n, kind in enumerate(kinds)]


def lower(workload: Workload, precision: Precision) -> bytes:
    """What the board's half reads."""
    _, number, kind, sleep = workload.shapes[workload.inputs[0]][0]
    do = KINDS[kind - 1]
    ballast = "x" * (1 << 18 if number > HEAVY else 0)
    return json.dumps(
        {"sleep_s": (sleep - 1) / 100, "do": "ok" if do == "wrong" else do, "value": 9.0 if do == "wrong" else 1.0,
         "key": workload.key, "ballast": ballast}
    ).encode()  # fmt: skip


SPEC = RuntimeSpec(
    name="chaos",
    precisions=("fp32",),
    lower=lower,
    suffix="json",
    agent_module=Path(__file__).with_name("chaos_agent.py"),
    version="1",
)


class Source:
    """Artefacts without a cache's bookkeeping: no reference has to be computed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, workload: Workload, runtime: Runtime, precision: Precision) -> Artefact:
        """The artefact of a task's workload."""
        data = lower(workload, precision)
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._folder / f"{sha256}.json"
        path.write_bytes(data)
        return Artefact(
            path, sha256, "json", runtime, precision, workload.key, (), "nchw", Expected((0,), (1.0,), 1.0, 1)
        )


def expected(of: Sequence[Task]) -> dict[str, Status]:
    """What each workload has to come to."""
    return {task.workload.key: task.status for task in of}
