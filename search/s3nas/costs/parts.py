"""The parts that a network's cost is the sum of: stem, blocks and head, each a Workload of its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from profiler.workloads.graph import Workload
from search.spaces.network import BlockPlace, Network, head_workload, places_of, stem_workload

__all__ = ["Part", "parts_of"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a network: what tells it from others without building it, and how it is built."""

    spot: Hashable
    build: Callable[[], Workload]


def parts_of(network: Network) -> tuple[Part, ...]:
    """Stem, blocks and head, in order; parts of equal spots are equal Workloads."""
    places = places_of(network)
    last = places[-1]
    size = -(-last.size // last.stride)
    stem = ("stem", network.stem, network.resolution, network.activation)
    head = ("head", last.out_channels, size, network.head, network.num_classes, network.activation)
    return (
        Part(stem, lambda: stem_workload(network)),
        *map(_block, places),
        Part(head, lambda: head_workload(network)),
    )


def _block(place: BlockPlace) -> Part:
    return Part(place, lambda: place.workload)
