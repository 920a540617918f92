"""A study of HW-EvRSNAS: devices x budgets x seeds, beside controls, on a space whose scores are all there.

What is searched knows scores and costs only; `judge` adds accuracies and regret afterwards.

The methods, all of the same sizes and seeds:

- `hw-evrsnas`: the penalised evolution by the first score given.
- `no penalty`: the same with lambda = 0; the answer is still the best that it has seen within the budget.
- `rejection`: the same, what lies beyond the budget being no candidate; it may find nothing.
- `random`: drawn uniformly until as many isomorphism classes are scored as the evolution scored.
- `by NAME`: the penalised evolution by another score, such as MACs, put on the scale [0, 1] by its ranks (ours, for the
  penalty is in units of the score).
- `all by NAME`: no search, the best of the whole space by a score within the budget: what the score alone is worth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.evrsnas.arrays import SpaceArrays
from search.evrsnas.costs import SpaceCosts
from search.evrsnas.evolution import EvolutionConfig
from search.evrsnas.judging import Benchmark
from search.evrsnas.many import Found, Run, best_of, evolve_many, random_search, sizes_up

__all__ = ["PAPER_BUDGETS_MS", "QUANTILES", "Cell", "Study", "cells_by_quantile", "judge"]

Floats = NDArray[np.float64]

PAPER_BUDGETS_MS = (2.0, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0)
"""Of the nine runs on FPGA that the paper's follow-up shows."""
QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One budget on one device.

    Attributes:
        costs: of the space.
        budget: in the unit of the costs.
        dataset: that costs and accuracies are of.
    """

    costs: SpaceCosts
    budget: float
    dataset: str = "cifar10"

    @property
    def label(self) -> str:
        """As people and random seeds name it."""
        return f"{self.costs.device} {self.dataset} {self.budget:g} {self.costs.unit}"


def cells_by_quantile(costs: SpaceCosts, dataset: str, quantiles: Sequence[float] = QUANTILES) -> list[Cell]:
    """Budgets that these shares of the architectures with a known cost meet."""
    return [Cell(costs, costs.quantile(q), dataset) for q in quantiles]


@dataclass(frozen=True)
class Study:
    """What is searched.

    Attributes:
        arrays: the space.
        cells: devices and budgets.
        scores: (n,) by name, higher is better; the first is searched by, the others are controls. They may differ by
            data set: then a mapping of these by data set.
        seeds: of the searches.
        config: sizes and penalty; its budget is replaced by every cell's.
        controls: whether controls are searched too.
    """

    arrays: SpaceArrays
    cells: Sequence[Cell]
    scores: Mapping[str, Mapping[str, Floats]]
    seeds: Sequence[int] = (0, 1, 2)
    config: EvolutionConfig = field(default_factory=lambda: EvolutionConfig(None))
    controls: bool = True

    def __post_init__(self) -> None:
        if not self.cells or not self.seeds:
            raise ConfigError("a study needs at least one device, one budget and one seed")
        for cell in self.cells:
            if cell.costs.arrays.space.name != self.arrays.space.name:
                raise ConfigError(f"the costs of {cell.costs.device} are of another space than the study")
            if not self.scores.get(cell.dataset):
                raise ConfigError(f"the study has no scores for the data set {cell.dataset}")
            cell.costs.check_budget(cell.budget)

    def run(self, advance: Callable[[str], None] = lambda label: None) -> list[dict[str, Any]]:
        """One row a cell, seed and method, without accuracies.

        `seconds` is a run's share of the time that the runs of its method took together.
        """
        rows: list[dict[str, Any]] = []
        spent: dict[tuple[int, int], int] = {}
        for method, scores, config, reject in self._methods():
            started = time.perf_counter()
            runs = list(self._runs(scores, config, reject))
            found = evolve_many(self.arrays, [run for _, _, run in runs])
            seconds = (time.perf_counter() - started) / len(runs)
            for (cell, seed, _), one in zip(runs, found, strict=True):
                rows.append(self._row(cell, seed, method, one, seconds))
                if method == "hw-evrsnas" and one is not None:
                    spent[cell, seed] = one.evaluations
            advance(method)
        if self.controls:
            rows += self._random(spent)
            rows += self._exhaustive()
            advance("random, and the whole space by each score")
        return rows

    def methods(self) -> list[str]:
        """The names of the searches, in order."""
        return [method for method, *_ in self._methods()]

    def _names(self) -> list[str]:
        return list(dict.fromkeys(name for by_name in self.scores.values() for name in by_name))

    def _methods(self) -> Iterator[tuple[str, str, EvolutionConfig, bool]]:
        first, *others = self._names()
        yield "hw-evrsnas", first, self.config, False
        if self.controls:
            yield "no penalty", first, replace(self.config, penalty_weight=0.0), False
            yield "rejection", first, self.config, True
            for name in others:
                yield f"by {name}", name, self.config, False

    def _runs(self, name: str, config: EvolutionConfig, reject: bool) -> Iterator[tuple[int, int, Run]]:
        for index, cell in enumerate(self.cells):
            own = self._scores(cell, name)
            costs = cell.costs.values
            if reject:
                costs = np.where(costs > cell.budget, np.nan, costs)
            for seed in self.seeds:
                yield index, seed, Run(own, costs, replace(config, budget_ms=cell.budget), self._entropy(cell, seed))

    def _scores(self, cell: Cell, name: str) -> Floats:
        by_name = self.scores[cell.dataset]
        if name not in by_name:
            raise ConfigError(f"the study has no score {name!r} for the data set {cell.dataset}")
        own = self.arrays.scores(by_name[name])
        return own if name == self._names()[0] else _ranked(own)

    @staticmethod
    def _entropy(cell: Cell, seed: int) -> tuple[int, ...]:
        """Of a cell's own, so that other cells of a study change nothing."""
        return (seed, crc32(cell.label.encode()))

    def _random(self, spent: Mapping[tuple[int, int], int]) -> Iterator[dict[str, Any]]:
        first = self._names()[0]
        for index, seed, run in self._runs(first, self.config, False):
            if (index, seed) not in spent:
                continue
            started = time.perf_counter()
            own = replace(run, seed=(*self._entropy(self.cells[index], seed), 1))
            found = random_search(self.arrays, own, spent[index, seed])
            yield self._row(index, seed, "random", found, time.perf_counter() - started)

    def _exhaustive(self) -> Iterator[dict[str, Any]]:
        everything = np.arange(len(self.arrays))
        for index, cell in enumerate(self.cells):
            for name in self._names():
                scores = self._scores(cell, name)
                config = replace(self.config, budget_ms=cell.budget, penalty_weight=0.0)
                fitness, violation = sizes_up(scores, cell.costs.values, config)
                best = best_of(everything, scores, fitness, violation)
                found = None
                if best is not None:
                    scored = len(np.unique(self.arrays.classes[np.isfinite(fitness)]))
                    cost = float(cell.costs.values[best])
                    found = Found(best, float(scores[best]), cost, float(violation[best]), scored)
                yield self._row(index, None, f"all by {name}", found, None)

    def _row(
        self, index: int, seed: int | None, method: str, found: Found | None, seconds: float | None
    ) -> dict[str, Any]:
        cell, space = self.cells[index], self.arrays.space
        row: dict[str, Any] = {
            "cell": index,
            "dataset": cell.dataset,
            "device": cell.costs.device,
            "unit": cell.costs.unit,
            "budget": cell.budget,
            "seed": seed,
            "method": method,
        }
        answer: dict[str, Any] = dict.fromkeys(("architecture", "score", "cost", "violation"))
        if found is not None:
            answer = {
                "architecture": space.describe(space.at(found.position)),
                "score": found.score,
                "cost": found.cost,
                "violation": found.violation,
            }
        return {
            **row,
            "position": None if found is None else found.position,
            **answer,
            "feasible": found is not None and found.feasible,
            "evaluations": None if found is None else found.evaluations,
            "seconds": seconds,
        }


def judge(
    rows: Sequence[Mapping[str, Any]], cells: Sequence[Cell], benchmarks: Mapping[str, Benchmark]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows with `accuracy` and `regret` in per cent, both None of an answer beyond its budget; and one row a cell:
    `optimum` (accuracy), its architecture and cost, and `mean_within`, what a random feasible architecture reaches.

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
        judged.append({**row, "accuracy": accuracy, "regret": regret})
    return judged, tops


def _ranked(scores: Floats) -> Floats:
    """Ranks on the scale [0, 1], ties sharing the mean of theirs."""
    from scipy import stats

    ranked: Floats = np.asarray(stats.rankdata(scores, nan_policy="omit"), dtype=np.float64)
    return (ranked - 1) / max(1.0, float(np.nanmax(ranked)) - 1)
