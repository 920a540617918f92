"""What the journal holds: one immutable Measurement a job, and the words it may use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

__all__ = ["ISSUES", "ROLE_KINDS", "SCHEMA_VERSION", "STATUSES", "Measurement", "Power", "Role", "RoleKind", "Status"]

SCHEMA_VERSION = 2
"""2 has `power`; records of 1 are read as ones without."""

Status = Literal[
    "ok",
    "unsupported_operator",
    "conversion_failed",
    "delegate_fallback",
    "out_of_memory",
    "crashed",
    "timed_out",
    "link_lost",
    "disk_full",
    "wrong_output",
]

STATUSES: tuple[Status, ...] = get_args(Status)

RoleKind = Literal["kernel", "block", "model", "sentinel"]

ROLE_KINDS: tuple[RoleKind, ...] = get_args(RoleKind)
"""Why workloads are run."""

ISSUES: dict[str, str] = {
    "ci_not_met": "the interval of the median was still too wide when the time was up",
    "not_steady": "the samples drift, and those that were taken anew for that reason drift as well",
    "unpinned": "the clock could not be pinned",
    "sensor_missing": "the board has no power sensor that can be read",
    "spread_high": "the rounds differ from each other by more than the gate allows",
    "noisy": "the samples within a round spread more than the gate allows",
    "few_rounds": "fewer rounds succeeded than the protocol asks for",
    "emulated": "the processor is emulated: the figure says nothing about any hardware",
    "delegate_fallback": "operators ran elsewhere than on the accelerator that was asked for",
    "negative_slope": "a longer chain took no longer than a shorter one: below what could be resolved",
    "simulated": "there is no board: a simulation made the figure, to test how boards are measured",
    "bimodal": "the samples fall into two groups, and the median may lie in either",
    "throttled": "the board slowed itself down, and too few batches were left outside of that",
    "clock_moved": "the processor's frequency was not the same all along",
    "clock_stepped": "the board's clock went backwards, and the batches at that time were left out",
    "too_hot": "the board did not cool down before the measurement began",
    "background_load": "other programs used the processor during the measurement",
    "drifted": "the sentinel has moved, and measuring again did not bring it back",
    "disturbed": "the board was much slower than at its best, by the sentinels around the measurement",
    "process_states": "worker processes fall into two states, and nobody knows which is the usual one",
    "thermal_unknown": "the thermal zones show nothing plausible",
    "governor_refused": "the governor or clock that was asked for may not be set",
    "sensor_stuck": "the power sensor shows one and the same value all the time",
    "sensor_lost": "the power sensor vanished during the measurement",
    "sensor_implausible": "the power sensor shows what no board draws, such as a negative power",
    "energy_window_short": "the window is too short for the sensor's refresh, so that there is no energy",
    "energy_uncertain": "the uncertainty of the energy is above 5 %",
    "energy_undetected": "the power step is below three sigma: the energy is an upper bound",
    "energy_idle_moved": "the idle power before and after differ by more than 3 % of the power step",
}
"""Issue codes of figures that exist but carry a doubt, and what each means."""


@dataclass(frozen=True, slots=True)
class Role:
    """Why a workload was run: as itself, or as a stretch of repetitions of a kernel or block whose slope is wanted.

    Attributes:
        kind: "model" (the workload is the subject), "kernel" or "block" (it holds `repeats` of the subject: what a
            runtime executes as one, or a part of a network, such as a residual block, that may be many kernels), or
            "sentinel" (it tells whether the board is still what it was; no table holds it).
        subject_key: key of the workload, kernel or block that the figure is about.
        mode: how the kernel or block was isolated: "whole", "chain" or "fan".
        repeats: how many times the kernel or block occurs.
        split: "fit" or "held_out", for whole models; "" for kernels and blocks.
    """

    kind: RoleKind
    subject_key: str
    mode: Literal["whole", "chain", "fan"] = "whole"
    repeats: int = 1
    split: str = ""


@dataclass(frozen=True, slots=True)
class Power:
    """What one power sensor showed while a job's load ran between two idle spells: the raw record, never a result.

    Attributes:
        sensor: which one, for people: "hwmon ina3221 VDD_IN".
        scope: what it includes: "wall", "board-in", "module-in", "SoC-rails", "core-rail" or "battery".
        form: "power" (values in µW) or "energy" (a counter in µJ, made to rise all along).
        times_us: when each value was first seen, since the record began; a value that stays is seen once.
        values: as many.
        polls: how often the sensor was read.
        lsb: the sensor's own step in the unit of `values`; 0 where unknown.
        gain_u, offset_uw: its maker's (or a calibration's) uncertainty of gain (relative) and of offset, k = 2; 0 where
            nothing is known.
        idle_before_us, load_us, idle_after_us: (begin, end) of the three spells, by the same clock.
        runs: how many runs the load spell holds.
        periodic_uw: what a second rounding leaves open of a mean power, k = 2, however many updates it has; 0 where
            there is none.
        meter: "board" where the board read it itself, "host" where a meter beside the board did.
    """

    sensor: str
    scope: str
    form: Literal["power", "energy"]
    times_us: tuple[int, ...]
    values: tuple[int, ...]
    polls: int
    lsb: float
    gain_u: float
    offset_uw: float
    idle_before_us: tuple[int, int]
    load_us: tuple[int, int]
    idle_after_us: tuple[int, int]
    runs: int
    periodic_uw: float = 0.0
    meter: Literal["board", "host"] = "board"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One job's outcome on one board in one round: a value or a typed failure, never nothing.

    Attributes:
        job_key: hash of workload, artefact, target, runtime version, device facts, protocol version and round.
        workload_key: of the workload that ran.
        artefact_sha256: of the file that ran.
        device_id, target_id: where it ran.
        role: why it ran.
        round: 0, 1, ...
        status: "ok" or the type of the failure.
        issues: codes out of ISSUES.
        samples_ns: duration of every batch, in the order measured.
        runs_per_batch: how many runs each of these batches holds.
        load_ns, first_run_ns: of loading the artefact and of its very first run, apart.
        warmup_runs: runs before the first sample.
        output_error: relative error against the host's reference output (None when not checked).
        energy_mj: per run, the board's idle power taken off; None where there is no figure (then `issues` says why).
        error: what the runtime or the agent said, escaped, at most 500 characters.
        env: facts at the time (load average, frequency, temperature, runtime version, ...).
        started_at: UTC, ISO 8601.
        power: what a power sensor showed meanwhile; None where none was read. `energy_mj` is what is made of it.
    """

    job_key: str
    workload_key: str
    artefact_sha256: str
    device_id: str
    target_id: str
    role: Role
    round: int
    status: Status
    issues: tuple[str, ...] = ()
    samples_ns: tuple[int, ...] = ()
    runs_per_batch: int = 0
    load_ns: int | None = None
    first_run_ns: int | None = None
    warmup_runs: int = 0
    output_error: float | None = None
    energy_mj: float | None = None
    error: str = ""
    env: dict[str, Any] = field(default_factory=dict)
    started_at: str = ""
    power: Power | None = None
