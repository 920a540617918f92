"""What the journal holds: one immutable Measurement a job, and the words it may use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

__all__ = ["ISSUES", "ROLE_KINDS", "SCHEMA_VERSION", "STATUSES", "Measurement", "Role", "RoleKind", "Status"]

SCHEMA_VERSION = 1

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

RoleKind = Literal["kernel", "block", "model"]

ROLE_KINDS: tuple[RoleKind, ...] = get_args(RoleKind)
"""In the order in which a table answers for a workload that was measured in several ways."""

ISSUES: dict[str, str] = {
    "ci_not_met": "the interval of the median was still too wide when the time was up",
    "not_steady": "the samples were still drifting when sampling began",
    "unpinned": "the clock could not be pinned",
    "sensor_missing": "the board has no power sensor that can be read",
    "spread_high": "the rounds differ from each other by more than the gate allows",
    "noisy": "the samples within a round spread more than the gate allows",
    "few_rounds": "fewer rounds succeeded than the protocol asks for",
    "emulated": "the processor is emulated: the figure says nothing about any hardware",
    "delegate_fallback": "operators ran elsewhere than on the accelerator that was asked for",
    "negative_slope": "a longer chain took no longer than a shorter one: below what could be resolved",
}
"""Issue codes of figures that exist but carry a doubt, and what each means."""


@dataclass(frozen=True, slots=True)
class Role:
    """Why a workload was run: as itself, or as a stretch of repetitions of a kernel or block whose slope is wanted.

    Attributes:
        kind: "model" (the workload is the subject), "kernel" or "block" (it holds `repeats` of the subject: what a
            runtime executes as one, or a part of a network, such as a residual block, that may be many kernels).
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
        energy_mj: per run; None where no sensor could be read (then `issues` says why).
        error: what the runtime or the agent said, escaped, at most 500 characters.
        env: facts at the time (load average, frequency, temperature, runtime version, ...).
        started_at: UTC, ISO 8601.
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
