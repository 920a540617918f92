"""Several devices at once: the architecture that meets a budget on each.

The several constraints Psi_d(a) <= T_d are one: the largest share of its budget that an architecture takes on any
device, max over d of Psi_d(a) / T_d, must not exceed 1. So the evolution and its penalty stay as they are, with a cost
without unit and the budget 1; the penalty is that of the device on which the excess is largest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.evrsnas.evolution import CostFunction
from search.spaces.base import Architecture

__all__ = ["SharedBudget"]


class SharedBudget:
    """A cost function: the largest share of a budget taken on any target.

    Args:
        costs: the cost function of every target, by its id.
        budgets: the budget of every target, in the unit of its costs.

    Raises:
        ConfigError: where a target lacks either, or a budget is not a positive number.
    """

    budget = 1.0
    """What the share must not exceed: the `budget_ms` of an `EvolutionConfig`."""

    def __init__(self, costs: Mapping[str, CostFunction], budgets: Mapping[str, float]) -> None:
        if not costs or set(costs) != set(budgets):
            odd = ", ".join(sorted(set(costs) ^ set(budgets))) or "no target"
            raise ConfigError(f"every target needs one cost and one budget; given one of the two only: {odd}")
        for target, budget in budgets.items():
            if not (math.isfinite(budget) and budget > 0):
                raise ConfigError(f"the budget on {target} must be a positive number, not {budget}")
        self._costs, self.budgets = dict(costs), {t: float(budgets[t]) for t in costs}

    def each(self, architectures: Sequence[Architecture]) -> dict[str, NDArray[np.float64]]:
        """The costs (n,) on every target, in its own unit."""
        return {t: np.asarray(cost(architectures), dtype=np.float64) for t, cost in self._costs.items()}

    def __call__(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Shares (n,); NaN where the cost on any target is unknown: what is not known to fit is no candidate."""
        shares = [costs / self.budgets[target] for target, costs in self.each(architectures).items()]
        result: NDArray[np.float64] = np.max(shares, axis=0)  # NaN on one target is NaN
        return result
