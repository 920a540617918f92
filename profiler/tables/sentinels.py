"""What the sentinel showed over a campaign: one small workload that tells whether the board is still what it was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from profiler.measure.record import ROLE_KINDS, STATUSES

if TYPE_CHECKING:
    from profiler.tables.loading.runs import Run

__all__ = ["SentinelRun", "sentinels_of"]


@dataclass(frozen=True, slots=True)
class SentinelRun:
    """One run of a sentinel.

    Attributes:
        run_id: the run that it watched.
        key: of its workload: medians of the same one are to be compared.
        started: when; None where that was not recorded.
        median_ns: None where it failed.
        status, issues: as of any measurement.
        freq_mhz, temperature_c: of the board at the time; None where not known.
    """

    run_id: str
    key: str
    started: datetime | None
    median_ns: float | None
    status: str = "ok"
    issues: tuple[str, ...] = ()
    freq_mhz: float | None = None
    temperature_c: float | None = None


def sentinels_of(runs: Iterable[Run]) -> tuple[SentinelRun, ...]:
    """The sentinels of runs, in the order of time."""
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    found = []
    for run in runs:
        mine = run.lines.filter(pc.equal(run.lines["kind"], ROLE_KINDS.index("sentinel")))
        found += [(line["started_us"], run.run_id, line) for line in mine.to_pylist()]
    found.sort(key=lambda item: item[:2])
    return tuple(
        SentinelRun(
            run_id,
            line["subject"],
            datetime.fromtimestamp(started / 1e6, UTC) if started else None,
            _known(line["median_ns"]),
            STATUSES[line["status"]],
            tuple(line["issues"].split()),
            _known(line["freq_mhz"]),
            _known(line["temperature_c"]),
        )
        for started, run_id, line in found
    )


def _known(value: float) -> float | None:
    return value if value == value else None
