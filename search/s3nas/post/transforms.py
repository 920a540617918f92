"""What post-processing does to a network: squeeze-and-excitation added and removed, another activation [V]."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from profiler.errors import ConfigError
from search.spaces.network import Activation, Block, Network

__all__ = ["remove_se", "se_blocks", "with_activation", "with_se"]


def with_se(network: Network) -> Network:
    """The network with squeeze-and-excitation in every block: reduction 0.25 of the block's input filters, ReLU
    inside, sigmoid gate, after the depthwise part."""
    return _changed(network, range(_n_blocks(network)), True)


def remove_se(network: Network, blocks: Collection[int]) -> Network:
    """The network without squeeze-and-excitation in some of its blocks, counted from 0 over all stages; see
    `search.s3nas.gates.lowest` for those of the lowest score.

    Raises:
        ConfigError: for a block that the network does not have.
    """
    n = _n_blocks(network)
    wrong = [index for index in blocks if not 0 <= index < n]
    if wrong:
        raise ConfigError(f"the network has blocks 0 to {n - 1} and not {wrong[0]}")
    return _changed(network, blocks, False)


def with_activation(network: Network, activation: Activation) -> Network:
    """The network with "relu" or "hswish" everywhere but inside squeeze-and-excitation."""
    return replace(network, activation=activation)


def se_blocks(network: Network) -> tuple[int, ...]:
    """The blocks that have squeeze-and-excitation, counted from 0 over all stages."""
    return tuple(index for index, block in enumerate(_blocks(network)) if block.se)


def _blocks(network: Network) -> Iterator[Block]:
    return (block for stage in network.stages for block in stage.blocks)


def _n_blocks(network: Network) -> int:
    return sum(len(stage.blocks) for stage in network.stages)


def _changed(network: Network, blocks: Collection[int], se: bool) -> Network:
    chosen = frozenset(blocks)
    stages = []
    first = 0
    for stage in network.stages:
        changed = tuple(
            replace(block, se=se) if first + index in chosen else block for index, block in enumerate(stage.blocks)
        )
        stages.append(replace(stage, blocks=changed))
        first += len(stage.blocks)
    return replace(network, stages=tuple(stages))
