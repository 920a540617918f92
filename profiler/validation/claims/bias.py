"""How far the reported medians lie from the truth on average, and how far each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from profiler.validation.lines import Line, Record, rows_of

__all__ = ["judge"]

_MOST = 0.005


def judge(records: Mapping[str, Sequence[Record]]) -> list[Line]:
    """See the module."""
    lines: list[Line] = []
    for family, words, truth in (("quiet", "without drift", "true_ns"), ("drifting", "with drift", "typical_ns")):
        boards = [[row["latency_ns"] / row[truth] - 1 for row in rows_of(record)] for record in records[family]]
        boards = [errors for errors in boards if errors]
        errors = [error for board in boards for error in board]
        if not errors:
            lines.append(Line(f"bias of the reported median, {words}", "at most 0.5 %", float("nan")))
            continue
        low, high = _interval([float(np.mean(board)) for board in boards])
        lines.append(
            Line(
                f"bias of the reported median, {words}", "at most 0.5 %", float(np.mean(errors)), low, high,
                len(errors), len(boards), least=-_MOST, most=_MOST,
                note=f"its median {100 * float(np.median(errors)):+.3f} %",
            )
        )  # fmt: skip
        single = [
            row["latency_ns"] / row[truth] - 1
            for record in records[family]
            if not record["two_modes"]
            for row in rows_of(record)
        ]
        if single:
            lines.append(
                Line(f"  of boards with a single mode, {words}", "", float(np.mean(single)), count=len(single))
            )
        size = np.abs(errors)
        lines.append(
            Line(
                f"  median error without its sign, {words}", "", float(np.median(size)), count=len(errors),
                boards=len(boards), note=f"95 of 100 are below {100 * float(np.quantile(size, 0.95)):.2f} %",
            )
        )  # fmt: skip
    return lines


def _interval(means: Sequence[float]) -> tuple[float, float]:
    """Of the mean over boards."""
    if len(means) < 2:
        return float("nan"), float("nan")
    centre, error = float(np.mean(means)), float(np.std(means, ddof=1)) / len(means) ** 0.5
    return centre - 1.96 * error, centre + 1.96 * error
