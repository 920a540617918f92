"""A whole space as arrays, by the position of an architecture in `SearchSpace.all()`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.spaces.base import Architecture, SearchSpace

__all__ = ["SpaceArrays", "arrays_of"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_LARGEST = 200_000
"""Architectures that are listed at most."""


@dataclass(frozen=True, eq=False)
class SpaceArrays:
    """All n architectures of a space.

    Attributes:
        space: the space.
        choices: (n, edges) operators.
        classes: (n,) number of the isomorphism class, from 0.
        representatives: (n,) position of the architecture that stands for the class.
        connected: (n,) whether the output depends on the input.
    """

    space: SearchSpace
    choices: Integers
    classes: Integers
    representatives: Integers
    connected: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.choices)

    @property
    def weights(self) -> Integers:
        """(edges,) what one step of an edge's operator adds to the position."""
        ops = [self.space.ops_of(edge) for edge in range(self.space.n_edges)]
        return np.array([np.prod(ops[edge + 1 :], dtype=np.int64) for edge in range(len(ops))])

    def positions(self, architectures: Sequence[Architecture]) -> Integers:
        """(m,) positions of architectures of the space."""
        for arch in architectures:
            self.space.check(arch)
        rows = np.array([a.choices for a in architectures], dtype=np.int64).reshape(-1, self.space.n_edges)
        found: Integers = rows @ self.weights
        return found

    def scores(self, given: Mapping[Architecture, float] | Sequence[float] | Floats) -> Floats:
        """(n,) scores, one a class: that of its representative, or of its first member that has one; NaN where there
        is none, and where the output does not depend on the input.

        Args:
            given: by architecture, or (n,) by position.

        Raises:
            ConfigError: where there are not n of them, an infinite one, or none.
        """
        if isinstance(given, Mapping):
            own = np.full(len(self), np.nan)
            if given:
                own[self.positions(list(given))] = list(given.values())
        else:
            own = np.asarray(given, dtype=np.float64)
        if own.shape != (len(self),):
            raise ConfigError(f"{self.space.name} has {len(self)} architectures, but there are scores of {own.shape}")
        if np.isinf(own).any() or np.isnan(own).all():
            raise ConfigError(f"scores of {self.space.name} are finite, NaN where there is none, and not all NaN")
        of_class = np.full(int(self.classes.max()) + 1, np.nan)
        scored = np.flatnonzero(np.isfinite(own))[::-1]  # the first member is written last
        of_class[self.classes[scored]] = own[scored]
        stand_in = own[self.representatives]
        found: Floats = np.where(np.isfinite(stand_in), stand_in, of_class[self.classes])
        return np.where(self.connected, found, np.nan)


_LISTED: dict[tuple[type[SearchSpace], str, str], SpaceArrays] = {}


def arrays_of(space: SearchSpace) -> SpaceArrays:
    """List a space; every later call of the same process is given the same arrays.

    Raises:
        ConfigError: for one of more than 200,000 architectures.
    """
    key = (type(space), space.name, json.dumps(dict(space.definition), sort_keys=True))
    if key not in _LISTED:
        _LISTED[key] = _list(space)
    return _LISTED[key]


def _list(space: SearchSpace) -> SpaceArrays:
    if space.size > _LARGEST:
        raise ConfigError(f"{space.name} has {space.size} architectures, too many to list; search it with `evolve`")
    everything = list(space.all())
    names: dict[str, int] = {}
    classes = np.array([names.setdefault(space.canonical(a), len(names)) for a in everything])
    choices = np.array([a.choices for a in everything], dtype=np.int64)
    listed = SpaceArrays(space, choices, classes, classes, np.array([space.connected(a) for a in everything]))
    representatives = listed.positions([space.representative(a) for a in everything])
    return SpaceArrays(space, choices, classes, representatives, listed.connected)
