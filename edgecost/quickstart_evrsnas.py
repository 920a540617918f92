"""HW-EvRSNAS in the quick start: searched below a budget, measured, and searched again where the winner misses it.

A search prefers what is priced too low, so a mean error of the predictor is no margin: the first budget allows for the
costliest tenth of held-out networks, and a winner that measures beyond the budget all the same tightens the next search
by how far it was off. The winner itself is then too dear, so no search comes back with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Round", "search_until_held", "underestimate"]

SHARE = 0.9
"""Of held-out networks that the first budget's margin is to cover."""
MOST_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Round:
    """One search and the measurement of its winner.

    Attributes:
        given_ms: the budget that the search was given.
        study: what the search found.
        verdict: its winner, measured and held against the budget that counts.
    """

    given_ms: float
    study: dict[str, Any]
    verdict: dict[str, Any]


def underestimate(points: Sequence[Mapping[str, Any]]) -> float:
    """How many times its prediction a network takes at most, for `SHARE` of networks like those held out.

    The one-sided split-conformal quantile of measured / predicted (Vovk et al. 2005), or the largest ratio where they
    are too few for it; never below 1, and 1 without any.

    Args:
        points: {"measured_ms", "predicted_ms"} of networks that nothing was fitted on; without a prediction left out.
    """
    from predictors.intervals import conformal_rank

    ratios = sorted(p["measured_ms"] / p["predicted_ms"] for p in points if p["predicted_ms"])
    if not ratios:
        return 1.0
    return float(max(1.0, ratios[conformal_rank(len(ratios), SHARE) - 1]))


def search_until_held(
    budget_ms: float,
    margin: float,
    search: Callable[[float], dict[str, Any]],
    verify: Callable[[dict[str, Any]], dict[str, Any]],
) -> list[Round]:
    """Search and measure until a winner holds the budget, no network is predicted to, or `MOST_ROUNDS` are over.

    Args:
        budget_ms: that the winner has to hold when it is measured.
        margin: what the first search's budget is divided by.
        search: budget in ms -> study, with "feasible".
        verify: study -> verdict, with "within_budget", "measured_ms" and "predicted_ms".

    Returns:
        the rounds in order, at least one; the last is the one that counts.
    """
    rounds: list[Round] = []
    while True:
        given_ms = _three_digits_below(budget_ms / margin)
        study = search(given_ms)
        verdict = verify(study)
        rounds.append(Round(given_ms, study, verdict))
        if verdict["within_budget"] or not study["feasible"] or len(rounds) == MOST_ROUNDS:
            return rounds
        # above the last margin, since predicted_ms * margin <= budget_ms < measured_ms
        margin = verdict["measured_ms"] / verdict["predicted_ms"]


def _three_digits_below(value: float) -> float:
    """Rounded towards zero: rounding up would let the winner that was too slow in again."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.floor(round(value / step, 6)) * step:.3g}")
