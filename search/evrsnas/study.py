"""A study of HW-EvRSNAS: devices x budgets x seeds, beside controls, on a space whose scores are all there.

What is searched knows scores and costs only; `judge` adds accuracies and regret afterwards.

The methods, all of the same sizes and seeds:

- `hw-evrsnas`: the penalised evolution by the first score given.
- `no penalty`: the same with lambda = 0; the answer is still the best that it has seen within the budget.
- `rejection`: the same, what lies beyond the budget being no candidate; it may find nothing.
- `random`: drawn uniformly until as many isomorphism classes are scored as the evolution scored; `random by NAME` takes
  the best of the very same ones by another score.
- `by NAME`: the penalised evolution by another score, such as MACs, put on the scale [0, 1] by its ranks (ours, for the
  penalty is in units of the score).
- `all by NAME`: no search, the best of the whole space by a score within the budget: what the score alone is worth.

With a finalists' round (ours) the answer of `hw-evrsnas` is, among the best few that the search saw within the budget,
the best by a final score, which is dearer than that of the search. Then there are also:

- `hw-evrsnas, no finalists`: the same search without the round;
- `METHOD, finalists`: every control with the same round;
- `random finalists`: as many finalists, drawn among all within the budget that have a final score.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.evrsnas.arrays import SpaceArrays
from search.evrsnas.costs import SpaceCosts
from search.evrsnas.evolution import EvolutionConfig
from search.evrsnas.finalists_stage import random_finalists, ranked_anew
from search.evrsnas.many import Found, Run, best_among, draw_classes, evolve_many

__all__ = ["OWN", "PAPER_BUDGETS_MS", "QUANTILES", "Cell", "Study", "cells_by_quantile"]

Floats = NDArray[np.float64]

OWN = "hw-evrsnas"
"""The method that the study is of."""
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
        final: (n,) by data set, the score that finalists are ranked by; NaN where there is none.
        finalists: how many there are; 0 for no such round.
    """

    arrays: SpaceArrays
    cells: Sequence[Cell]
    scores: Mapping[str, Mapping[str, Floats]]
    seeds: Sequence[int] = (0, 1, 2)
    config: EvolutionConfig = field(default_factory=lambda: EvolutionConfig(None))
    controls: bool = True
    final: Mapping[str, Floats] = field(default_factory=dict)
    finalists: int = 0

    def __post_init__(self) -> None:
        if not self.cells or not self.seeds:
            raise ConfigError("a study needs at least one device, one budget and one seed")
        if self.finalists < 0:
            raise ConfigError(f"the number of finalists is 0 or more, not {self.finalists}")
        for cell in self.cells:
            if cell.costs.arrays.space.name != self.arrays.space.name:
                raise ConfigError(f"the costs of {cell.costs.device} are of another space than the study")
            if not self.scores.get(cell.dataset):
                raise ConfigError(f"the study has no scores for the data set {cell.dataset}")
            if self.finalists and cell.dataset not in self.final:
                raise ConfigError(f"the study has no final scores for the data set {cell.dataset}")
            cell.costs.check_budget(cell.budget)

    def run(self, advance: Callable[[str], None] = lambda label: None) -> list[dict[str, Any]]:
        """One row a cell, seed and method, without accuracies.

        `seconds` is a run's share of the time that the runs of its method took together; `course`, of `hw-evrsnas`
        only, holds generation, score and position wherever a better architecture within the budget was met;
        `unranked` counts finalists without a final score, which cannot win.
        """
        rows: list[dict[str, Any]] = []
        spent: dict[tuple[int, int], int] = {}
        for method, scores, config, reject in self._methods():
            started = time.perf_counter()
            runs = list(self._runs(scores, config, reject))
            found = evolve_many(self.arrays, [run for _, _, run in runs], self.finalists)
            seconds = (time.perf_counter() - started) / len(runs)
            for (cell, seed, run), one in zip(runs, found, strict=True):
                rows += self._answers(cell, seed, method, one, seconds, run)
                if method == OWN and one is not None:
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
        yield OWN, first, self.config, False
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

    @cached_property
    def _own_scores(self) -> dict[tuple[str, str], Floats]:
        first = self._names()[0]
        checked = {
            (dataset, name): self.arrays.scores(own)
            for dataset, by_name in self.scores.items()
            for name, own in by_name.items()
        }
        return {key: own if key[1] == first else _ranked(own) for key, own in checked.items()}

    def _scores(self, cell: Cell, name: str) -> Floats:
        found = self._own_scores.get((cell.dataset, name))
        if found is None:
            raise ConfigError(f"the study has no score {name!r} for the data set {cell.dataset}")
        return found

    @staticmethod
    def _entropy(cell: Cell, seed: int) -> tuple[int, ...]:
        """Of a cell's own, so that other cells of a study change nothing."""
        return (seed, crc32(cell.label.encode()))

    def _random(self, spent: Mapping[tuple[int, int], int]) -> Iterator[dict[str, Any]]:
        names = self._names()
        for index, cell in enumerate(self.cells):
            config = replace(self.config, budget_ms=cell.budget)
            for seed in self.seeds:
                if (index, seed) not in spent:
                    continue
                started = time.perf_counter()
                entropy = self._entropy(cell, seed)
                seen = draw_classes(self.arrays, cell.costs.values, (*entropy, 1), spent[index, seed])
                drawing_s = time.perf_counter() - started
                for name in names:
                    started = time.perf_counter()
                    run = Run(self._scores(cell, name), cell.costs.values, config, entropy)
                    found = best_among(self.arrays, run, seen, self.finalists)
                    seconds = drawing_s + time.perf_counter() - started
                    method = "random" if name == names[0] else f"random by {name}"
                    yield from self._answers(index, seed, method, found, seconds, run)
                if self.finalists:
                    rng = np.random.default_rng((*entropy, 2))
                    final = self.final[cell.dataset]
                    found = random_finalists(self.arrays, cell.costs.values, cell.budget, final, self.finalists, rng)
                    yield {**self._row(index, seed, "random finalists", found, None), "unranked": 0}

    def _exhaustive(self) -> Iterator[dict[str, Any]]:
        everything = np.arange(len(self.arrays))
        for index, cell in enumerate(self.cells):
            config = replace(self.config, budget_ms=cell.budget, penalty_weight=0.0)
            for name in self._names():
                run = Run(self._scores(cell, name), cell.costs.values, config, 0)
                found = best_among(self.arrays, run, everything, self.finalists)
                yield from self._answers(index, None, f"all by {name}", found, None, run)

    def _answers(
        self, index: int, seed: int | None, method: str, found: Found | None, seconds: float | None, run: Run
    ) -> Iterator[dict[str, Any]]:
        """The row of a search and, where there is a finalists' round, that of the round."""
        plain = f"{OWN}, no finalists" if method == OWN and self.finalists else method
        row = self._row(index, seed, plain, found, seconds)
        course = {"course": _course(found)} if method == OWN else {}
        if self.finalists:
            named = OWN if method == OWN else f"{method}, finalists"
            ranked, unranked = ranked_anew(found, run, self.final[self.cells[index].dataset])
            yield {**self._row(index, seed, named, ranked, seconds), "unranked": unranked, **course}
            course = {}
        yield {**row, **course}

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


def _course(found: Found | None) -> list[list[float]]:
    """Generation, score and position wherever the best within the budget changed."""
    steps: list[list[float]] = []
    if found is not None:
        for generation, (score, position) in enumerate(zip(found.course, found.leaders, strict=True)):
            if position >= 0 and (not steps or steps[-1][1] != score):
                steps.append([generation, score, position])
    return steps


def _ranked(scores: Floats) -> Floats:
    """Ranks on the scale [0, 1], ties sharing the mean of theirs."""
    from scipy import stats

    ranked: Floats = np.asarray(stats.rankdata(scores, nan_policy="omit"), dtype=np.float64)
    return (ranked - 1) / max(1.0, float(np.nanmax(ranked)) - 1)
