"""The same networks on a twin of the same board by the protocol of today's tools, side by side: error and coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from profiler.validation.claims.coverage import holds
from profiler.validation.lines import Line, Record, rows_of, share

__all__ = ["judge"]

_WORDS = {"quiet": "quiet boards", "drifting": "drifting boards", "hot": "boards near their trip"}


def judge(records: Mapping[str, Sequence[Record]]) -> list[Line]:
    """See the module."""
    return [line for family in _WORDS for line in _of_family(family, records[family])]


def _of_family(family: str, records: Sequence[Record]) -> list[Line]:
    truth = "typical_ns" if family == "drifting" else "true_ns"
    boards = [_pairs(record) for record in records if "today" in record]
    ours = [abs(row["latency_ns"] / row[truth] - 1) for board in boards for row, _ in board]
    theirs = [abs(other["mean_ns"] / row[truth] - 1) for board in boards for row, other in board]
    every = sum(len(record["today"]) for record in records if "today" in record)
    held = share([[holds(row, truth) for row, _ in board] for board in boards])
    held_there = share(
        [[other["low_ns"] <= row[truth] <= other["high_ns"] for row, other in board] for board in boards]
    )
    refused = f"{every - len(ours)} of {every} figures failed a gate of the protocol; neither side counts them"
    name = _WORDS[family]
    return [
        _error(f"error by the protocol, {name}", ours, len(boards), refused),
        _error(f"error by today's tools, {name}", theirs, len(boards), ""),
        _error(f"  error by today's tools where the protocol refused, {name}", _where_refused(records, truth), 0, ""),
        Line.of_share(f"coverage by the protocol, {name}", "", held),
        Line.of_share(f"coverage by today's tools, {name}", "", held_there),
    ]


def _pairs(record: Record) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(row, record["today"][row["key"]]) for row in rows_of(record, "model") if row["key"] in record["today"]]


def _where_refused(records: Sequence[Record], truth: str) -> list[float]:
    found = []
    for record in records:
        if "today" in record:
            shown = {row["key"] for row in rows_of(record, "model")}
            rows = [row for row in record["rows"] if row["key"] in record["today"] and row["key"] not in shown]
            found += [abs(record["today"][row["key"]]["mean_ns"] / row[truth] - 1) for row in rows]
    return found


def _error(claim: str, errors: Sequence[float], boards: int, note: str) -> Line:
    if not errors:
        return Line(claim, "", float("nan"), note="no case")
    worst = (
        f"95 of 100 are below {100 * float(np.quantile(errors, 0.95)):.2f} %, the largest is {100 * max(errors):.1f} %"
    )
    return Line(
        claim, "", float(np.median(errors)), count=len(errors), boards=boards, note=f"{worst}; {note}".rstrip("; ")
    )
