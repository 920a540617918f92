"""How often the table's 95 % intervals hold the true latency, on boards that stay as they are and on ones that drift.

The truth is the latency in the reference state. A board that drifts has no such state: there it is the latency in the
board's median state over the campaign, by its own log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from profiler.validation.lines import Line, Record, rows_of, share, tries_of

__all__ = ["holds", "judge"]

_LEAST, _MOST = 0.93, 0.97


def holds(row: Mapping[str, Any], truth: str) -> bool:
    """Whether a figure's interval holds its truth."""
    return bool(row["low_ns"] <= row[truth] <= row["high_ns"])


def judge(records: Mapping[str, Sequence[Record]]) -> list[Line]:
    """See the module."""
    lines = []
    for family, words, truth in (("quiet", "without drift", "true_ns"), ("drifting", "with drift", "typical_ns")):
        found = records[family]
        lines.append(
            Line.of_share(
                f"95 % intervals that hold the truth, {words}",
                "93 to 97 %",
                share([[holds(row, truth) for row in rows_of(record)] for record in found]),
                least=_LEAST,
                most=_MOST,
                note=f"{_left_out(found)}; {_wrong_mode(found, truth)}",
            )
        )
        for kind, what in (("model", "networks"), ("kernel", "slopes of kernels")):
            counted = share([[holds(row, truth) for row in rows_of(record, kind)] for record in found])
            lines.append(Line.of_share(f"  of these, {what}, {words}", "", counted))
        one_mode = share(
            [[holds(row, truth) for row in rows_of(record)] for record in found if not record["two_modes"]]
        )
        lines.append(Line.of_share(f"  of these, boards with a single mode, {words}", "", one_mode))
        everything = share([[holds(row, truth) for row in _all(record)] for record in found])
        lines.append(Line.of_share(f"  figures that failed a gate included, {words}", "", everything))
    start = share([[holds(row, "true_ns") for row in rows_of(record)] for record in records["drifting"]])
    lines.append(
        Line.of_share(
            "  with drift, against the board as it was in the beginning", "", start,
            note="no interval of a campaign can speak of a time before it",
        )
    )  # fmt: skip
    return lines


def _all(record: Record) -> list[dict[str, Any]]:
    return [row for row in record["rows"] if row["latency_ns"] is not None and row["status"] == "ok"]


def _wrong_mode(records: Sequence[Record], truth: str) -> str:
    """Of the misses, those that the second of two modes explains."""
    missed = second = 0
    for record in records:
        shares: dict[str, list[float]] = {}
        for each in tries_of(record):
            shares.setdefault(each["key"], []).append(each["truth"]["second_mode"])
        wrong = [row["key"] for row in rows_of(record) if not holds(row, truth)]
        missed += len(wrong)
        second += sum(fmean(shares[key]) > 0.5 for key in wrong)
    return (
        f"of the {missed} misses {second} are of networks that ran in the board's second mode in most of their rounds"
    )


def _left_out(records: Sequence[Record]) -> str:
    every = sum(len(_all(record)) for record in records)
    left = every - sum(len(rows_of(record)) for record in records)
    return f"{left} of {every} figures failed a gate and are left out, as they are of a table's default view"
