"""A study of a space too large to list, such as FBNet's: devices x budgets x seeds, by scores computed on the way.

There is no benchmark of such a space, so nothing is known of accuracies and of regret: what a study shows is which
score the search reaches within the budget, beside controls of the same number of scored architectures.

- `hw-evrsnas`: the penalised evolution.
- `no penalty`, `rejection`: as in `search.evrsnas.study`.
- `random`: drawn uniformly until as many isomorphism classes are scored as the evolution scored.
- `by NAME`: the penalised evolution by another score, on the scale of ranks; its answer is scored by the first, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from profiler.tables.formats.hwnasbench import FbnetTable
from search.evrsnas.evolution import (
    CostFunction,
    Evaluator,
    EvolutionConfig,
    ScoreFunction,
    evolve,
    pick_best,
)
from search.evrsnas.records import Evaluation, null_if_not_finite
from search.evrsnas.study import OWN, QUANTILES
from search.spaces.base import Architecture, SearchSpace
from search.spaces.fbnet import FBNet

__all__ = ["LayerCosts", "OpenCell", "OpenStudy", "Remembered", "open_cells", "open_summary"]

Floats = NDArray[np.float64]

SAMPLE = 2000
"""Random architectures whose costs make the quantiles of a device."""


@dataclass(frozen=True, eq=False)
class LayerCosts:
    """Costs that are sums over layers: what FBNet's table gives.

    Attributes:
        space: of edges x operators.
        device: what the costs are of.
        figures: (edges, operators) ms.
        fixed: what every network costs besides.
        unit: of the costs.
        source: where they come from.
    """

    space: SearchSpace
    device: str
    figures: Floats
    fixed: float
    unit: str = "ms"
    source: str = ""

    def __call__(self, architectures: Sequence[Architecture]) -> Floats:
        """(m,) costs of architectures."""
        for arch in architectures:
            self.space.check(arch)
        rows = np.array([a.choices for a in architectures], dtype=np.int64).reshape(-1, self.space.n_edges)
        found: Floats = self.fixed + self.figures[np.arange(self.space.n_edges), rows].sum(axis=1)
        return found

    @property
    def cheapest(self) -> float:
        """What the cheapest network costs."""
        return self.fixed + float(self.figures.min(axis=1).sum())

    @classmethod
    def of_fbnet(cls, space: FBNet, table: FbnetTable, device: str) -> LayerCosts:
        """FBNet's on one device.

        Raises:
            ConfigError: where the table lacks the device or a layer.
        """
        # a network of skipped layers alone costs what is fixed: every other figure is a difference from it
        skip = space.n_ops - 1
        base = [skip] * space.n_edges
        fixed = table.network_ms(device, base)
        figures = np.zeros((space.n_edges, space.n_ops))
        for edge in range(space.n_edges):
            for op in range(space.n_ops):
                figures[edge, op] = table.network_ms(device, [*base[:edge], op, *base[edge + 1 :]]) - fixed
        return cls(space, device, figures, fixed, "ms", table.source)


@dataclass(frozen=True, eq=False)
class OpenCell:
    """One budget on one device.

    Attributes:
        costs: of the space.
        budget: in the unit of the costs.
        quantile: the share of random architectures that meet it; None where the budget was given.
    """

    costs: LayerCosts
    budget: float
    quantile: float | None = None

    def __post_init__(self) -> None:
        if not self.budget >= self.costs.cheapest:
            raise ConfigError(
                f"the budget of {self.budget:g} {self.costs.unit} lies below the cheapest network of "
                f"{self.costs.space.name} on {self.costs.device}, {self.costs.cheapest:.4g} {self.costs.unit}: raise it"
            )

    @property
    def label(self) -> str:
        """As people and random seeds name it."""
        return f"{self.costs.device} {self.budget:g} {self.costs.unit}"


def open_cells(costs: LayerCosts, quantiles: Sequence[float] = QUANTILES, seed: int = 0) -> list[OpenCell]:
    """Budgets that these shares of 2,000 random architectures meet.

    Raises:
        ConfigError: for a share that is none.
    """
    if not all(0 < q < 1 for q in quantiles):
        raise ConfigError("budgets by quantile are shares between 0 and 1")
    rng = np.random.default_rng([seed, 19])
    drawn = costs([costs.space.sample(rng) for _ in range(SAMPLE)])
    return [OpenCell(costs, float(np.quantile(drawn, q)), q) for q in quantiles]


class Remembered:
    """A score function that scores an isomorphism class once, whatever searches ask for it.

    Attributes:
        scored: how many classes were scored.
    """

    def __init__(self, space: SearchSpace, function: ScoreFunction) -> None:
        self._space, self._function = space, function
        self._known: dict[str, float] = {}

    @property
    def scored(self) -> int:
        """How many classes were scored."""
        return len(self._known)

    def __call__(self, architectures: Sequence[Architecture]) -> Floats:
        """Scores in the order given."""
        names = [self._space.canonical(a) for a in architectures]
        new = {name: a for name, a in zip(names, architectures, strict=True) if name not in self._known}
        if new:
            self._known.update(zip(new, np.asarray(self._function(list(new.values()))).tolist(), strict=True))
        return np.array([self._known[name] for name in names], dtype=np.float64)


@dataclass(frozen=True)
class OpenStudy:
    """What is searched.

    Attributes:
        space: the space.
        cells: devices and budgets.
        score: of architectures, higher is better, of order one; what is searched by and what answers are compared by.
        others: further scores by name, the controls.
        seeds: of the searches.
        config: sizes and penalty; its budget is replaced by every cell's.
        controls: whether controls are searched too.
    """

    space: SearchSpace
    cells: Sequence[OpenCell]
    score: ScoreFunction
    others: Mapping[str, ScoreFunction] = field(default_factory=dict)
    seeds: Sequence[int] = (0, 1, 2)
    config: EvolutionConfig = field(default_factory=lambda: EvolutionConfig(None))
    controls: bool = True

    def run(self, advance: Callable[[str], None] = lambda label: None) -> list[dict[str, Any]]:
        """One row a cell, seed and method."""
        rows: list[dict[str, Any]] = []
        for cell in self.cells:
            for seed in self.seeds:
                for method, found, seconds in self._searches(cell, seed):
                    rows.append(self._row(cell, seed, method, found, seconds))
                advance(f"{cell.label}, seed {seed}")
        return rows

    def _searches(self, cell: OpenCell, seed: int) -> Iterator[tuple[str, tuple[Evaluation, int] | None, float]]:
        costs = cell.costs
        config = replace(self.config, budget_ms=cell.budget)

        def rejecting(architectures: Sequence[Architecture]) -> Floats:
            found = costs(architectures)
            return np.where(found > cell.budget, np.nan, found)

        evaluations = 0
        plans: list[tuple[str, ScoreFunction, CostFunction, EvolutionConfig]] = [
            (OWN, self.score, costs, config),
            ("no penalty", self.score, costs, replace(config, penalty_weight=0.0)),
            ("rejection", self.score, rejecting, config),
            *((f"by {name}", other, costs, config) for name, other in self.others.items()),
        ]
        for method, score, cost, how in plans if self.controls else plans[:1]:
            started = time.perf_counter()
            rng = np.random.default_rng((seed, crc32(cell.label.encode())))
            try:
                result = evolve(self.space, score, cost, how, rng)
            except ConfigError:
                if method != "rejection":
                    raise
                yield method, None, time.perf_counter() - started  # nothing it drew was within the budget
                continue
            if method == OWN:
                evaluations = result.evaluations
            yield method, (result.best, result.evaluations), time.perf_counter() - started
        if not self.controls:
            return
        started = time.perf_counter()
        yield "random", self._random(cell, seed, config, evaluations), time.perf_counter() - started

    def _random(self, cell: OpenCell, seed: int, config: EvolutionConfig, wanted: int) -> tuple[Evaluation, int]:
        rng = np.random.default_rng((seed, crc32(cell.label.encode()), 1))
        evaluate = Evaluator(self.space, self.score, cell.costs, config)
        while evaluate.evaluations < wanted:
            evaluate([self.space.sample(rng) for _ in range(wanted - evaluate.evaluations)])
        return pick_best(evaluate.archive.values()), evaluate.evaluations

    def _row(
        self, cell: OpenCell, seed: int, method: str, found: tuple[Evaluation, int] | None, seconds: float
    ) -> dict[str, Any]:
        row: dict[str, Any] = {
            "device": cell.costs.device,
            "unit": cell.costs.unit,
            "budget": cell.budget,
            "quantile": cell.quantile,
            "seed": seed,
            "method": method,
        }
        names = ("architecture", "score", "cost", "violation", "evaluations")
        if found is None:
            return {**row, **dict.fromkeys(names), "feasible": False, "seconds": seconds}
        best, evaluations = found
        # a control's answer, found by another score, may have none of the study's: its training may diverge
        score = null_if_not_finite(self.score([best.architecture])[0])
        told = (self.space.describe(best.architecture), score, best.cost_ms, best.violation, evaluations)
        return {**row, **dict(zip(names, told, strict=True)), "feasible": best.feasible, "seconds": seconds}


def open_summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a device and method: mean score of the answers within their budgets and how many of these have none, mean
    share of the budget that they take, how many are flagged infeasible, and how many are called feasible and are
    not."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["device"], row["method"]), []).append(row)
    lines = []
    for (device, method), own in groups.items():
        good = [row for row in own if row["feasible"]]
        scores = [row["score"] for row in good if row["score"] is not None]
        counted = [row["evaluations"] for row in own if row["evaluations"] is not None]
        lines.append(
            {
                "device": device,
                "method": method,
                "score": fmean(scores) if scores else None,
                "unscored": len(good) - len(scores),
                "cost_share": fmean(row["cost"] / row["budget"] for row in good) if good else None,
                "answers": len(own),
                "infeasible": len(own) - len(good),
                "violations": sum(row["cost"] > row["budget"] for row in good),
                "evaluations": fmean(counted) if counted else None,
            }
        )
    return lines
