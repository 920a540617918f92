"""How long and how often to measure: every setting of the protocol, all of them recorded with the results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from profiler.measure.record import RoleKind

__all__ = ["MeasureConfig"]

MODEL_SHARE = 0.5
"""Of the half-width that is asked of kernels and blocks, so much is asked of whole models."""

ENERGY_LOAD_CAP = 6
"""A load spell that waits for updates of its sensor lasts at most so many times what was asked for."""


@dataclass(frozen=True, slots=True)
class MeasureConfig:
    """Settings of one campaign; the defaults are those for a board that is measured for the record.

    Attributes:
        rounds: independent rounds, each in a fresh worker process and in an order of its own.
        min_batch_s: a sample batches as many runs as last at least this long.
        warmup_runs: runs before the first sample, at least.
        warmup_s: seconds of running before the first sample, at least.
        min_batches: samples a round, at least.
        target_half_width: stop when the 95 % interval of the median is this narrow, relative to the median; of whole
            models half as narrow, see `half_width_of`.
        cap_s: stop after so many seconds of samples in any case (then flagged `ci_not_met`).
        job_timeout_s: a job that takes longer, warm-up included, is ended and typed `timed_out`.
        seed: of the order of the jobs.
        cache: "hot", or "cold": twice the last-level cache is overwritten before every run, each of which is a batch.
        observe_hz: how often frequency, temperature, throttle word and pressure are looked at meanwhile; 0: never.
        pin: whether the device's governor, or the target's clock, is set before a job and restored after it.
        cool_c, cool_c_per_min, cool_s: a job begins when the board is less than so much above its idle temperature and
            moves by less than so much; after so many seconds it begins in any case (`too_hot`); 0 s: it never waits.
        sentinel_jobs, sentinel_s: the sentinel runs after so many jobs or seconds, whatever comes first; 0 jobs: never.
        sentinel_drift: so far may it move, relatively, before what was measured since the last good one is done again.
        sentinel_tries: so often is a board waited for that has moved, each time twice as long; then the figures are
            kept, with the issue `drifted`.
        sentinel_gross: a sentinel that takes so many times what it takes at its best, over the whole campaign, vouches
            for nothing: so much is what neighbours on a shared machine do; 0: it is compared with its process alone.
        process_probes: in so many fresh worker processes the sentinel runs before the first round, to see whether
            processes fall into states (`profiler.measure.census`); 0: nobody looks.
        retries: how often a figure that failed a gate is measured again, after a cool-down, in its round.
        gate_noise: the widest robust coefficient of variation of a round's samples that passes this gate; wider on a
            machine that others use too.
        energy: whether the load is drawn out and bracketed by idle spells, where there is a power sensor.
        energy_load_s, energy_updates, energy_runs: the load spell lasts so long, and so many updates of the sensor and
            runs of the workload.
        energy_preroll_s, energy_idle_s: what is thrown away at the load's beginning; each of the idle spells.
    """

    rounds: int = 3
    min_batch_s: float = 0.010
    warmup_runs: int = 5
    warmup_s: float = 0.5
    min_batches: int = 30
    target_half_width: float = 0.01
    cap_s: float = 10.0
    job_timeout_s: float = 120.0
    seed: int = 0
    cache: Literal["hot", "cold"] = "hot"
    observe_hz: float = 5.0
    pin: bool = True
    cool_c: float = 5.0
    cool_c_per_min: float = 0.5
    cool_s: float = 600.0
    sentinel_jobs: int = 20
    sentinel_s: float = 300.0
    sentinel_drift: float = 0.02
    sentinel_tries: int = 5
    sentinel_gross: float = 0.0
    process_probes: int = 3
    retries: int = 1
    gate_noise: float = 0.03
    energy: bool = False
    energy_load_s: float = 10.0
    energy_updates: int = 100
    energy_runs: int = 50
    energy_preroll_s: float = 3.0
    energy_idle_s: float = 5.0

    def to_dict(self) -> dict[str, Any]:
        """All settings by name."""
        return asdict(self)

    def half_width_of(self, kind: RoleKind) -> float:
        """How narrow the interval of a job's median has to be, relatively.

        Of whole models half of what kernels and blocks are asked for: sums of these are held against them, and the
        sentinel, which all others are held against, is one.
        """
        return self.target_half_width * (MODEL_SHARE if kind in ("model", "sentinel") else 1.0)

    def longest_job_s(self) -> float:
        """How long one job may keep a board busy, waiting for it to cool down and an energy measurement included.

        The agent gives the stages of a job this much together (`profiler.agent.daemon.runner`).
        """
        energy_s = 5 * self.energy_preroll_s + (ENERGY_LOAD_CAP + 2) * self.energy_load_s + 2 * self.energy_idle_s
        return self.job_timeout_s + self.cool_s + (self.job_timeout_s + energy_s if self.energy else 0.0)
