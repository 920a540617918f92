"""The quick start's search: a margin from held-out networks, and rounds until a measured winner holds the budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgecost.quickstart_evrsnas import MOST_ROUNDS, search_until_held, underestimate

BUDGET_MS = 1.0
Network = tuple[float, float]
"""Predicted and measured latency, in ms."""


def points(*ratios: float) -> list[dict[str, float]]:
    return [{"predicted_ms": 2.0, "measured_ms": 2.0 * ratio} for ratio in ratios]


def board(*networks: Network) -> tuple[Callable[[float], dict[str, Any]], Callable[[dict[str, Any]], dict[str, Any]]]:
    """A search that takes the dearest of some networks within its budget, as scores tend to, and their board."""

    def search(given_ms: float) -> dict[str, Any]:
        within = [n for n in networks if n[0] <= given_ms]
        return {"feasible": bool(within), "best": max(within) if within else min(networks)}

    def verify(study: dict[str, Any]) -> dict[str, Any]:
        predicted, measured = study["best"]
        return {"predicted_ms": predicted, "measured_ms": measured, "within_budget": measured <= BUDGET_MS}

    return search, verify


def test_margin_is_the_upper_tenth_of_held_out_networks_and_not_their_mean() -> None:
    # 20 networks: rank ceil(21 * 0.9) = 19
    assert underestimate(points(*[1.0] * 18, 1.2, 1.5)) == pytest.approx(1.2)
    assert underestimate(points(*[1.0] * 5, 1.3)) == pytest.approx(1.3)  # too few for a quantile: the largest
    assert underestimate(points(0.7, 0.8, 0.9)) == 1.0  # priced too high is no reason to ask for more
    assert underestimate([]) == 1.0


def test_networks_without_a_prediction_say_nothing_about_the_margin() -> None:
    assert underestimate([*points(1.1), {"predicted_ms": None, "measured_ms": 5.0}]) == pytest.approx(1.1)


def test_winner_that_holds_ends_the_rounds() -> None:
    rounds = search_until_held(BUDGET_MS, 1.25, *board((0.7, 0.8), (0.95, 1.4)))
    assert [r.given_ms for r in rounds] == [0.8]
    assert rounds[0].study["best"] == (0.7, 0.8)


def test_winner_that_misses_tightens_the_next_search_by_its_own_error() -> None:
    rounds = search_until_held(BUDGET_MS, 1.1, *board((0.6, 0.6), (0.78, 0.9), (0.9, 1.2)))
    assert [r.study["best"] for r in rounds] == [(0.9, 1.2), (0.6, 0.6)]
    assert rounds[1].given_ms == 0.75
    assert rounds[-1].verdict["within_budget"]


def test_a_network_that_missed_is_never_the_next_winner() -> None:
    missing = tuple((0.9 - 0.0001 * i, 1.0001) for i in range(40))
    rounds = search_until_held(BUDGET_MS, 1.0, *board((0.5, 0.5), *missing))
    winners = [r.study["best"] for r in rounds]
    assert len(winners) == len(set(winners))


def test_rounds_end_where_nothing_is_predicted_to_hold_or_too_many_missed() -> None:
    nothing = search_until_held(BUDGET_MS, 1.0, *board((1.5, 1.5)))
    assert len(nothing) == 1
    assert not nothing[0].study["feasible"]
    ever = search_until_held(BUDGET_MS, 1.0, *board(*((0.1 * i, 1.0 + 0.01 * i) for i in range(1, 10))))
    assert len(ever) == MOST_ROUNDS
    assert not ever[-1].verdict["within_budget"]
