"""Whether fusion experiments say of pairs of operators what the board truly does, on boards with rules of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from profiler.validation.lines import Line, Record, share

__all__ = ["judge"]

_RIGHT = 0.95


def judge(records: Mapping[str, Sequence[Record]]) -> list[Line]:
    """See the module."""
    boards = [record["verdicts"] for record in records["fusing"]]
    decided = [[v["verdict"] == v["true"] for v in board if v["verdict"] != "undecided"] for board in boards]
    undecided = share([[v["verdict"] == "undecided" for v in board] for board in boards])
    lines = [
        Line.of_share("fusion verdicts that are right", "at least 95 %", share(decided), least=_RIGHT),
        Line.of_share("  pairs without a verdict", "", undecided),
    ]
    for truth in ("fused", "not"):
        right = [
            [v["verdict"] == truth for v in board if v["true"] == truth and v["verdict"] != "undecided"]
            for board in boards
        ]
        lines.append(
            Line.of_share(f"  of those that truly are {truth if truth == 'fused' else 'not fused'}", "", share(right))
        )
    return lines
