"""How long and how often to measure: every setting of the protocol, all of them recorded with the results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["MeasureConfig"]


@dataclass(frozen=True, slots=True)
class MeasureConfig:
    """Settings of one campaign; the defaults are those for a board that is measured for the record.

    Attributes:
        rounds: independent rounds, each in a fresh worker process and in an order of its own.
        min_batch_s: a sample batches as many runs as last at least this long.
        warmup_runs: runs before the first sample, at least.
        warmup_s: seconds of running before the first sample, at least.
        min_batches: samples a round, at least.
        target_half_width: stop when the 95 % interval of the median is this narrow, relative to the median.
        cap_s: stop after so many seconds of samples in any case (then flagged `ci_not_met`).
        job_timeout_s: a job that takes longer, warm-up included, is ended and typed `timed_out`.
        seed: of the order of the jobs.
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

    def to_dict(self) -> dict[str, Any]:
        """All settings by name."""
        return asdict(self)
