"""Search spaces: which architectures exist, how they vary, and the one network that each of them is.

A space writes its architectures down once, as Workloads; deployment, measurement, pricing, training and scoring
all start from `SearchSpace.workload`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from profiler.workloads.graph import Ref, Workload

__all__ = ["Architecture", "SearchSpace", "Taps"]

Taps = tuple[Ref, ...]
"""The tensors that are compared with a reference: after stage 1, after stage 2, after the last BN-ReLU."""


@dataclass(frozen=True, slots=True, order=True)
class Architecture:
    """One point of a space.

    Attributes:
        space: the name of the space it belongs to.
        choices: for every edge (or layer) the index of its operator.
    """

    space: str
    choices: tuple[int, ...]


class SearchSpace(ABC):
    """A finite space of architectures: `n_edges` places that hold one of at most `n_ops` operators each.

    An architecture is encoded as a real matrix alpha (n_edges x n_ops) whose row-wise argmax names the operators
    (`decode`). Only the argmax ever matters, and a row that is drawn anew from U[0, 1) has a uniform argmax that
    is independent of what stood there; so `sample`, `mutate` and `crossover` carry the decoded choices, which is
    the same random process as carrying alpha itself. Where an edge has fewer than `n_ops` operators, the rest of
    its row is not looked at.

    A subclass sets `name`, `n_edges` and `n_ops` and writes `assemble` and `canonical`; one whose edges differ
    writes `ops_of` too.
    """

    name: str
    n_edges: int
    n_ops: int

    def ops_of(self, edge: int) -> int:
        """How many operators an edge may hold; by default `n_ops` everywhere."""
        return self.n_ops

    @abstractmethod
    def assemble(self, arch: Architecture, **macro: int) -> tuple[Workload, Taps]:
        """The network of an architecture and its taps.

        Args:
            arch: an architecture of this space.
            macro: sizes of the network around the searched part (documented by each space).

        Raises:
            ConfigError: for an architecture of another space or a macro parameter that the space does not know.
        """

    @abstractmethod
    def canonical(self, arch: Architecture) -> str:
        """A name of the isomorphism class: equal exactly for architectures that compute the same function."""

    def representative(self, arch: Architecture) -> Architecture:
        """The member of the isomorphism class that stands for all of it when the class is scored."""
        return arch

    def essential(self, arch: Architecture) -> Architecture:
        """The representative of the architecture without what does not carry anything from input to output, where a
        space holds such: the network that is worth as much, with less of it."""
        return self.representative(arch)

    def connected(self, arch: Architecture) -> bool:
        """Whether the network's output depends on its input; spaces that hold others say which."""
        self.check(arch)
        return True

    def describe(self, arch: Architecture) -> str:
        """The architecture as people write it."""
        return "-".join(str(c) for c in arch.choices)

    def workload(self, arch: Architecture, **macro: int) -> Workload:
        """The network of an architecture, its logits as the only output."""
        return self.assemble(arch, **macro)[0]

    def taps(self, arch: Architecture, **macro: int) -> Taps:
        """References into `workload(arch, **macro)`: after stage 1, after stage 2, after the last BN-ReLU."""
        return self.assemble(arch, **macro)[1]

    def compact(self, arch: Architecture) -> Workload:
        """A network, as small as may be, that has all the kernels of `workload(arch)`; by default that itself."""
        return self.workload(arch)

    def covering(self, arch: Architecture, rng: np.random.Generator) -> Workload:
        """A network whose kernels are measured when the space is; by default `compact(arch)`.

        Args:
            arch: a random architecture.
            rng: for a space whose networks vary beyond their architectures, in width or resolution.
        """
        return self.compact(arch)

    def block_workloads(self) -> tuple[Workload, ...]:
        """The distinct parts (blocks, stem, head) of which every network of the space is a sequence; by default none:
        the space is not one of blocks."""
        return ()

    def reduced(self, channels: int, cells_per_stage: int, image_size: int, num_classes: int) -> dict[str, int]:
        """The macro parameters of the network in which candidates are scored and finalists trained briefly.

        Args:
            channels, cells_per_stage: the width and depth asked for; a space whose widths or depths are part of its
                architectures leaves them as they are.
            image_size, num_classes: of the images that it will see; always followed.
        """
        return {
            "cells_per_stage": cells_per_stage,
            "channels": channels,
            "num_classes": num_classes,
            "image_size": image_size,
        }

    @property
    def definition(self) -> Mapping[str, Any]:
        """What the space is beyond its name, as JSON holds it; part of the identity of all that is kept about it.

        Empty where the name says everything.
        """
        return {}

    @property
    def edge_groups(self) -> tuple[int, ...]:
        """For every edge the group that it belongs to: edges of one group hold the same operators in the same
        surroundings, so that what an operator costs does not depend on which of them holds it. By default each is
        its own."""
        return tuple(range(self.n_edges))

    @property
    def size(self) -> int:
        """The number of architectures."""
        return prod(self.ops_of(edge) for edge in range(self.n_edges))

    def all(self) -> Iterator[Architecture]:
        """Every architecture, the first edge varying slowest."""
        for index in range(self.size):
            yield self.at(index)

    def at(self, index: int) -> Architecture:
        """The architecture at a position of `all()`."""
        if not 0 <= index < self.size:
            raise ConfigError(f"{self.name} has no architecture {index}: its indices run from 0 to {self.size - 1}")
        choices: list[int] = []
        for edge in reversed(range(self.n_edges)):
            index, choice = divmod(index, self.ops_of(edge))
            choices.append(choice)
        return Architecture(self.name, tuple(reversed(choices)))

    def architecture(self, choices: tuple[int, ...]) -> Architecture:
        """An architecture from its choices, checked.

        Raises:
            ConfigError: where the number of choices or a choice is out of range.
        """
        if len(choices) != self.n_edges:
            raise ConfigError(f"{self.name} takes {self.n_edges} choices, not {len(choices)}")
        for edge, choice in enumerate(choices):
            if not 0 <= choice < self.ops_of(edge):
                raise ConfigError(
                    f"choice {edge + 1} of an architecture of {self.name} is 0 to {self.ops_of(edge) - 1}, not {choice}"
                )
        return Architecture(self.name, tuple(int(c) for c in choices))

    def check(self, arch: Architecture) -> None:
        """Raise ConfigError unless `arch` belongs to this space."""
        if arch.space != self.name:
            raise ConfigError(f"an architecture of {arch.space!r} was given to the space {self.name!r}")

    def decode(self, alpha: NDArray[np.float64]) -> Architecture:
        """The architecture that a real matrix of shape (n_edges, n_ops) encodes: the argmax of every row."""
        if alpha.shape != (self.n_edges, self.n_ops):
            raise ConfigError(f"{self.name} is encoded as ({self.n_edges}, {self.n_ops}), not {alpha.shape}")
        return Architecture(self.name, tuple(int(row[: self.ops_of(e)].argmax()) for e, row in enumerate(alpha)))

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A uniformly random architecture: alpha drawn from U[0, 1), decoded."""
        return self.decode(rng.random((self.n_edges, self.n_ops)))

    def mutate(self, arch: Architecture, rng: np.random.Generator, rate: float) -> Architecture:
        """Every row of alpha drawn anew with probability `rate` (the operator may come out the same)."""
        self.check(arch)
        hit = rng.random(self.n_edges) < rate
        fresh = self.sample(rng).choices
        return Architecture(self.name, tuple(fresh[e] if hit[e] else c for e, c in enumerate(arch.choices)))

    def crossover(self, a: Architecture, b: Architecture, rng: np.random.Generator) -> Architecture:
        """Uniform crossover by row: every edge from either parent with probability one half."""
        self.check(a)
        self.check(b)
        first = rng.random(self.n_edges) < 0.5
        return Architecture(
            self.name, tuple(x if f else y for x, y, f in zip(a.choices, b.choices, first, strict=True))
        )
