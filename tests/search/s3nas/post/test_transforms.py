"""Squeeze-and-excitation added and removed; the activation changed."""

from __future__ import annotations

import pytest

from profiler.errors import ConfigError
from search.s3nas.post.transforms import remove_se, se_blocks, with_activation, with_se
from search.spaces.network import Block, Network, Stage, network_workload, without_se
from search.spaces.supernet import Head, Stem

NETWORK = Network(
    "made-up", 16, 4, Stem(8, 3, 1),
    (Stage(8, 1, (Block(((3, 2),)), Block(((3, 2), (5, 2))))), Stage(16, 2, (Block(((5, 2),)),))), Head(16),
)  # fmt: skip


def test_gates_stand_in_every_block_and_can_be_taken_out_of_some() -> None:
    gated = with_se(NETWORK)
    assert se_blocks(NETWORK) == ()
    assert se_blocks(gated) == (0, 1, 2)
    assert se_blocks(remove_se(gated, (2, 0))) == (1,)
    assert se_blocks(remove_se(gated, (2,))) == (0, 1)
    assert remove_se(gated, (0, 1, 2)) == NETWORK == without_se(gated)
    sigmoids = [op.kind for op in network_workload(remove_se(gated, [1])).ops].count("sigmoid")
    assert sigmoids == 2
    with pytest.raises(ConfigError, match="blocks 0 to 2 and not 3"):
        remove_se(gated, (3,))


def test_the_activation_changes_everywhere_but_inside_gates() -> None:
    kinds = [op.kind for op in network_workload(with_activation(with_se(NETWORK), "hswish")).ops]
    assert kinds.count("hswish") == 1 + 3 + 4 + 1  # stem, expansions, depthwise branches, head
    assert kinds.count("relu") == 3  # one in every gate
    assert with_activation(with_activation(NETWORK, "hswish"), "relu") == NETWORK
