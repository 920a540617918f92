"""The finalists' round of a study whose final scores are all known: arrays in, the winner out. Ours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from search.evrsnas.arrays import SpaceArrays
from search.evrsnas.many import Found, Run

__all__ = ["random_finalists", "ranked_anew"]

Floats = NDArray[np.float64]


def ranked_anew(found: Found | None, run: Run, final: Floats) -> tuple[Found | None, int]:
    """The best of a search's shortlist by a final score, and how many of it have none, which cannot win.

    The answer stays as it was where nothing met the budget, or no finalist has a final score.

    Args:
        found: what the search came to.
        run: the search.
        final: (n,) final scores by position; NaN where there is none.
    """
    if found is None or not found.shortlist:
        return found, 0
    few = np.array(found.shortlist)
    own = final[few]
    unranked = int(np.isnan(own).sum())
    if unranked == len(few):
        return found, unranked
    best = int(few[np.nanargmax(own)])
    return (
        replace(found, position=best, score=float(run.scores[best]), cost=float(run.costs[best]), violation=0.0),
        unranked,
    )


def random_finalists(
    arrays: SpaceArrays, costs: Floats, budget: float, final: Floats, count: int, rng: np.random.Generator
) -> Found | None:
    """The best by a final score of `count` classes drawn among those that have one and a member within the budget;
    None where there are none. Each is stood for by its cheapest member."""
    with np.errstate(invalid="ignore"):
        inside = np.flatnonzero(np.isfinite(final) & (costs <= budget))
    if not len(inside):
        return None
    ordered = inside[np.argsort(costs[inside], kind="stable")]
    _, first = np.unique(arrays.classes[ordered], return_index=True)
    cheapest = ordered[first]
    drawn = rng.choice(cheapest, size=min(count, len(cheapest)), replace=False)
    best = int(drawn[final[drawn].argmax()])
    return Found(best, float(final[best]), float(costs[best]), 0.0, len(drawn))
