"""Figures that others published for NAS-Bench-201 under latency budgets, to stand beside ours. Nothing is computed from
them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

__all__ = ["HELP_BUDGETS_MS", "SOURCES", "Published", "beside_published"]

Rows = Sequence[Mapping[str, Any]]

SOURCES = {
    "paper": "MO-HDNAS (arXiv 2404.12403), which runs HW-EvRSNAS anew: CIFAR-100 on FPGA, read off its figure; the "
    "paper's own table was not at hand",
    "help": "HELP with MetaD2A (Lee et al., NeurIPS 2021): CIFAR-100, accuracy and the latency achieved",
}


@dataclass(frozen=True, slots=True)
class Published:
    """One published result.

    Attributes:
        source: a name out of SOURCES.
        accuracy: CIFAR-100 test accuracy in per cent.
        within: how exactly it could be read, in per cent; None where it is given as a number.
        achieved_ms: the latency of what was chosen; None where it is not told.
    """

    source: str
    accuracy: float
    within: float | None = None
    achieved_ms: float | None = None


_READ, _READ_POORLY = 0.2, 0.5

_PAPER: dict[tuple[str, float], Published] = {
    ("fpga", budget): Published("paper", accuracy, within)
    for budget, accuracy, within in (
        (2.0, 64.5, _READ),
        (3.0, 70.3, _READ_POORLY),
        (3.5, 71.2, _READ),
        (4.0, 71.9, _READ),
        (4.5, 72.0, _READ),
        (5.0, 72.5, _READ),
        (6.0, 73.3, _READ_POORLY),
        (7.0, 73.2, _READ),
        (8.0, 73.5, _READ),
    )
}
_HELP: dict[tuple[str, float], Published] = {
    ("fpga", 4.0): Published("help", 70.2, achieved_ms=3.8),
    ("fpga", 5.0): Published("help", 71.8, achieved_ms=4.7),
    ("fpga", 6.0): Published("help", 73.5, achieved_ms=7.4),
    ("eyeriss", 5.0): Published("help", 71.5, achieved_ms=3.9),
    ("eyeriss", 7.0): Published("help", 71.8, achieved_ms=5.1),
    ("eyeriss", 9.0): Published("help", 73.5, achieved_ms=9.1),
}
HELP_BUDGETS_MS = {"eyeriss": (5.0, 7.0, 9.0)}
"""Budgets of HELP on devices where the paper's follow-up has none."""


def beside_published(rows: Rows, tops: Rows, method: str) -> list[dict[str, Any]]:
    """One row a budget for which there is a published figure: ours, the paper's, HELP's and the optimum.

    `ours` is the mean over seeds of the answers within the budget; `paper_reached` says whether it is at least the
    paper's figure, and `paper_allowed` whether the optimum is. HELP's `help_within` is False where what it chose
    takes longer than its budget.

    Args:
        rows: judged rows of a study.
        tops: of its cells.
        method: the one that stands beside the published.
    """
    own: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["method"] == method:
            own[row["cell"]].append(row)
    series = []
    for top in tops:
        key = (top["device"], top["budget"])
        if top["dataset"] != "cifar100" or top["unit"] != "ms" or not (key in _PAPER or key in _HELP):
            continue
        answers = [row for row in own[top["cell"]] if row["accuracy"] is not None]
        accuracies = [row["accuracy"] for row in answers]
        ours = fmean(accuracies) if accuracies else None
        paper, other = _PAPER.get(key), _HELP.get(key)
        series.append(
            {
                "dataset": top["dataset"],
                "device": top["device"],
                "budget_ms": top["budget"],
                "ours": ours,
                "ours_by_seed": accuracies,
                "cost_by_seed_ms": [row["cost"] for row in answers],
                "architecture_by_seed": [row["architecture"] for row in answers],
                "optimum": top["optimum"],
                "optimum_cost_ms": top["optimum_cost"],
                "paper": None if paper is None else paper.accuracy,
                "paper_read_within": None if paper is None else paper.within,
                "paper_allowed": None if paper is None else top["optimum"] >= paper.accuracy,
                "paper_reached": None if paper is None or ours is None else ours >= paper.accuracy,
                "help": None if other is None else other.accuracy,
                "help_achieved_ms": None if other is None else other.achieved_ms,
                "help_within": None if other is None else (other.achieved_ms or 0.0) <= top["budget"],
            }
        )
    return series
