"""How long a campaign waits and how much it hands over at once: settings that change no figure.

They are kept apart from `MeasureConfig`, which is part of a run's identity: an interrupted run may be continued with
more patience than it was begun with.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CampaignLimits"]


@dataclass(frozen=True, slots=True)
class CampaignLimits:
    """Limits of building and waiting; how long a job may run is `MeasureConfig.job_timeout_s`.

    Attributes:
        build_s: for lowering one workload; what takes longer is ended and typed `conversion_failed`.
        patience_s: for a board that was lost to come back.
        retry_wait_s: the first pause before it is called again; every further one is twice as long.
        longest_wait_s: no pause is longer than that.
        block_jobs, block_bytes, block_s: a board gets at most so many jobs at once, artefacts of so many bytes, and
            work for so long: boards that share a machine take turns from block to block.
        pause_s: the first pause before jobs are measured again because the sentinel has moved or a gate was failed;
            every further one in a row is twice as long.
        longest_pause_s: no such pause is longer than that.
        faults_a_job: so often may the board fail with the same job in hand, and it is given up.
        faults_in_a_row: so many faults without any job ending in between, and the board is given up; so many jobs in
            a row given up, too.
    """

    build_s: float = 300.0
    patience_s: float = 600.0
    retry_wait_s: float = 2.0
    longest_wait_s: float = 30.0
    block_jobs: int = 200
    block_bytes: int = 256 << 20
    block_s: float = 60.0
    pause_s: float = 10.0
    longest_pause_s: float = 120.0
    faults_a_job: int = 3
    faults_in_a_row: int = 5
