"""What whole networks take beyond their kernels and an overhead, learned where enough of them were measured.

    latency_ms = base_ms x (1 + residual)

The residual is a ridge on what the network is made of: the shares of its time by family of kernels, how long it is, how
many kernels it has, how many bytes of weights and of activations it moves. Kernels disturb each other (caches, layouts,
memory), and such disturbance goes with the composition. It is taken only where networks left out are predicted a good
deal better with it than without, and is bounded by the errors that were seen; elsewhere it is off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.features import family, kernel_features
from predictors.population import Population
from profiler.workloads.fusion import Kernel

__all__ = ["COMPOSITION", "Composition", "Residual", "compositions", "fit_residual", "population_composition"]

FloatArray = NDArray[np.float64]

_FAMILIES = ("conv", "depthwise", "linear", "pool", "elementwise")

COMPOSITION: tuple[str, ...] = (*(f"share_{name}" for name in _FAMILIES), "length", "kernels", "weights", "activations")
"""What a residual depends on: shares of time, and logarithms of ms, of a number and of bytes."""

LEAST_NETWORKS = 20
"""With fewer, the composition of each network is a story of its own."""

WORTH = 0.1
"""By so much of the error it has to be better than none."""

_STRENGTHS = (0.03, 0.3, 3.0, 30.0)
"""Of the ridge, relative to the number of networks."""

_LEAST_MS = 1e-9


@dataclass(frozen=True, slots=True)
class Composition:
    """What networks are made of: (n, len(COMPOSITION))."""

    values: FloatArray


def compositions(cuts: Sequence[Sequence[Kernel]], costs_ms: Mapping[str, float]) -> Composition:
    """Of networks as cut into kernels, whose costs in ms are known by key; what has none counts for nothing."""
    rows = []
    known: dict[str, tuple[int, float, float, float]] = {}
    for kernels in cuts:
        times, weights, moved = np.zeros(len(_FAMILIES)), 0.0, 0.0
        for kernel in kernels:
            if kernel.key not in known:
                known[kernel.key] = (*_of(kernel), costs_ms.get(kernel.key, 0.0))
            place, weight_bytes, written, ms = known[kernel.key]
            times[place] += ms
            weights += weight_bytes
            moved += written
        rows.append(_row(times[None], np.array([float(len(kernels))]), np.array([weights]), np.array([moved]))[0])
    return Composition(np.array(rows, dtype=np.float64).reshape(len(cuts), len(COMPOSITION)))


def population_composition(population: Population, costs_ms: FloatArray) -> Composition:
    """The same of a population, from its counts and the costs (k,) of its kernels; NaN of a missing cost counts for
    nothing."""
    parts = [_of(kernel) for kernel in population.kernels]
    costs = np.nan_to_num(costs_ms, nan=0.0)
    by_family = np.zeros((len(parts), len(_FAMILIES)))
    by_family[np.arange(len(parts)), [place for place, _, _ in parts]] = costs
    bytes_ = np.array([[weights, written] for _, weights, written in parts]).reshape(len(parts), 2)
    times = np.asarray(population.counts @ by_family)
    moved = np.asarray(population.counts @ bytes_)
    return Composition(_row(times, population.n_kernels, moved[:, 0], moved[:, 1]))


def _of(kernel: Kernel) -> tuple[int, float, float]:
    """(place of its family, bytes of weights, bytes written)."""
    features = kernel_features(kernel)
    return _FAMILIES.index(family(kernel)), features["weight_bytes"], features["bytes_written"]


def _row(times: FloatArray, kernels: FloatArray, weights: FloatArray, moved: FloatArray) -> FloatArray:
    total = np.maximum(times.sum(axis=1), _LEAST_MS)
    logs = np.log([total, np.maximum(kernels, 1.0), 1.0 + weights, 1.0 + moved]).T
    return np.column_stack([times / total[:, None], logs])


@dataclass(frozen=True, slots=True)
class Residual:
    """A fitted residual.

    Attributes:
        mean, sd: of the composition fitted on, (len(COMPOSITION),).
        coefficients: (len(COMPOSITION),), per standard deviation; constant: what is left at the mean.
        low, high: of the residuals seen; none goes beyond.
        strength: of the ridge.
        gain: share of the error on networks left out that it removes.
    """

    mean: FloatArray
    sd: FloatArray
    coefficients: FloatArray
    constant: float
    low: float
    high: float
    strength: float
    gain: float

    def factor(self, composition: Composition) -> FloatArray:
        """1 + residual, shape (n,)."""
        scaled = np.clip((composition.values - self.mean) / self.sd, -4.0, 4.0)
        # not by BLAS, which rounds by the size of the batch
        found = self.constant + (scaled * self.coefficients).sum(axis=1)
        return np.asarray(1.0 + np.clip(found, self.low, self.high), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form that `from_dict` reads back."""
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "sd", "coefficients")}
        numbers = {name: getattr(self, name) for name in ("constant", "low", "high", "strength", "gain")}
        return {**arrays, **numbers}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Residual:
        """Read what `to_dict` wrote."""
        mean, sd, coefficients = (np.array(data[name], dtype=np.float64) for name in ("mean", "sd", "coefficients"))
        if any(array.shape != (len(COMPOSITION),) for array in (mean, sd, coefficients)):
            raise ValueError("a residual of another composition")
        constant, low, high, strength, gain = (
            float(data[name]) for name in ("constant", "low", "high", "strength", "gain")
        )
        return cls(mean, sd, coefficients, constant, low, high, strength, gain)


