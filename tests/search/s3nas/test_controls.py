"""Controls of the search: random networks of a budget, and one made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.s3nas.controls import hand_made, random_within
from search.s3nas.costs.blockcosts import block_costs
from search.spaces.mixconv import MixConv
from search.spaces.network import network_workload
from search.spaces.supernet import read_supernet

SPACE = MixConv(read_supernet("graded32"))
COSTS = block_costs(SPACE, lambda works: np.array([w.macs / 1e6 for w in works]), "macs")


def test_random_architectures_use_the_budget_and_keep_it() -> None:
    budget = float(np.median(COSTS.costs([SPACE.sample(np.random.default_rng(i)) for i in range(50)])))
    found = random_within(SPACE, COSTS, budget, 5, np.random.default_rng(1))
    assert len({SPACE.canonical(a) for a in found}) == 5
    for arch in found:
        assert 0.85 * budget <= COSTS.cost(arch) <= budget
    assert found != random_within(SPACE, COSTS, budget, 5, np.random.default_rng(2))


def test_a_budget_that_random_architectures_do_not_meet_is_refused() -> None:
    with pytest.raises(ConfigError, match="only 0 of 2000"):
        random_within(SPACE, COSTS, COSTS.smallest * 1.01, 1, np.random.default_rng(0))


def test_the_network_made_by_hand_is_plain() -> None:
    network = hand_made(SPACE)
    assert [len(s.blocks) for s in network.stages] == [1, 2, 3, 2, 2]
    assert {b.text for s in network.stages for b in s.blocks} == {"k3 e6"}
    assert [s.filters for s in network.stages] == [8, 16, 32, 40, 64]
    assert network_workload(network).macs < network_workload(SPACE.network(SPACE.maximal)).macs
