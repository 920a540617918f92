"""Whether the sentinel notices that a board has moved, within one block of jobs.

Every sentinel behind the first of its process has a true distance from that first one, by the board's own log. Where
that is beyond 2.5 % the sentinel has to say so, at once or when it is asked a second time; where it is below 1.5 % it
must not. The limit itself is 2 %; between the two nothing is asked. A block is what lies between two sentinels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import expm1
from typing import Any

from profiler.measure.watch import BEGINS, VERDICT
from profiler.validation.lines import Line, Record, share, tries_of

__all__ = ["Watched", "judge", "watched"]

_MOVED, _STAYED = 0.025, 0.015
_CAUGHT, _FALSE_ALARMS = 0.99, 0.01
_OFF = 0.025


@dataclass(frozen=True, slots=True)
class Watched:
    """One sentinel.

    Attributes:
        moved: how far the board truly is from where it was at the reference, relatively.
        jobs: how many were measured since the sentinel before.
        caught: whether the sentinel says that the board has moved.
        first: whether no earlier sentinel of this reference was beyond the limit.
    """

    moved: float
    jobs: int
    caught: bool
    first: bool


def watched(record: Record) -> Iterator[Watched]:
    """The sentinels of a board that had something to be compared with."""
    tries = tries_of(record)
    sentinels = [place for place, each in enumerate(tries) if each["role"] == "sentinel"]
    reference, was_beyond, before = None, False, -1
    for number, place in enumerate(sentinels):
        each = tries[place]
        if each.get(BEGINS) or each[VERDICT] == "reference":
            reference, was_beyond = each["truth"]["drift"], False
        elif reference is not None:
            moved = expm1(each["truth"]["drift"] - reference)
            verdict = each[VERDICT]
            if verdict == "doubtful" and number + 1 < len(sentinels):
                verdict = tries[sentinels[number + 1]][VERDICT]
            yield Watched(moved, place - before - 1, verdict == "drifted", not was_beyond)
            was_beyond = was_beyond or abs(moved) > _MOVED
        before = place


def judge(records: Mapping[str, Sequence[Record]]) -> list[Line]:
    """See the module."""
    seen = [list(watched(record)) for record in records["stepping"]]
    caught = share([[w.caught for w in board if abs(w.moved) > _MOVED and w.first] for board in seen])
    alarms = share([[w.caught for w in board if abs(w.moved) < _STAYED] for board in seen])
    longest = max((w.jobs for board in seen for w in board if w.caught), default=0)
    kept = share([_kept(record) for record in records["stepping"]])
    return [
        Line.of_share(
            "drifts that the next sentinel caught", "at least 99 %", caught, least=_CAUGHT,
            note=f"never more than {longest} jobs after the sentinel before",
        ),
        Line.of_share("sentinels that cried drift where there was none", "at most 1 %", alarms, most=_FALSE_ALARMS),
        Line.of_share(
            "  of the figures that stayed off by more than 2.5 %, those that are flagged", "", kept
        ),
    ]  # fmt: skip


def _kept(record: Record) -> list[bool]:
    """Of every job whose last measurement is far from the last reference: whether the table says so."""
    reference: float | None = None
    last: dict[str, Mapping[str, Any]] = {}
    for each in tries_of(record):
        if each["role"] != "sentinel":
            last[each["job"]] = each
        elif each.get(BEGINS) or each[VERDICT] == "reference":
            reference = each["truth"]["drift"]
    if reference is None:
        return []
    flagged = {row["key"] for row in record["rows"] if "drifted" in row["issues"]}
    moved = [each for each in last.values() if abs(expm1(each["truth"]["drift"] - reference)) > _OFF]
    return [each["key"] in flagged for each in moved]