def fit_residual(
    composition: Composition, base_ms: FloatArray, latency_ms: FloatArray, classes: Sequence[str]
) -> tuple[Residual | None, FloatArray]:
    """Learn a residual, or find that there is none to be learned.

    Args:
        composition: of n networks.
        base_ms: what kernels and overhead say of each, (n,).
        latency_ms: what was measured, (n,).
        classes: of the networks (`predictors.classes`); copies are left out together.

    Returns:
        The residual, None where it is of no use, and the relative errors (predicted - measured) / measured of each
        network predicted without its class, (n,), with the residual or without.
    """
    found = latency_ms / np.maximum(base_ms, _LEAST_MS) - 1.0
    plain = (base_ms - latency_ms) / latency_ms
    distinct = sorted(set(classes))
    if len(distinct) < LEAST_NETWORKS:
        return None, plain
    of = np.array([distinct.index(name) for name in classes])
    best: tuple[float, float, FloatArray] = (_rms(plain), 0.0, plain)
    for strength in _STRENGTHS:
        left_out = np.zeros(len(found))
        for group in range(len(distinct)):
            held = of == group
            fitted = _solve(composition.values[~held], found[~held], strength)
            left_out[held] = fitted.factor(Composition(composition.values[held]))
        errors = (base_ms * left_out - latency_ms) / latency_ms
        if _rms(errors) < best[0]:
            best = (_rms(errors), strength, errors)
    rms, strength, errors = best
    gain = 1.0 - rms / _rms(plain) if _rms(plain) else 0.0
    if gain < WORTH:
        return None, plain
    return _solve(composition.values, found, strength, gain), errors


def _solve(values: FloatArray, found: FloatArray, strength: float, gain: float = 0.0) -> Residual:
    mean, sd = values.mean(axis=0), values.std(axis=0)
    sd[sd < 1e-9] = 1.0
    scaled, constant = (values - mean) / sd, float(found.mean())
    gram = scaled.T @ scaled + strength * len(found) * np.eye(values.shape[1])
    coefficients = np.linalg.solve(gram, scaled.T @ (found - constant))
    low, high = float(min(found.min(), 0.0)), float(max(found.max(), 0.0))
    return Residual(mean, sd, coefficients, constant, low, high, strength, gain)


def _rms(errors: FloatArray) -> float:
    return math.sqrt(float((errors**2).mean()))
