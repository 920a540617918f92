"""What is true of a simulated board, to be compared with what was measured.

*The* truth of a latency is that of the reference state: reference clock, caches hot, warmed up, no noise, no drift, no
interruption, the first of two modes, no offset of the process. It is the median of a single run's distribution there;
the mean lies above it by what spread, jitter and interruptions add. Of an energy it is the power that running adds in
that state, times the latency (net), or that and the idle power (gross); leakage belongs to the idle power.

What a figure "should" have been in the state that a board really was in (hot, drifted, throttled) is in its log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Any

from profiler.errors import ConfigError
from profiler.fleet.targets import Precision, Target
from profiler.fleet.virtual.simulated.board.roofline import Cost, Kernel
from profiler.fleet.virtual.simulated.runtime import graph_of
from profiler.fleet.virtual.simulated.spec import SimulatedSpec
from profiler.workloads.graph import Workload
from profiler.workloads.transform import drop_noops

__all__ = ["TRUTH_LOG", "KernelTruth", "TrueJob", "Truth", "fused", "read_log", "true_groups"]

TRUTH_LOG = "truth.jsonl"


@dataclass(frozen=True, slots=True)
class KernelTruth:
    """One kernel in its place.

    Attributes:
        ops: the operators that run as one, by their index in the workload.
        kinds: of these, in order.
        latency_ns: what it adds to a run in this very network: its true marginal cost.
    """

    ops: tuple[int, ...]
    kinds: tuple[str, ...]
    latency_ns: float


class Truth:
    """All that is true of one workload on one board.

    Args:
        spec: the board.
        workload: what runs.
        precision, threads: how it runs.
        mhz: the clock, one of the spec's steps; by default the reference clock, the highest.

    Raises:
        ConfigError: the board has no such step.
    """

    def __init__(
        self, spec: SimulatedSpec, workload: Workload, precision: Precision, threads: int = 1, mhz: int | None = None
    ) -> None:
        self._spec = spec
        self._graph = graph_of(workload, precision)
        self._origin = drop_noops(workload)[1]
        self._cost = Cost(spec.to_dict(), self._graph, threads)
        self._mhz = mhz or spec.clock.mhz[-1]
        if self._mhz not in spec.clock.mhz:
            raise ConfigError(f"the simulated board {spec.id!r} has no clock step of {mhz} MHz")

    @classmethod
    def of(cls, spec: SimulatedSpec, workload: Workload, target: Target) -> Truth:
        """The truth of a workload on one of the board's targets, at the target's precision, threads and clock.

        Raises:
            ConfigError: the board has no such clock step.
        """
        mhz = None if target.clock == "unpinned" else int(target.clock)
        return cls(spec, workload, target.precision, target.threads, mhz)

    @property
    def latency_ns(self) -> float:
        """Of one run: the median without noise."""
        return self._cost.run_s(self._mhz) * 1e9

    @property
    def cold_latency_ns(self) -> float:
        """Of one run with empty caches."""
        return self._cost.run_s(self._mhz, cold=True) * 1e9

    @property
    def mean_latency_ns(self) -> float:
        """The mean over many runs in the same state, noise and interruptions included."""
        noise = self._spec.noise
        spread = exp((noise.spread**2 + noise.jitter**2) / 2)
        return self.latency_ns * spread * (1 + noise.outlier_hz * noise.outlier_s)

    @property
    def overhead_ns(self) -> float:
        """What a run takes besides its kernels."""
        return self.latency_ns - sum(kernel.latency_ns for kernel in self.kernels)

    @property
    def kernels(self) -> tuple[KernelTruth, ...]:
        """What runs as one, in order, and what each takes in place."""
        return tuple(self._kernel(kernel) for kernel in self._cost.kernels)

    @property
    def net_mj(self) -> float:
        """Energy of one run, the idle power taken off."""
        return self.net_w * self.latency_ns * 1e-6

    @property
    def gross_mj(self) -> float:
        """Energy of one run, the idle power included."""
        return (self.net_w + self._spec.power.idle_w) * self.latency_ns * 1e-6

    @property
    def net_w(self) -> float:
        """What running adds to the power."""
        clock, power = self._spec.clock, self._spec.power
        step = clock.mhz.index(self._mhz)
        scale = self._mhz / clock.mhz[-1] * (clock.volts[step] / clock.volts[-1]) ** 2
        return power.static_w + power.dynamic_w * scale * self._cost.activity

    def _kernel(self, kernel: Kernel) -> KernelTruth:
        kinds = tuple(str(self._graph["ops"][index]["kind"]) for index in kernel.ops)
        return KernelTruth(
            tuple(self._origin[index] for index in kernel.ops), kinds, self._cost.kernel_s(kernel, self._mhz) * 1e9
        )


def true_groups(spec: SimulatedSpec, workload: Workload, precision: Precision) -> tuple[tuple[int, ...], ...]:
    """The operators that the board runs as one, by their index in the workload."""
    return tuple(kernel.ops for kernel in Truth(spec, workload, precision).kernels)


def fused(spec: SimulatedSpec, precision: Precision, head: str, *tail: str) -> bool:
    """Whether operators that follow each other run as one kernel, nothing else reading the tensors between.

    Args:
        spec, precision: where.
        head: "conv2d", "grouped" or another kind of operator.
        tail: kinds of those behind it.
    """
    return " ".join(tail) in spec.fusion[precision].tails.get(head, ())


@dataclass(frozen=True, slots=True)
class TrueJob:
    """What truly was while a job ran, by the board's own log.

    Attributes:
        id: of the job: the key that the board knew it by.
        run_s, net_w: one run, and the power that running adds, both in the reference state.
        runs, busy_s: how many runs there were in all, and the time that they took.
        throttled_s: how much of that the clock was held down for the heat.
        throttled: when it was, between loading the model and closing it: spans of virtual time.
        began_s, ended_s: virtual time at loading and closing.
        celsius: the temperature at the end.
        drift: the logarithm of what the board had become slower by (line, random walk, step), the mean over its work.
        second_mode: the share of its work that was done in the second mode.
        own: the factor of its process.
        process, boots: how many processes had run models by then, and how often the board had booted.
    """

    id: str
    run_s: float
    net_w: float
    runs: int
    busy_s: float
    throttled_s: float
    throttled: tuple[tuple[float, float], ...]
    began_s: float
    ended_s: float
    celsius: float
    drift: float
    second_mode: float
    own: float
    process: int
    boots: int

    @property
    def level(self) -> float:
        """By what a run was slower than in the reference state, unthrottled and in the first mode."""
        return self.own * exp(self.drift)


def read_log(folder: Path) -> Iterator[TrueJob]:
    """What a board's folder says of its jobs, in order; nothing where none has ended yet. What a killed worker did is
    not in it."""
    path = folder / TRUTH_LOG
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            value: dict[str, Any] = json.loads(line)
            spans = tuple((since, until) for since, until in value.pop("throttled"))
            yield TrueJob(**value, throttled=spans)
