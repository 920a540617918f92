"""Options of post-processing and what each costs."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.s3nas.costs.models import measured_costs
from search.s3nas.post.options import OPTIONS, Option, all_options, option_costs
from search.s3nas.post.transforms import se_blocks, with_activation, with_se
from search.spaces.network import Block, Network, Stage, network_workload
from search.spaces.supernet import Head, Stem

NETWORK = Network(
    "made-up", 16, 4, Stem(8, 3, 1),
    (Stage(8, 1, (Block(((3, 2),)), Block(((3, 2), (5, 2))), Block(((3, 2),)))), Stage(16, 2, (Block(((5, 2),)),))),
    Head(16),
)  # fmt: skip


def test_the_options_are_named_and_the_plainest_is_first() -> None:
    names = ["plain", "hswish", "se -50%", "se -50% + hswish", "se", "se + hswish"]
    assert [option.name for option in OPTIONS] == names
    assert [option.name for option in all_options((0.0, 0.25, 1.0, 0.25), ("relu",))] == ["plain", "se -25%", "se"]


def test_an_option_replaces_what_the_network_had() -> None:
    decorated = with_activation(with_se(NETWORK), "hswish")
    assert Option().applied(decorated) == NETWORK
    assert Option("hswish").applied(NETWORK) == with_activation(NETWORK, "hswish")
    assert Option("hswish", 0.0).applied(NETWORK) == decorated


def test_pruning_removes_the_lowest_scores_and_spares_the_unknown() -> None:
    half = Option(removed=0.5)
    assert se_blocks(half.applied(NETWORK, np.array([0.1, 0.4, 0.2, 0.3]))) == (1, 3)
    assert se_blocks(half.applied(NETWORK, np.array([np.nan, 0.4, np.nan, np.nan]))) == (0, 2, 3)
    with pytest.raises(ConfigError, match="gates of a trained network"):
        half.applied(NETWORK)
    with pytest.raises(ConfigError, match="0 to 1"):
        Option(removed=1.5)


def test_a_table_of_what_options_cost() -> None:
    def measure(network: Network) -> float:
        return 2.0 + (network.activation == "hswish") + 0.25 * len(se_blocks(network))

    found = {row.option.name: row for row in option_costs(NETWORK, measured_costs(measure))}
    assert list(found) == ["plain", "hswish", "se", "se + hswish"]
    assert [row.cost for row in found.values()] == [2.0, 3.0, 3.0, 4.0]
    assert [row.extra for row in found.values()] == [0.0, 0.5, 0.5, 1.0]
    assert found["plain"].params == network_workload(NETWORK).params < found["se"].params
    assert found["hswish"].macs == network_workload(NETWORK).macs < found["se"].macs
    only = option_costs(NETWORK, measured_costs(measure), [Option("hswish")])
    assert [row.option.name for row in only] == ["plain", "hswish"]
