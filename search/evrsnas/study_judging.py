"""A study's answers judged by a benchmark, after all searching is done; and the fronts that they are seen beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.evrsnas.costs import SpaceCosts
from search.evrsnas.judging import Benchmark
from search.evrsnas.study import Cell

__all__ = ["exact_front", "judge"]


def judge(
    rows: Sequence[Mapping[str, Any]], cells: Sequence[Cell], benchmarks: Mapping[str, Benchmark]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows with `accuracy` and `regret` in per cent, both None of an answer beyond its budget, and an accuracy in place
    of the position in every entry of a `course`; and one row a cell: `optimum` (accuracy), its architecture and cost,
    and `mean_within`, what a random feasible architecture reaches.

    Args:
        rows: what `Study.run` gives.
        cells: of the study.
        benchmarks: by data set.
    """
    tops = []
    for index, cell in enumerate(cells):
        benchmark = benchmarks[cell.dataset]
        best = benchmark.optimum(cell.costs, cell.budget)
        tops.append(
            {
                "cell": index,
                "dataset": cell.dataset,
                "device": cell.costs.device,
                "unit": cell.costs.unit,
                "budget": cell.budget,
                "optimum": float(benchmark.accuracy[best]),
                "optimum_architecture": cell.costs.arrays.space.describe(cell.costs.arrays.space.at(best)),
                "optimum_cost": float(cell.costs.values[best]),
                "mean_within": benchmark.mean_within(cell.costs, cell.budget),
            }
        )
    judged = []
    for row in rows:
        position = row["position"]
        counts = position is not None and row["feasible"]
        accuracy = float(benchmarks[row["dataset"]].accuracy[position]) if counts else None
        regret = None if accuracy is None else tops[row["cell"]]["optimum"] - accuracy
        course = {}
        if "course" in row:
            known = benchmarks[row["dataset"]].accuracy
            course = {"course": [[generation, score, float(known[at])] for generation, score, at in row["course"]]}
        judged.append({**row, "accuracy": accuracy, "regret": regret, **course})
    return judged, tops


def exact_front(costs: SpaceCosts, accuracy: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Cost and accuracy of every architecture that none beats in accuracy without costing more, cheapest first."""
    known = np.flatnonzero(costs.known & np.isfinite(accuracy))
    ordered = known[np.lexsort((-accuracy[known], costs.values[known]))]
    best = np.maximum.accumulate(accuracy[ordered])
    new = np.concatenate([[True], best[1:] > best[:-1]])
    return [(float(costs.values[at]), float(accuracy[at])) for at in ordered[new]]
