"""Whether a board that slowed itself down while samples were taken is found out, and no other is accused.

The unit is one measurement: one job in one round. It was throttled where the board's own log has a time at which the
clock was held down for the heat, and that time overlaps the sampling; it was found where the observer reports an event.
What touches the sampling's edge by less than a batch is counted neither way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from profiler.validation.lines import Line, Record, share, tries_of

__all__ = ["judge", "overlap_s"]

_EDGE_S = 0.05
_RECALL, _FALSE_ALARMS = 0.99, 0.01


def judge(records: Mapping[str, Sequence[Record]]) -> list[Line]:
    """See the module."""
    by_board = [
        [(overlap_s(each), _found(each)) for each in tries_of(record)] for some in records.values() for record in some
    ]
    events = share([[found for overlap, found in board if overlap > _EDGE_S] for board in by_board])
    alarms = share([[found for overlap, found in board if overlap == 0] for board in by_board])
    edges = sum(0 < overlap <= _EDGE_S for board in by_board for overlap, _ in board)
    spoilt = share([[abs(error) <= 0.02 for error in _errors_after(record)] for record in records["hot"]])
    return [
        Line.of_share(
            "throttled measurements that were found", "at least 99 %", events, least=_RECALL,
            note=f"{edges} that were throttled for less than {1000 * _EDGE_S:g} ms of their sampling are left out",
        ),
        Line.of_share("false alarms among the others", "at most 1 %", alarms, most=_FALSE_ALARMS),
        Line.of_share(
            "  throttled, yet without the issue: what is left of them lies within 2 % of the truth", "", spoilt
        ),
    ]  # fmt: skip


def overlap_s(one: Mapping[str, Any]) -> float:
    """For how much of its sampling a measurement's clock was held down."""
    truth = one["truth"]
    end = truth["ended_s"]
    begin = end - one["sampling_s"]
    return float(sum(max(0.0, min(until, end) - max(since, begin)) for since, until in truth["throttled"]))


def _found(one: Mapping[str, Any]) -> bool:
    return bool(one.get("throttle_events", 0) > 0)


def _errors_after(record: Record) -> list[float]:
    """Relative errors of throttled measurements that count all the same, their slow batches left out."""
    found = []
    for each in tries_of(record):
        if overlap_s(each) > _EDGE_S and not {"throttled", "clock_moved"} & set(each["issues"]):
            truth = each["truth"]
            found.append(each["median_ns"] / (truth["run_s"] * 1e9 * truth["own"]) - 1)
    return found
