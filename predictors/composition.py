"""What networks are made of, as numbers: where their time goes, and what they move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictors.features import family, kernel_features
from predictors.population import Population
from profiler.workloads.fusion import Kernel

__all__ = ["COMPOSITION", "FAMILIES", "LEAST_MS", "Composition", "compositions", "population_composition"]

FloatArray = NDArray[np.float64]

FAMILIES = ("conv", "depthwise", "linear", "pool", "elementwise")
_SORTS = ("pointwise", "spatial", "arithmetic", "move")
"""Convolutions and elementwise kernels told apart: by a window of one place or more; by whether values are computed or
only put elsewhere."""

_MOVES = frozenset({"concat", "split", "flatten", "reshape", "transpose"})

COMPOSITION: tuple[str, ...] = (
    *(f"share_{name}" for name in FAMILIES), "length", "kernels", "weights", "activations",
    *(f"share_{name}" for name in _SORTS), "weights_rate", "moved_rate", "kernels_rate",
)  # fmt: skip
"""What a residual may depend on: shares of time, logarithms of ms, of a number and of bytes, and what there is of
weights, of bytes read and written, and of kernels in a ms."""

LEAST_MS = 1e-9
"""Nothing is divided by less."""


@dataclass(frozen=True, slots=True)
class Composition:
    """What networks are made of: (n, len(COMPOSITION))."""

    values: FloatArray


def compositions(cuts: Sequence[Sequence[Kernel]], costs_ms: Mapping[str, float]) -> Composition:
    """Of networks as cut into kernels, whose costs in ms are known by key; what has none counts for nothing."""
    rows = []
    known: dict[str, tuple[FloatArray, FloatArray, float]] = {}
    for kernels in cuts:
        times, bytes_ = np.zeros(_PLACES), np.zeros(_BYTES)
        for kernel in kernels:
            if kernel.key not in known:
                known[kernel.key] = (*_of(kernel), costs_ms.get(kernel.key, 0.0))
            places, moved, ms = known[kernel.key]
            times += places * ms
            bytes_ += moved
        rows.append(_row(times[None], np.array([float(len(kernels))]), bytes_[None])[0])
    return Composition(np.array(rows, dtype=np.float64).reshape(len(cuts), len(COMPOSITION)))


def population_composition(population: Population, costs_ms: FloatArray) -> Composition:
    """The same of a population, from its counts and the costs (k,) of its kernels; NaN of a missing cost counts for
    nothing."""
    parts = [_of(kernel) for kernel in population.kernels]
    costs = np.nan_to_num(costs_ms, nan=0.0)
    by_place = np.array([places for places, _ in parts]).reshape(len(parts), _PLACES) * costs[:, None]
    bytes_ = np.array([moved for _, moved in parts]).reshape(len(parts), _BYTES)
    times = np.asarray(population.counts @ by_place)
    return Composition(_row(times, population.n_kernels, np.asarray(population.counts @ bytes_)))


_PLACES = len(FAMILIES) + len(_SORTS)
_BYTES = 3


def _of(kernel: Kernel) -> tuple[FloatArray, FloatArray]:
    """(1 for its family and its sort, 0 for others; bytes of weights, bytes written, bytes read and written)."""
    features = kernel_features(kernel)
    name = family(kernel)
    places = np.zeros(_PLACES)
    places[FAMILIES.index(name if name in FAMILIES else "linear")] = 1.0
    sort = {
        "conv": "pointwise" if features["kernel_area"] == 1.0 else "spatial",
        "elementwise": "move" if kernel.kind.split("+", 1)[0] in _MOVES else "arithmetic",
    }.get(name)
    if sort is not None:
        places[len(FAMILIES) + _SORTS.index(sort)] = 1.0
    written = features["bytes_written"]
    return places, np.array([features["weight_bytes"], written, written + features["bytes_read"]])


def _row(times: FloatArray, kernels: FloatArray, bytes_: FloatArray) -> FloatArray:
    total = np.maximum(times[:, : len(FAMILIES)].sum(axis=1), LEAST_MS)
    shares = times / total[:, None]
    logs = np.log([total, np.maximum(kernels, 1.0), 1.0 + bytes_[:, 0], 1.0 + bytes_[:, 1]]).T
    rates = np.column_stack([bytes_[:, 0], bytes_[:, 2], kernels]) / total[:, None]
    split = len(FAMILIES)
    return np.column_stack([shares[:, :split], logs, shares[:, split:], rates])
