"""Networks that a search has to beat at the same budget: random ones of the same space, and one made by hand."""

from __future__ import annotations

import numpy as np

from profiler.errors import ConfigError
from search.s3nas.costs.blockcosts import BlockCosts
from search.spaces.base import Architecture
from search.spaces.mixconv import MixConv
from search.spaces.network import Block, Network, Stage

__all__ = ["HAND_MADE_BLOCKS", "hand_made", "random_within"]

HAND_MADE_BLOCKS = (1, 2, 3, 2, 2)
"""Blocks a stage of the network made by hand: few, as of MobileNetV2's lower half; longer stages come by scaling."""

_DRAWN = 2000
_NEAR = 0.85
"""A random architecture counts as using a budget where it costs at least this share of it."""


def random_within(
    space: MixConv, costs: BlockCosts, budget: float, n: int, rng: np.random.Generator
) -> tuple[Architecture, ...]:
    """`n` random architectures that use a budget and keep it: uniform among those that cost 0.85 to 1 of it.

    Raises:
        ConfigError: where 2,000 draws do not hold so many.
    """
    drawn = [space.sample(rng) for _ in range(_DRAWN)]
    found: dict[str, Architecture] = {}
    for arch, cost in zip(drawn, costs.costs(drawn).tolist(), strict=True):
        if _NEAR * budget <= cost <= budget and len(found) < n:
            found.setdefault(space.canonical(arch), arch)
    if len(found) < n:
        raise ConfigError(
            f"only {len(found)} of {_DRAWN} random architectures of {space.supernet.name} cost {_NEAR:g} to 1 times "
            f"{budget:g} {costs.unit} on {costs.target}; choose a budget nearer to the middle of the space"
        )
    return tuple(found.values())


def hand_made(space: MixConv) -> Network:
    """A plain network of the supernet's widths: MBConv blocks of kernel 3 and expansion 6 in every stage, so many as
    `HAND_MADE_BLOCKS` says. Scaled to a budget it is the control "scaling alone"."""
    largest = space.network(space.maximal)
    stages = tuple(
        Stage(stage.filters, stage.stride, (Block(((3, 6),)),) * min(n, len(stage.blocks)))
        for stage, n in zip(largest.stages, HAND_MADE_BLOCKS, strict=True)
    )
    return Network(
        f"{space.supernet.name}-by-hand", largest.resolution, largest.num_classes, largest.stem, stages, largest.head
    )
