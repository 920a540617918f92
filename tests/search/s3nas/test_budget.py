"""The largest phi within a budget, held against brute force; and its correction by measurements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.s3nas.budget import CostOf, correct_phi, solve_budget
from search.s3nas.post.transforms import with_se
from search.s3nas.scaling import Scaling, plateaus, scale
from search.spaces.network import Block, Network, Stage, network_workload
from search.spaces.supernet import Head, Stem

NETWORK = Network(
    "made-up", 96, 10, Stem(16, 3, 2),
    (Stage(16, 2, (Block(((3, 2),)),)), Stage(32, 2, (Block(((3, 4),)), Block(((5, 6),)), Block(((3, 2),))))),
    Head(320),
)  # fmt: skip
LOW, HIGH = -3.0, 4.0


def one_by_one(cost: Callable[[Network], float]) -> CostOf:
    return lambda networks: np.array([cost(network) for network in networks], dtype=np.float64)


def macs(network: Network) -> float:
    return network_workload(network).macs / 1e6


def sawtooth(network: Network) -> float:
    """Rises with the resolution, and falls wherever resolution or head reach a size that the device likes."""
    return network.resolution - 3.0 * (network.resolution % 16 == 0) - 5.0 * (network.head.filters % 16)


def chaotic(network: Network) -> float:
    sizes = [network.resolution, network.head.filters, *(len(stage.blocks) for stage in network.stages)]
    return float(np.random.default_rng(sizes).uniform(1.0, 2.0))


@pytest.mark.parametrize("cost", [macs, sawtooth, chaotic])
def test_the_answer_is_that_of_brute_force(cost: Callable[[Network], float]) -> None:
    grid = np.linspace(LOW, HIGH, 3001)
    costs = np.array([cost(scale(NETWORK, float(phi))) for phi in grid])
    for budget in np.quantile(costs, [0.02, 0.2, 0.4, 0.6, 0.8, 0.95]):
        fitting = np.flatnonzero(costs <= budget)
        if fitting[-1] == len(grid) - 1:
            continue
        found = solve_budget(NETWORK, one_by_one(cost), float(budget), low=LOW, high=HIGH)
        assert grid[fitting[-1]] <= found.phi < grid[fitting[-1] + 1]
        assert scale(NETWORK, found.phi) == found.network == found.final
        assert found.cost == cost(found.network) <= budget
        assert found.plateau[0] <= found.phi <= found.plateau[1] + 1e-9


def test_the_grid_of_brute_force_sees_more_than_one_crossing() -> None:
    """Without this the test above would say nothing of costs that do not rise."""
    crossings = [
        int(np.count_nonzero(np.diff([cost(p.network) <= budget for p in plateaus(NETWORK, None, LOW, HIGH)])))
        for cost, budget in ((macs, 10.0), (sawtooth, 90.0), (chaotic, 1.3))
    ]
    assert crossings[0] == 1
    assert crossings[1] > 2
    assert crossings[2] > 2


def test_it_is_the_network_to_come_that_fits() -> None:
    def parameters(network: Network) -> float:
        return network_workload(network).params / 1e3

    plain = solve_budget(NETWORK, one_by_one(parameters), 45.0)
    found = solve_budget(NETWORK, one_by_one(parameters), 45.0, post=with_se)
    assert found.final == with_se(found.network)
    assert found.network == scale(NETWORK, found.phi)
    assert parameters(found.final) == found.cost <= 45.0
    assert found.phi < plain.phi


def test_networks_are_priced_in_two_calls_and_those_far_below_not_at_all() -> None:
    calls: list[int] = []

    def cost_of(networks: Sequence[Network]) -> NDArray[np.float64]:
        calls.append(len(networks))
        return one_by_one(macs)(networks)

    found = solve_budget(NETWORK, cost_of, 50.0, low=LOW, high=HIGH)
    assert len(calls) == 2
    assert sum(calls) == found.n_priced < 0.6 * found.n_networks


def test_budgets_out_of_reach_name_the_bounds() -> None:
    with pytest.raises(ConfigError, match=r"no network fits 1e-06 GMACs: the cheapest between phi -3 and 4 costs"):
        solve_budget(NETWORK, one_by_one(macs), 1e-6, low=LOW, high=HIGH, unit="GMACs")
    with pytest.raises(ConfigError, match=r"at the limit phi 4, costs .* leaves room in the budget of 1e\+06 ms"):
        solve_budget(NETWORK, one_by_one(macs), 1e6, low=LOW, high=HIGH)
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match="positive number"):
            solve_budget(NETWORK, one_by_one(macs), wrong)


def test_a_cost_that_is_unknown_is_an_error_where_it_decides() -> None:
    def above(limit: int) -> Callable[[Network], float]:
        return lambda network: macs(network) if network.resolution < limit else math.nan

    def below(limit: int) -> Callable[[Network], float]:
        return lambda network: macs(network) if network.resolution >= limit else math.nan

    with pytest.raises(ConfigError, match="is not known, such as"):
        solve_budget(NETWORK, one_by_one(above(100)), 10.0)
    with pytest.raises(ConfigError, match="is not known, such as"):
        solve_budget(NETWORK, one_by_one(below(60)), 1e-6)
    assert solve_budget(NETWORK, one_by_one(below(60)), 50.0) is not None  # unknown far below: does not decide


# ---------------------------------------------------------------- correction by measurements


def test_a_prediction_that_is_off_is_corrected() -> None:
    measured: list[Network] = []

    def measure(network: Network) -> float:
        measured.append(network)
        return 1.25 * macs(network)

    found = correct_phi(NETWORK, one_by_one(macs), measure, 25.0, tolerance=0.01)
    assert [m.scaled.final for m in found.rounds] == measured
    assert found.rounds[0].measured > 25.0
    assert found.fits
    assert found.best.scaled.final == solve_budget(NETWORK, one_by_one(lambda n: 1.25 * macs(n)), 25.0).final
    assert found.best.ratio == pytest.approx(0.8)


def test_a_measurement_within_the_tolerance_ends_it() -> None:
    found = correct_phi(NETWORK, one_by_one(macs), macs, 20.0, tolerance=0.5)
    assert len(found.rounds) == 1
    assert found.fits


def test_a_network_is_not_measured_twice() -> None:
    found = correct_phi(NETWORK, one_by_one(macs), macs, 20.0, tolerance=0.0, rounds=10)
    assert len(found.rounds) == 1


def test_the_best_is_the_largest_that_fits() -> None:
    """The second network fits with room to spare, the third is too large again: the second is kept."""
    answers = iter([30.0, 9.0, 26.0])
    found = correct_phi(NETWORK, one_by_one(macs), lambda network: next(answers), 25.0, tolerance=0.01)
    assert [m.measured for m in found.rounds] == [30.0, 9.0, 26.0]
    assert found.best is found.rounds[1]
    assert found.fits


def test_where_none_fits_the_least_miss_is_told() -> None:
    answers = iter([60.0, 40.0, 50.0])
    found = correct_phi(NETWORK, one_by_one(macs), lambda network: next(answers), 20.0, tolerance=0.01)
    assert found.best.measured == 40.0
    assert not found.fits


def test_a_correction_beyond_the_limits_stops_at_what_fits() -> None:
    def cheaper(network: Network) -> float:
        return macs(network) / 1e4

    assert correct_phi(NETWORK, one_by_one(macs), cheaper, 20.0).fits


def test_where_no_network_is_left_the_least_miss_is_told() -> None:
    found = correct_phi(NETWORK, one_by_one(macs), lambda network: 1e6 * macs(network), 20.0, rounds=20)
    assert not found.fits
    assert found.best is found.rounds[-1]


def test_a_prediction_that_is_far_off_beyond_the_table_does_not_rule_out_small_networks() -> None:
    """Right for small networks, one fifth of the truth for large ones: a fifth of the budget would leave no network."""
    cheapest = macs(scale(NETWORK, -6.0))
    budget = 4.0 * cheapest

    def measure(network: Network) -> float:
        return macs(network) * (5.0 if macs(network) > budget / 1.5 else 1.0)

    found = correct_phi(NETWORK, one_by_one(macs), measure, budget)
    assert found.rounds[0].measured > 4.0 * budget
    assert found.fits
    assert found.best.measured > cheapest


def test_a_measurement_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="gave nan ms"):
        correct_phi(NETWORK, one_by_one(macs), lambda network: math.nan, 20.0)
    with pytest.raises(ConfigError, match="one round at least"):
        correct_phi(NETWORK, one_by_one(macs), macs, 20.0, rounds=0)


def test_other_coefficients_are_used() -> None:
    only_depth = Scaling(depth=1.2, width=1.0, resolution=1.0)
    found = solve_budget(NETWORK, one_by_one(macs), 2.0 * macs(NETWORK), only_depth, high=10.0)
    assert found.network.resolution == 96
    assert found.network.stem == NETWORK.stem
