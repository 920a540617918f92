"""Compound scaling: one number phi makes a network deeper, wider and its images larger, up to a budget.

[V] Depth, width and resolution are multiplied by d^phi, w^phi and r^phi. A stage gets round(n * d^phi) blocks: whole
multiples repeat every block, the remaining ones go one each to the blocks with most parameters, the first block judged
as if it had stride 1 and as many inputs as outputs. Filters of stem, stages and head are rounded to a divisor, the
resolution to a multiple of 4. d = w = 1.1, r = 1.2 and divisor 16 give the published L from the published M at phi = 1
(recovered from the published shapes; not the only triple that does).

Ours: a repeat stands right behind its original; blocks are ranked at the unscaled width and without
squeeze-and-excitation, so that the same phi repeats the same blocks whatever is added later; of equals the earlier
is repeated; phi may be negative, and then the same rule keeps the blocks with most parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from profiler.errors import ConfigError
from search.s3nas.rounding import (
    depth_jumps,
    resolution_jumps,
    round_depth,
    round_resolution,
    round_width,
    width_jumps,
)
from search.spaces.network import Network, Stage, block_workload
from search.spaces.superblocks import Kernels
from search.spaces.supernet import Head, Stem

__all__ = [
    "PHI_HIGH",
    "PHI_LOW",
    "PUBLISHED",
    "Plateau",
    "Scaling",
    "default_divisor",
    "last_phi",
    "origins",
    "plateaus",
    "scale",
]

PHI_LOW, PHI_HIGH = -6.0, 6.0
"""Between which phi is sought by default: with the published coefficients about a fiftieth to fifty times the MACs."""

_MOST = 1000.0
"""Nothing is multiplied by more; phi is limited accordingly."""

_SLIVER = 1e-9
"""Jumps closer than this in phi are the same jump, rounded differently."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """The coefficients of compound scaling.

    Attributes:
        depth, width, resolution: multipliers at phi = 1, at least 1, not all 1.
        divisor: filters are multiples of it; None takes `default_divisor` of the network.
        resolution_step: the resolution is a multiple of it.

    Raises:
        ConfigError: on construction, for values that cannot scale.
    """

    depth: float = 1.1
    width: float = 1.1
    resolution: float = 1.2
    divisor: int | None = None
    resolution_step: int = 4

    def __post_init__(self) -> None:
        bases = (self.depth, self.width, self.resolution)
        if not all(math.isfinite(base) and base >= 1.0 for base in bases) or max(bases) == 1.0:
            raise ConfigError(
                f"the scaling coefficients depth, width and resolution must be at least 1 and not all 1, not "
                f"{', '.join(f'{base:g}' for base in bases)}"
            )
        if self.resolution_step < 1 or (self.divisor is not None and self.divisor < 1):
            raise ConfigError(
                f"divisor and resolution step must be at least 1, not {self.divisor} and {self.resolution_step}"
            )


PUBLISHED = Scaling(divisor=16)
"""[V] What reproduces the published L."""


@dataclass(frozen=True, slots=True)
class Plateau:
    """A stretch of phi, from `low` up to `high`, on which the scaled network is the same."""

    low: float
    high: float
    network: Network


# ---------------------------------------------------------------- one network


def default_divisor(network: Network) -> int:
    """Half the greatest common divisor of all widths: 16 for the published networks, 4 for those at a quarter of
    their width (ours: only the published 16 is known)."""
    widths = (network.stem.filters, *(stage.filters for stage in network.stages), network.head.filters)
    return max(1, math.gcd(*widths) // 2)


def scale(network: Network, phi: float, scaling: Scaling | None = None) -> Network:
    """The network scaled by phi; phi = 0 gives it back where its widths and resolution are multiples of the steps.

    Raises:
        ConfigError: where phi is no number, or one that would scale a thousandfold.
    """
    how = scaling or Scaling()
    depth, width, resolution = _multipliers(how, phi)
    divisor = how.divisor or default_divisor(network)
    stages = tuple(
        Stage(
            round_width(stage.filters, width, divisor), stage.stride, tuple(stage.blocks[i] for i in _repeats(stage, n))
        )
        for stage, n in _depths(network, depth)
    )
    return replace(
        network,
        resolution=round_resolution(network.resolution, resolution, how.resolution_step),
        stem=Stem(round_width(network.stem.filters, width, divisor), network.stem.kernel, network.stem.stride),
        stages=stages,
        head=Head(round_width(network.head.filters, width, divisor)),
    )


def origins(network: Network, phi: float, scaling: Scaling | None = None) -> tuple[int, ...]:
    """For every block of the network scaled by phi the block of the unscaled one that it is or repeats."""
    found: list[int] = []
    first = 0
    for stage, n in _depths(network, _multipliers(scaling or Scaling(), phi)[0]):
        found += [first + index for index in _repeats(stage, n)]
        first += len(stage.blocks)
    return tuple(found)


def _multipliers(how: Scaling, phi: float) -> tuple[float, float, float]:
    limit = math.log(_MOST) / math.log(max(how.depth, how.width, how.resolution))
    if not abs(phi) <= limit:
        raise ConfigError(f"phi must be a number from {-limit:.3g} to {limit:.3g} with these coefficients, not {phi}")
    return how.depth**phi, how.width**phi, how.resolution**phi


def _depths(network: Network, multiplier: float) -> Iterator[tuple[Stage, int]]:
    return ((stage, round_depth(len(stage.blocks), multiplier)) for stage in network.stages)


def _repeats(stage: Stage, depth: int) -> tuple[int, ...]:
    """The indices of the blocks that `depth` blocks of a stage are, in order."""
    if not stage.blocks:
        return ()
    whole, rest = divmod(depth, len(stage.blocks))
    sizes = [_parameters(stage.filters, block.kernels) for block in stage.blocks]
    largest = set(sorted(range(len(sizes)), key=lambda index: -sizes[index])[:rest])
    return tuple(index for index in range(len(sizes)) for _ in range(whole + (index in largest)))


@lru_cache(maxsize=4096)
def _parameters(filters: int, kernels: Kernels) -> int:
    return block_workload(filters, filters, 1, 1, kernels).params


# ---------------------------------------------------------------- all networks between two phi


def plateaus(
    network: Network, scaling: Scaling | None = None, low: float = PHI_LOW, high: float = PHI_HIGH
) -> tuple[Plateau, ...]:
    """Every distinct network between two limits of phi, in ascending order: exact, from where the roundings jump.

    Raises:
        ConfigError: where the limits are none.
    """
    how = scaling or Scaling()
    if not high - low > _SLIVER:
        raise ConfigError(f"the limits of phi must be ascending, not {low} and {high}")
    edges = [low]
    edges += [phi for phi in sorted(set(_jumps(network, how, low, high))) if low + _SLIVER < phi < high - _SLIVER]
    edges.append(high)
    found: list[Plateau] = []
    start = low
    for before, after in pairwise(edges):
        if after - before < _SLIVER:
            continue
        scaled = scale(network, 0.5 * (before + after), how)
        if found and found[-1].network == scaled:
            found[-1] = replace(found[-1], high=after)
        else:
            found.append(Plateau(start, after, scaled))
        start = after
    last = scale(network, high, how)
    if last != found[-1].network:  # a jump at the limit itself
        found.append(Plateau(high, high, last))
    return tuple(found)


def _jumps(network: Network, how: Scaling, low: float, high: float) -> Iterator[float]:
    """The phi at which some rounding may jump."""
    bounds = zip(_multipliers(how, low), _multipliers(how, high), strict=True)
    depth, width, resolution = bounds
    divisor = how.divisor or default_divisor(network)
    widths = {network.stem.filters, network.head.filters, *(stage.filters for stage in network.stages)}
    families = (
        (how.depth, (depth_jumps(n, *depth) for n in {len(stage.blocks) for stage in network.stages})),
        (how.width, (width_jumps(filters, divisor, *width) for filters in widths)),
        (how.resolution, [resolution_jumps(network.resolution, how.resolution_step, *resolution)]),
    )
    for base, jumps in families:
        if base > 1.0:
            yield from (math.log(multiplier) / math.log(base) for found in jumps for multiplier in found)


def last_phi(network: Network, plateau: Plateau, scaling: Scaling | None = None) -> float:
    """The largest float phi that gives the plateau's network."""
    inside, outside = 0.5 * (plateau.low + plateau.high), plateau.high + _SLIVER
    while (middle := 0.5 * (inside + outside)) not in (inside, outside):
        if scale(network, middle, scaling) == plateau.network:
            inside = middle
        else:
            outside = middle
    return inside
