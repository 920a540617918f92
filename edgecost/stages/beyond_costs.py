"""Costs for searches beyond the plain one: on several targets at once, and with a stated probability."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import load_table, resolve_target
from edgecost.stages.energy_costs import UNIT_TEXTS, Unit, fit_cost, simulated_words
from edgecost.stages.searching import cost_function
from profiler.errors import ConfigError

if TYPE_CHECKING:
    from predictors.base import CostModel
    from predictors.energy import EnergyModel
    from profiler.tables.table import CostTable
    from search.evrsnas.beyond.certain import BoundForm
    from search.evrsnas.evolution import CostFunction
    from search.spaces.base import Architecture, SearchSpace

__all__ = ["TargetCosts", "paired_budgets", "target_costs"]


@dataclass(frozen=True)
class TargetCosts:
    """The costs that a search is constrained by.

    Attributes:
        function: what the search compares with `budget`.
        budget: one target: its own; several: 1, for the cost is then the largest share of a budget.
        each: the function of every target, in `unit`.
        budgets: of every target, in `unit`.
        expected: the predictor's own value on every target, in `unit`.
        unit: "ms" or "mj".
        identity: names the costs: the fitted models and, where there is one, the probability.
        words: what a sentence about them ends with.
    """

    function: CostFunction
    budget: float
    each: dict[str, CostFunction]
    budgets: dict[str, float]
    expected: dict[str, CostFunction]
    unit: Unit
    identity: str
    words: str

    def told(self, arch: Architecture) -> list[dict[str, Any]]:
        """One architecture's costs beside its budgets, one entry a target; None where unknown."""
        from search.evrsnas.records import null_if_not_finite

        rows = []
        for target, cost in self.each.items():
            bound, expected = float(cost([arch])[0]), float(self.expected[target]([arch])[0])
            rows.append(
                {
                    "target": target,
                    f"budget_{self.unit}": self.budgets[target],
                    f"bound_{self.unit}": null_if_not_finite(bound),
                    f"predicted_{self.unit}": null_if_not_finite(expected),
                    "met": bound <= self.budgets[target],
                }
            )
        return rows

    def sentence(self, arch: Architecture) -> str:
        """The same for people."""
        text = UNIT_TEXTS[self.unit]
        told = [(r["target"], r[f"bound_{self.unit}"], r[f"budget_{self.unit}"]) for r in self.told(arch)]
        return ", ".join(f"{bound:.3f} of {budget:g} {text} on {target}" for target, bound, budget in told)


def paired_budgets(targets: Sequence[str], budgets: Sequence[float]) -> dict[str, float]:
    """The budget of every target: one each in order, or one for all.

    Raises:
        ConfigError: where their numbers do not fit, or a target is named twice.
    """
    if len(set(targets)) < len(targets) or not targets:
        raise ConfigError("every --target is named once")
    if len(budgets) not in (1, len(targets)):
        raise ConfigError(
            f"{len(targets)} targets take one budget for all or one each, in the same order, not {len(budgets)}"
        )
    each = list(budgets) * len(targets) if len(budgets) == 1 else list(budgets)
    return dict(zip(targets, each, strict=True))


def target_costs(
    results: Path,
    space: SearchSpace,
    targets: Sequence[str],
    budgets: Sequence[float],
    unit: Unit,
    probability: float | None = None,
    bound: BoundForm = "normal",
) -> TargetCosts:
    """Fit what the targets cost by the table of a results folder.

    Raises:
        UnknownWorkload: where the table lacks a target, or energies.
        ConfigError: as `paired_budgets`, `ProbableCost` and `SharedBudget`.
    """
    from search.evrsnas.beyond.certain import ProbableCost
    from search.evrsnas.beyond.several import SharedBudget

    table = load_table(results)
    ids = [resolve_target(table, target) for target in targets]
    of_target = paired_budgets(ids, budgets)
    each: dict[str, CostFunction] = {}
    expected: dict[str, CostFunction] = {}
    models: dict[str, Any] = {}
    for target in ids:
        model = _fitted(table, target, unit, probability, bound)
        models[target] = model.to_dict()
        if probability is None:
            each[target] = expected[target] = cost_function(space, model)
        else:
            probable = ProbableCost(space, model, probability, bound)
            each[target], expected[target] = probable, probable.expected
    shared = SharedBudget(each, of_target)
    single = len(ids) == 1
    return TargetCosts(
        function=each[ids[0]] if single else shared,
        budget=of_target[ids[0]] if single else shared.budget,
        each=each,
        budgets=of_target,
        expected=expected,
        unit=unit,
        identity=json.dumps([models, of_target, probability, bound if probability else None], sort_keys=True),
        words="".join(dict.fromkeys(simulated_words(table, target) for target in ids)),
    )


def _fitted(
    table: CostTable, target: str, unit: Unit, probability: float | None, bound: BoundForm
) -> CostModel | EnergyModel:
    if probability is None or bound == "normal":
        return fit_cost(table, target, unit)
    if unit != "ms":
        raise ConfigError("conformal bounds are of latency; take --bound normal for energy")
    from predictors.conformal import ConformalModel

    return ConformalModel(level=probability).fit(table, target)
