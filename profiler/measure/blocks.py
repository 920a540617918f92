"""What a board gets at once: consecutive jobs of a round, bounded in number, bytes and time."""

from __future__ import annotations

from collections.abc import Sequence

from profiler.measure.config import MeasureConfig
from profiler.measure.limits import CampaignLimits
from profiler.measure.preparation import Prepared

__all__ = ["Block", "Pace"]

_OVERHEAD_S = 0.1
"""Of a job beside its timed loops, as long as none has been seen."""

_MEMORY = 50
"""So many jobs does the mean of their durations look back."""


class Pace:
    """How long a job takes: guessed from the settings at first, then the running mean of what was seen."""

    def __init__(self, config: MeasureConfig) -> None:
        least_s = config.min_batches * config.min_batch_s
        self.job_s = _OVERHEAD_S + config.warmup_s + (min(least_s, config.cap_s) + config.cap_s) / 2
        self._seen = 0

    def saw(self, seconds: float) -> None:
        """A job took so long."""
        self._seen = min(self._seen + 1, _MEMORY)
        self.job_s += (seconds - self.job_s) / self._seen


class Block:
    """A block that is being filled.

    Attributes:
        items: the jobs in it, in the order in which they are to run.
    """

    def __init__(self, limits: CampaignLimits, pace: Pace) -> None:
        self.items: list[Prepared] = []
        self._limits = limits
        self._pace = pace
        self._bytes = 0

    def takes(self, group: Sequence[Prepared]) -> bool:
        """Whether a group fits whole; into an empty block any group does, since groups are not torn apart."""
        if not self.items:
            return True
        jobs = len(self.items) + len(group)
        size = self._bytes + sum(item.artefact_bytes for item in group)
        return (
            jobs <= self._limits.block_jobs
            and size <= self._limits.block_bytes
            and jobs * self._pace.job_s <= self._limits.block_s
        )

    def add(self, group: Sequence[Prepared]) -> None:
        """Put a group in."""
        self.items.extend(group)
        self._bytes += sum(item.artefact_bytes for item in group)
