"""What pymoo's NSGA-II is given: the problem, and a survival that knows the diversity of costs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.problem import Problem
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from search.evrsnas.beyond.operators import decoded
from search.evrsnas.beyond.pareto import diversity
from search.evrsnas.evolution import Evaluator
from search.spaces.base import SearchSpace

__all__ = ["CostAndScore", "DiverseSurvival"]

_SCORE, _COST, _CHI = range(3)


class CostAndScore(Problem):  # type: ignore[misc]
    """Objectives to minimise: -phi, Psi and, with diversity, -chi; what is no candidate violates the constraint.

    The objectives of what is no candidate are zeros that nobody looks at: feasible ones always come first. chi is a
    matter of the population and filled in by `DiverseSurvival`.
    """

    def __init__(self, space: SearchSpace, evaluator: Evaluator, diverse: bool) -> None:
        self._space, self._evaluator = space, evaluator
        top = np.array([space.ops_of(edge) - 1 for edge in range(space.n_edges)])
        super().__init__(
            n_var=space.n_edges, n_obj=3 if diverse else 2, n_ieq_constr=1, xl=np.zeros_like(top), xu=top, vtype=int
        )

    def _evaluate(self, x: NDArray[np.int64], out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        found = self._evaluator([decoded(self._space, row) for row in x])
        fine = np.array([e.candidate for e in found])
        F = np.zeros((len(found), self.n_obj))
        F[fine, _SCORE] = [-e.score for e in found if e.candidate]
        F[fine, _COST] = [e.cost_ms for e in found if e.candidate]
        out["F"], out["G"] = F, np.where(fine, 0.0, 1.0)[:, None]


class DiverseSurvival(RankAndCrowding):  # type: ignore[misc]
    """NSGA-II's survival, chi taken before anew over parents and children together."""

    def __init__(self, diverse: bool) -> None:
        super().__init__()
        self._diverse = diverse

    def _do(self, problem: Any, pop: Any, *args: Any, **kwargs: Any) -> Any:
        if self._diverse:
            F = pop.get("F").copy()
            F[:, _CHI] = -diversity(F[:, _COST])
            pop.set("F", F)
        return super()._do(problem, pop, *args, **kwargs)
