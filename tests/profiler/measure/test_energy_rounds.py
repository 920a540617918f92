from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from power_traces import Truth, record

from profiler.measure.energy import Energy, energy_of
from profiler.measure.energy_rounds import combine, observer_effect
from profiler.measure.record import Measurement, Role


def rounds(count: int, spread: float = 0.0, **truth: float) -> list[Energy]:
    rng = np.random.default_rng(3)
    steps = 1000.0 * (1 + spread * rng.standard_normal(count))
    return [energy_of(record(Truth(step_mw=float(step), **truth), rng)) for step in steps]


def test_rounds_are_put_together_and_their_differences_count() -> None:
    quiet, restless = combine(rounds(5, gain_u=0.0)), combine(rounds(5, spread=0.05, gain_u=0.0))
    assert quiet.value_mj == pytest.approx(20.0, rel=0.01)
    assert quiet.u_mj is not None
    assert restless.u_mj is not None
    assert restless.u_mj > 3 * quiet.u_mj
    assert quiet.rounds == 5
    assert restless.spread is not None
    assert restless.spread > 0.02


def test_what_rounds_share_is_not_averaged_away() -> None:
    combined = combine(rounds(9, gain_u=0.02))
    assert combined.u_mj is not None
    assert combined.u_mj >= 0.02 * 20.0 * 0.98


def test_rounds_without_a_figure_leave_a_bound() -> None:
    none = combine([Energy("wall", upper_mj=3.0, issues=("energy_undetected",)), Energy("wall", upper_mj=2.0)])
    assert (none.value_mj, none.u_mj, none.upper_mj, none.rounds) == (None, None, 2.0, 0)
    assert none.issues == ("energy_undetected",)


def test_a_figure_of_a_minority_of_rounds_is_a_bound_that_holds_it() -> None:
    weak = Energy("wall", upper_mj=2.0, issues=("energy_undetected",))
    (seen,) = rounds(1)
    seen = replace(seen, scope="wall")
    assert seen.net_mj is not None
    assert seen.u_net_mj is not None
    for others in ([weak], [weak, weak]):
        few = combine([seen, *others])
        assert (few.value_mj, few.u_mj, few.rounds) == (None, None, 1)
        assert few.upper_mj == pytest.approx(seen.net_mj + seen.u_net_mj)
    most = combine([seen, weak, seen])
    assert most.value_mj == pytest.approx(seen.net_mj)
    assert most.upper_mj is None
    assert combine([seen, Energy("wall"), Energy("wall")]).upper_mj is None, "no round gives a bound"


def test_scopes_never_mix() -> None:
    with pytest.raises(ValueError, match="board-in, wall"):
        combine([Energy("wall"), Energy("board-in")])
    with pytest.raises(ValueError, match="none"):
        combine([])


def told(**facts: float) -> Measurement:
    env = {f"sampler_{name}": value for name, value in facts.items()}
    return Measurement("k", "w", "0", "d", "t", Role("model", "w"), 0, "ok", env=env)


def test_what_the_sampler_costs_is_the_median_over_the_rounds() -> None:
    found = observer_effect(
        [
            told(latency=0.02, latency_u=0.004, power=0.001, power_u=0.002),
            told(),
            told(latency=0.03, latency_u=0.002, power=0.003, power_u=0.004),
        ]
    )
    assert found is not None
    assert (found.latency, found.latency_u, found.rounds) == (pytest.approx(0.025), pytest.approx(0.003), 2)
    assert found.power == pytest.approx(0.002)
    assert found.idle is None
    assert found.matters
    assert observer_effect([told()]) is None


@pytest.mark.parametrize(
    ("facts", "matters"),
    [
        ({"latency": 0.005, "latency_u": 0.001}, False),
        ({"latency": -0.012, "latency_u": 0.001}, True),
        ({"latency": 0.02, "latency_u": 0.03}, False),  # nobody can tell
        ({"latency": 0.0, "latency_u": 0.001, "power": 0.02, "power_u": 0.001}, True),
        ({"latency": 0.0, "latency_u": 0.001, "idle": 0.02, "idle_u": 0.001}, True),
    ],
)
def test_an_effect_matters_above_one_percent_and_its_own_uncertainty(facts: dict[str, float], matters: bool) -> None:
    found = observer_effect([told(**facts)])
    assert found is not None
    assert found.matters is matters
