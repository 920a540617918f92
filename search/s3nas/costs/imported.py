"""Tables of others as costs of a supernet's blocks: FBNet's layers on four devices, as HW-NAS-Bench published them.

The table covers the supernet "fbnet32". It is ours that a layer of FBNet is taken for the MBConv block of the same
widths, kernel and expansion: both are 1x1, depthwise and 1x1 convolutions with batch norms, the same sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from profiler.tables.formats.hwnasbench import FbnetBlock, FbnetPlace, FbnetTable
from profiler.workloads.graph import Workload
from search.s3nas.costs.blockcosts import BlockCosts
from search.spaces.mixconv import MixConv
from search.spaces.network import block_workload
from search.spaces.superblocks import Kernels, Superblock, kernels_text

__all__ = ["Coverage", "absolute_blocks", "coverage", "imported_costs"]

_NAMED = 5
"""How many of the missing blocks a message names."""


class Coverage(NamedTuple):
    """How many of the distinct blocks of a supernet a table has.

    Attributes:
        n_covered, n_total: distinct blocks (place and kernels), skipped ones not counted.
        missing: the labels of those that the table lacks, in the order of the supernet.
    """

    n_covered: int
    n_total: int
    missing: tuple[str, ...]


def coverage(superblocks: Iterable[Superblock], layers: Iterable[FbnetBlock]) -> Coverage:
    """How far the layers of one device (`FbnetTable.of`) cover the choices of superblocks."""
    known = _figures(layers)
    wanted = dict.fromkeys((_place(block), kernels) for block in superblocks for kernels in block.choices if kernels)
    missing = tuple(f"{kernels_text(kernels)} at {place}" for place, kernels in wanted if (place, kernels) not in known)
    return Coverage(len(wanted) - len(missing), len(wanted), missing)


def imported_costs(table: FbnetTable, device: str, space: MixConv) -> BlockCosts:
    """The costs of a supernet's blocks on one device of the table, in ms.

    `fixed` is what every network costs besides its blocks: FBNet's own stem, head and classifier of 100 classes,
    whatever those of the supernet, and of every block without residual the part that all of its choices share. The
    figures of such a block are relative to that part: only sums over whole networks are what was measured. On fpga the
    table leaves stem, head and classifier out, and `fixed` is 0.

    Raises:
        ConfigError: where the table lacks the device or a choice of a block, or where sums of its figures would mean
            nothing, because the supernet's blocks without residual are not those of FBNet, each once.
    """
    layers = table.of(device)
    found = coverage(space.superblocks, layers)
    if found.missing:
        named = "; ".join(found.missing[:_NAMED])
        more = f" and {len(found.missing) - _NAMED} more" if len(found.missing) > _NAMED else ""
        raise ConfigError(
            f"{table.source} lacks {len(found.missing)} of the {found.n_total} blocks of {space.supernet.name} on "
            f"{device}: {named}{more}; search the supernet fbnet32, or measure the blocks on a target of your own"
        )
    _check_relative(table, layers, space.superblocks)
    known = _figures(layers)
    choices = tuple(
        np.array([known[_place(block), kernels] if kernels else 0.0 for kernels in block.choices], dtype=np.float64)
        for block in space.superblocks
    )
    return BlockCosts(space.name, device, table.fixed_ms[device], choices, source=f"HW-NAS-Bench ({table.source})")


def absolute_blocks(table: FbnetTable, device: str) -> tuple[tuple[Workload, ...], NDArray[np.float64]]:
    """The blocks of one device whose figure stands on its own, as n Workloads and (n,) ms, to learn others from.

    Raises:
        ConfigError: where the table lacks the device.
    """
    layers = [layer for layer in table.of(device) if layer.absolute]
    workloads = tuple(
        block_workload(x.in_channels, x.out_channels, x.size, x.stride, ((x.kernel, x.expansion),)) for x in layers
    )
    return workloads, np.array([layer.latency_ms for layer in layers], dtype=np.float64)


def _figures(layers: Iterable[FbnetBlock]) -> dict[tuple[FbnetPlace, Kernels], float]:
    """ms by place and kernels of the layers without grouped 1x1 convolutions."""
    return {(x.place, ((x.kernel, x.expansion),)): x.latency_ms for x in layers if x.groups == 1}


def _place(block: Superblock) -> FbnetPlace:
    return FbnetPlace(block.in_channels, block.out_channels, block.size, block.stride)


def _check_relative(table: FbnetTable, layers: Iterable[FbnetBlock], superblocks: Iterable[Superblock]) -> None:
    """Refuse a supernet in which relative figures would not add up with the device's constant.

    Raises:
        ConfigError: naming the places.
    """
    wanted = Counter({layer.place: 1 for layer in layers if not layer.absolute})
    stand = Counter(_place(block) for block in superblocks if not block.residual)
    if stand != wanted:
        wrong = sorted(place for place in wanted | stand if wanted[place] != stand[place])
        raise ConfigError(
            f"{table.source} gives the blocks at {'; '.join(map(str, wrong))} relative to a constant in which each of "
            "them stands once, but in this supernet they do not; search the supernet fbnet32"
        )
