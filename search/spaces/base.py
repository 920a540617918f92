"""Search spaces: which architectures exist, how they vary, and the one network that each of them is.

A space writes its architectures down once, as Workloads; deployment, measurement, pricing, training and scoring
all start from `SearchSpace.workload`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

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
    """A finite space of architectures: `n_edges` places that hold one of `n_ops` operators each.

    An architecture is encoded as a real matrix alpha (n_edges x n_ops) whose row-wise argmax names the operators
    (`decode`). Only the argmax ever matters, and a row that is drawn anew from U[0, 1) has a uniform argmax that
    is independent of what stood there; so `sample`, `mutate` and `crossover` carry the decoded choices, which is
    the same random process as carrying alpha itself.

    A subclass sets `name`, `n_edges` and `n_ops` and writes `assemble` and `canonical`.
    """

    name: str
    n_edges: int
    n_ops: int

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

    @property
    def size(self) -> int:
        """The number of architectures."""
        return int(self.n_ops**self.n_edges)

    def all(self) -> Iterator[Architecture]:
        """Every architecture, the first edge varying slowest."""
        for index in range(self.size):
            yield self.at(index)

    def at(self, index: int) -> Architecture:
        """The architecture at a position of `all()`."""
        if not 0 <= index < self.size:
            raise ConfigError(f"{self.name} has no architecture {index}: its indices run from 0 to {self.size - 1}")
        choices: list[int] = []
        for _ in range(self.n_edges):
            index, choice = divmod(index, self.n_ops)
            choices.append(choice)
        return Architecture(self.name, tuple(reversed(choices)))

    def architecture(self, choices: tuple[int, ...]) -> Architecture:
        """An architecture from its choices, checked.

        Raises:
            ConfigError: where the number of choices or a choice is out of range.
        """
        if len(choices) != self.n_edges or not all(0 <= c < self.n_ops for c in choices):
            raise ConfigError(f"{self.name} takes {self.n_edges} choices from 0 to {self.n_ops - 1}, not {choices}")
        return Architecture(self.name, tuple(int(c) for c in choices))

    def check(self, arch: Architecture) -> None:
        """Raise ConfigError unless `arch` belongs to this space."""
        if arch.space != self.name:
            raise ConfigError(f"an architecture of {arch.space!r} was given to the space {self.name!r}")

    def decode(self, alpha: NDArray[np.float64]) -> Architecture:
        """The architecture that a real matrix of shape (n_edges, n_ops) encodes: the argmax of every row."""
        if alpha.shape != (self.n_edges, self.n_ops):
            raise ConfigError(f"{self.name} is encoded as ({self.n_edges}, {self.n_ops}), not {alpha.shape}")
        return Architecture(self.name, tuple(int(c) for c in alpha.argmax(axis=1)))

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
