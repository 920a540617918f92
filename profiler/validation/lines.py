"""One line of the proof: a claim, what was asked of it and what was seen; and the counting behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, nan
from typing import Any

import numpy as np

__all__ = ["Line", "Record", "Share", "rows_of", "share", "tries_of"]

Record = Mapping[str, Any]
"""What came of a case; see `observations`."""

_BOOTSTRAP = 2000


@dataclass(frozen=True, slots=True)
class Share:
    """A share that was counted, with the 95 % interval that resampling whole boards gives it.

    What is measured on one board has the offsets of its processes in common: many figures of few boards say little.
    """

    value: float
    low: float
    high: float
    count: int
    boards: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the proof.

    Attributes:
        claim: what is claimed.
        target: what was asked, for people; "" where nothing was, and the line is there for comparison.
        least, most: the same as numbers.
        seen: the figure; NaN where nothing could be counted.
        low, high: its 95 % interval over boards.
        count, boards: how many cases it was counted from, on how many boards.
        unit: "%" for shares and relative errors, else "".
        note: what else belongs to it; for a target that was missed, why.
    """

    claim: str
    target: str
    seen: float
    low: float = nan
    high: float = nan
    count: int = 0
    boards: int = 0
    least: float = -inf
    most: float = inf
    unit: str = "%"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None where there is none."""
        if not self.target:
            return None
        return bool(self.least <= self.seen <= self.most)

    @classmethod
    def of_share(
        cls, claim: str, target: str, found: Share, *, least: float = -inf, most: float = inf, note: str = ""
    ) -> Line:
        """Of a share that was counted."""
        return cls(claim, target, found.value, found.low, found.high, found.count, found.boards, least, most, note=note)


def share(by_board: Iterable[Sequence[bool]]) -> Share:
    """How many of all are true.

    Args:
        by_board: what was found on each board; those without a case count as none.
    """
    boards = [found for found in by_board if len(found)]
    if not boards:
        return Share(nan, nan, nan, 0, 0)
    hits = np.array([sum(found) for found in boards], dtype=float)
    counts = np.array([len(found) for found in boards], dtype=float)
    chosen = np.random.default_rng(0).integers(len(boards), size=(_BOOTSTRAP, len(boards)))
    drawn = hits[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = float(hits.sum() / counts.sum())
    return Share(value, float(low), float(high), int(counts.sum()), len(boards))


def rows_of(record: Record, kind: str = "") -> list[dict[str, Any]]:
    """The figures of a board that a table shows by default: those that failed no gate."""
    return [
        row
        for row in record.get("rows", ())
        if row["latency_ns"] is not None and row["status"] == "ok" and not row["gated"] and kind in ("", row["kind"])
    ]


def tries_of(record: Record) -> list[dict[str, Any]]:
    """The measurements of a board that came to a figure, in order, sentinels among them."""
    return [each for each in record.get("tries", ()) if each["status"] == "ok"]
