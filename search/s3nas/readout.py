"""From a supernet to the network that it has chosen, with the supernet's weights.

While searching, what is not chosen does not vanish: a channel whose depthwise kernel is masked leaves its convolution
as 0, its batch norm and activation make a constant of that, and the 1x1 convolution behind it adds a constant to every
output channel; a skipped block adds a constant to the residual stream. Here the network is built without these channels
and blocks, and the constants are taken out of the running means of the batch norms that meet them next: that of the
block's own last convolution, and, for a skipped block, those of all consumers (1x1 convolutions, so that a constant a
channel stays one) until a block without residual ends the stream. The network so computes what the supernet computes,
exactly up to rounding. It is also what training does to them: with the statistics of the batch a batch norm subtracts
such constants itself, so that dropped channels and skipped blocks have no effect on the training of the others. (With
running statistics they would have, where those lag behind a change of the choices.)

[V] Read-out by the final indicators, stopping at the first 0; skipped blocks dropped. Ours: carrying the weights over,
which the paper does not need, as it trains the network from scratch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from profiler.workloads.builders.torch import module_weights
from profiler.workloads.graph import Workload
from profiler.workloads.weights import Weights
from search.s3nas.superkernel import branch_places, conv_widths
from search.s3nas.supernet import SupernetModule
from search.spaces.network import BN_EPS, Network, Places, assemble
from search.spaces.superblocks import Superblock

__all__ = ["read_out"]

Floats = NDArray[np.float64]
Channels = NDArray[np.int64]
Arrays = Mapping[str, Floats]


def read_out(supernet: SupernetModule) -> tuple[Network, Weights]:
    """The network at the supernet's present choices, and its weights for `network_workload(network)`.

    In eval mode its logits are the supernet's, up to rounding. The supernet is left as it is.
    """
    space, module, largest = supernet.space, supernet.module, supernet.network
    network = space.network(supernet.architecture(), largest.resolution, largest.num_classes)
    workload, places = assemble(network)
    reader = _Reader(
        _Side(module.workload, supernet.places, _as(np.float64, module_weights(module))), _Side(workload, places, {})
    )
    for superblock, choices in zip(space.superblocks, supernet.branch_choices().tolist(), strict=True):
        reader.block(superblock, tuple(choices))
    reader.ends()
    return network, _as(np.float32, reader.target.weights)


class _BlockOps(NamedTuple):
    """The convolutions of a block; the batch norm of each is the op behind it."""

    expand: int
    depthwise: tuple[int, ...]
    project: int


@dataclass(slots=True)
class _Side:
    """A network whose weights are read or written."""

    workload: Workload
    places: Places
    weights: dict[int, dict[str, Floats]]

    def ops(self, block: int) -> _BlockOps:
        addition, output = self.places.additions[block], self.places.outputs[block][0]
        norm = output if addition is None else self.workload.ops[addition].inputs[0][0]
        return _BlockOps(self.places.blocks[block][0], self.places.depthwise[block], norm - 1)


@dataclass(slots=True)
class _Reader:
    """Carries weights over, block by block.

    Attributes:
        source, target: the largest network and the one that is read out.
        seen, written: blocks of them that are done.
        stream: by how much the supernet's residual stream is above the network's, channel by channel; None is nowhere.
    """

    source: _Side
    target: _Side
    seen: int = 0
    written: int = 0
    stream: Floats | None = None

    def block(self, superblock: Superblock, choices: tuple[int, ...]) -> None:
        """Carry over the next block of the supernet, or what is left of it where it is skipped."""
        weights, ops = self.source.weights, self.source.ops(self.seen)
        self.seen += 1
        norms = [weights[conv + 1] for conv in ops.depthwise]
        norm = {name: np.concatenate([n[name] for n in norms]) for name in norms[0]}
        starts = [0, *accumulate(width for _, width in conv_widths(superblock))]
        taken = _taken(superblock, choices)
        channels = {k: np.concatenate([starts[conv] + own for conv, own in parts]) for k, parts in taken.items()}
        kept = np.concatenate([np.zeros(0, np.int64), *channels.values()])
        gone = np.setdiff1d(np.arange(starts[-1]), kept)
        # what the channels that are gone add behind the block's last convolution
        silent = np.maximum(_normed(norm, np.zeros(starts[-1])), 0.0)[gone]
        constant = weights[ops.project]["weight"][:, gone, 0, 0] @ silent
        if not taken:
            added = _normed(weights[ops.project + 1], constant)
            self.stream = added if self.stream is None else self.stream + added
            return
        here = self.target.ops(self.written)
        self.written += 1
        self._consume(ops.expand, here.expand, kept)
        for target, (kernel, parts) in zip(here.depthwise, taken.items(), strict=True):
            cuts = [_centre(weights[ops.depthwise[conv]]["weight"][own], kernel) for conv, own in parts]
            self.target.weights[target] = {"weight": np.concatenate(cuts)}
            self.target.weights[target + 1] = {name: array[channels[kernel]] for name, array in norm.items()}
        self.target.weights[here.project] = {"weight": weights[ops.project]["weight"][:, kept]}
        self.target.weights[here.project + 1] = _lowered(weights[ops.project + 1], constant)
        if not superblock.residual:
            self.stream = None

    def ends(self) -> None:
        """Carry over stem, head and classifier."""
        for side_op in (1, 2):  # the stem's convolution and its batch norm, behind the input
            self.target.weights[side_op] = self.source.weights[side_op]
        source, target = self.source.places, self.target.places
        self._consume(source.features[0] - 2, target.features[0] - 2, slice(None))
        self.target.weights[target.classifier] = self.source.weights[source.classifier]

    def _consume(self, source: int, target: int, channels: Channels | slice) -> None:
        """A 1x1 convolution that reads the stream, and its batch norm, cut to some output channels."""
        weight = self.source.weights[source]["weight"][channels]
        norm = {name: array[channels] for name, array in self.source.weights[source + 1].items()}
        self.target.weights[target] = {"weight": weight}
        self.target.weights[target + 1] = (
            norm if self.stream is None else _lowered(norm, weight[:, :, 0, 0] @ self.stream)
        )


def _taken(superblock: Superblock, choices: tuple[int, ...]) -> dict[int, list[tuple[int, Channels]]]:
    """By chosen kernel, ascending: the channels that have it, as (convolution, its channels) in branch order."""
    found: dict[int, list[tuple[int, Channels]]] = {}
    for branch, place in enumerate(branch_places(superblock)):
        choice = superblock.branch_choices(branch)[choices[branch]]
        if choice is not None:
            kernel, expansion = choice
            own = np.arange(place.first, place.first + expansion * superblock.in_channels)
            found.setdefault(kernel, []).append((place.conv, own))
    return dict(sorted(found.items()))


def _centre(weight: Floats, kernel: int) -> Floats:
    """The kernel x kernel centre of larger kernels."""
    rim = (weight.shape[-1] - kernel) // 2
    return weight[:, :, rim : rim + kernel, rim : rim + kernel]


def _normed(norm: Arrays, x: Floats) -> Floats:
    """What a batch norm makes of a value per channel, by its running statistics."""
    scale = norm["weight"] / np.sqrt(norm["running_var"] + BN_EPS)
    return (x - norm["running_mean"]) * scale + norm["bias"]


def _lowered(norm: Arrays, constant: Floats) -> dict[str, Floats]:
    """The batch norm for inputs that lack a constant per channel."""
    return {**norm, "running_mean": norm["running_mean"] - constant}


def _as(dtype: DTypeLike, weights: Mapping[int, Mapping[str, NDArray[Any]]]) -> dict[int, dict[str, NDArray[Any]]]:
    return {
        index: {name: np.ascontiguousarray(array, dtype) for name, array in arrays.items()}
        for index, arrays in weights.items()
    }
