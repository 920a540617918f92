"""Blocks that scaling and post-processing may ask the cost of: a sample to be measured beside the supernet's own.

A table of the supernet's blocks knows one width, one resolution, one activation and no squeeze-and-excitation. What a
scaled network costs is a regressor's answer, and a regressor has to have seen other sizes: these blocks are what it
learns from.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from profiler.workloads.graph import Workload
from search.s3nas.scaling import Scaling, scale
from search.spaces.mixconv import MixConv
from search.spaces.network import Network, head_workload, places_of, stem_workload

__all__ = ["scaled_blocks"]

_PHI = (-1.0, 4.0)


def scaled_blocks(space: MixConv, n: int, seed: int, scaling: Scaling | None = None) -> tuple[Workload, ...]:
    """`n` distinct blocks of random networks of a space, scaled by a random phi from -1 to 4, half of them with h-swish
    and half of the blocks with squeeze-and-excitation; every tenth is a stem and every tenth a head.

    Args:
        space: the supernet's space.
        n: how many.
        seed: of the choice.
        scaling: the coefficients.
    """
    rng = np.random.default_rng([seed, 1024])
    known = {workload.key for workload in space.block_workloads()}
    found: dict[str, Workload] = {}
    while len(found) < n:
        workload = _part(_network(space, rng, scaling), len(found) % 10, rng)
        if workload.key not in known:
            found.setdefault(workload.key, workload)
    return tuple(found.values())


def _network(space: MixConv, rng: np.random.Generator, scaling: Scaling | None) -> Network:
    found = scale(space.network(space.sample(rng)), float(rng.uniform(*_PHI)), scaling)
    return replace(found, activation="hswish") if rng.random() < 0.5 else found


def _part(network: Network, turn: int, rng: np.random.Generator) -> Workload:
    if turn == 0:
        return stem_workload(network)
    if turn == 1:
        return head_workload(network)
    places = places_of(network)
    place = places[int(rng.integers(len(places)))]
    return replace(place, block=replace(place.block, se=bool(rng.random() < 0.5))).workload
