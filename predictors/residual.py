"""What whole networks take beyond their kernels and an overhead, learned where enough of them were measured.

    latency_ms = base_ms x (1 + residual)

The residual is a Gaussian process on what the network is made of: the shares of its time by family of kernels, or by
finer sorts, how long it is, how many kernels it has, how many bytes of weights and of activations it moves, in all or a
millisecond; which of these, networks left out decide. Kernels disturb each other (caches, layouts, memory), and such
disturbance goes with the composition: along a plane far from all networks measured, and as its neighbours have it near
some. It is taken only where networks left out are predicted a good deal better with it than without, and is bounded by
the errors that were seen; elsewhere it is off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.composition import COMPOSITION, FAMILIES, LEAST_MS, Composition

__all__ = ["LEAST_NETWORKS", "SETS", "Residual", "fit_residual"]

FloatArray = NDArray[np.float64]

_REST = ("length", "kernels", "weights", "activations")
_FINE = ("share_pointwise", "share_spatial", "share_depthwise", "share_linear", "share_pool", "share_arithmetic",
         "share_move")  # fmt: skip

SETS: tuple[tuple[str, ...], ...] = (
    (*(f"share_{name}" for name in FAMILIES), *_REST),
    (*_FINE, *_REST),
    (*_FINE, "length", "weights_rate", "moved_rate", "kernels_rate"),
)
"""Parts of the composition that a residual may go by, the simplest first."""

LEAST_NETWORKS = 20
"""With fewer, the composition of each network is a story of its own."""

WORTH = 0.1
"""By so much of the error it has to be better than none."""

SET_WORTH = 0.05
"""By so much of the error a later one of `SETS` has to be better than those before it."""

_CURVED = (0.0, 0.3, 0.7)
"""Shares of the prior variance that vary from neighbourhood to neighbourhood; the rest is a plane. Where there is no
such share this is a ridge."""

_LENGTHS = (0.25, 0.35, 0.5, 0.7, 1.0)
"""How far a neighbourhood reaches, in standard deviations of the composition (root mean square over its numbers)."""

_NOISES = (0.003, 0.01, 0.03, 0.1, 0.3, 3.0)
"""Variances of what the composition does not explain, relative to the prior variance."""

_CONSTANT = 10.0
"""Prior variance of the mean, relative to that of the rest: what all networks have in common costs nothing."""

MOST_NETWORKS = 1000
"""The process is fitted to at most so many, drawn at random: its cost grows with their cube."""

_AT_ONCE = 2048
"""So many networks are compared with those fitted on at once: all of a population would fill the memory."""


@dataclass(frozen=True, slots=True)
class Residual:
    """A fitted residual: constant + plane + what neighbours have.

    Attributes:
        columns: places in `COMPOSITION` of the p numbers that it goes by.
        mean, sd: of these over the networks fitted on, (p,).
        coefficients: of the plane, (p,), per standard deviation.
        constant: what is left at the mean.
        rows: the networks fitted on, (n, p) in standard deviations from the mean.
        alpha: what each of them weighs where it is near, (n,); zeros throughout leave the plane alone.
        length: how far "near" is.
        low, high: of the residuals seen; none goes beyond.
        gain: share of the error on networks left out that it removes.
    """

    columns: tuple[int, ...]
    mean: FloatArray
    sd: FloatArray
    coefficients: FloatArray
    constant: float
    rows: FloatArray
    alpha: FloatArray
    length: float
    low: float
    high: float
    gain: float

    def factor(self, composition: Composition) -> FloatArray:
        """1 + residual, shape (n,)."""
        scaled = _scaled(composition.values[:, list(self.columns)], self.mean, self.sd)
        # not by BLAS, which rounds by the size of the batch
        found = self.constant + (scaled * self.coefficients).sum(axis=1)
        if self.alpha.any():
            for start in range(0, len(scaled), _AT_ONCE):
                near = _nearness(scaled[start : start + _AT_ONCE], self.rows, self.length)
                found[start : start + _AT_ONCE] += (near * self.alpha).sum(axis=1)
        return np.asarray(1.0 + np.clip(found, self.low, self.high), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form that `from_dict` reads back."""
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "sd", "coefficients", "rows", "alpha")}
        numbers = {name: getattr(self, name) for name in ("constant", "length", "low", "high", "gain")}
        return {"columns": [COMPOSITION[place] for place in self.columns], **arrays, **numbers}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Residual:
        """Read what `to_dict` wrote."""
        mean, sd, coefficients, rows, alpha = (
            np.array(data[name], dtype=np.float64) for name in ("mean", "sd", "coefficients", "rows", "alpha")
        )
        columns = tuple(COMPOSITION.index(str(name)) for name in data["columns"])
        wide = len(columns)
        if any(array.shape != (wide,) for array in (mean, sd, coefficients)) or rows.shape != (len(alpha), wide):
            raise ValueError("a residual of another composition")
        constant, length, low, high, gain = (
            float(data[name]) for name in ("constant", "length", "low", "high", "gain")
        )
        return cls(columns, mean, sd, coefficients, constant, rows, alpha, length, low, high, gain)


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
        network predicted without its class, (n,), with the residual or without. Of more than MOST_NETWORKS networks
        they are those of the drawn ones.
    """
    if len(base_ms) > MOST_NETWORKS:
        drawn = np.sort(np.random.default_rng(0).permutation(len(base_ms))[:MOST_NETWORKS])
        composition = Composition(composition.values[drawn])
        base_ms, latency_ms, classes = base_ms[drawn], latency_ms[drawn], [classes[i] for i in drawn]
    found = latency_ms / np.maximum(base_ms, LEAST_MS) - 1.0
    plain = (base_ms - latency_ms) / latency_ms
    names, of = np.unique(np.array(classes), return_inverse=True)
    if len(names) < LEAST_NETWORKS:
        return None, plain
    groups = [np.flatnonzero(of == group) for group in range(len(names))]
    best: tuple[float, _Prior | None, tuple[float, float, float], FloatArray] = (_rms(plain), None, (0, 1, 1), plain)
    for chosen in SETS:
        prior = _Prior.of(composition.values, tuple(COMPOSITION.index(name) for name in chosen))
        found_best = _best_of(prior, found, base_ms, latency_ms, groups)
        if found_best[0] < (best[0] if best[1] is None else (1.0 - SET_WORTH) * best[0]):
            best = (found_best[0], prior, *found_best[1:])
    rms, taken, shape, errors = best
    gain = 1.0 - rms / _rms(plain) if _rms(plain) else 0.0
    if taken is None or gain < WORTH:
        return None, plain
    return taken.residual(found, *shape, gain), errors


def _best_of(
    prior: _Prior,
    found: FloatArray,
    base_ms: FloatArray,
    latency_ms: FloatArray,
    groups: Sequence[NDArray[np.intp]],
) -> tuple[float, tuple[float, float, float], FloatArray]:
    """(root mean square, (share curved, length, noise), errors of networks left out) of the best process of a prior."""
    bounds = _bounds_without(found, groups)
    best: tuple[float, tuple[float, float, float], FloatArray] = (math.inf, (0.0, 1.0, 1.0), found)
    for curved, length in ((0.0, 1.0), *((c, reach) for c in _CURVED if c for reach in _LENGTHS)):
        covariance = prior.covariance(curved, length)
        for noise in _NOISES:
            left_out = np.clip(_left_out(covariance, found, noise, groups), *bounds)
            errors = (base_ms * (1.0 + left_out) - latency_ms) / latency_ms
            if _rms(errors) < best[0]:
                best = (_rms(errors), (curved, length, noise), errors)
    return best


@dataclass(frozen=True, slots=True)
class _Prior:
    """Networks in standard deviations of their composition, and how alike residuals are thought to be."""

    columns: tuple[int, ...]
    mean: FloatArray
    sd: FloatArray
    rows: FloatArray

    @classmethod
    def of(cls, values: FloatArray, columns: tuple[int, ...]) -> _Prior:
        values = values[:, list(columns)]
        mean, sd = values.mean(axis=0), values.std(axis=0)
        sd[sd < 1e-9] = 1.0
        return cls(columns, mean, sd, _scaled(values, mean, sd))

    def covariance(self, curved: float, length: float) -> FloatArray:
        """(n, n), relative to the prior variance."""
        plane = self.rows @ self.rows.T / self.rows.shape[1]
        near = _nearness(self.rows, self.rows, length)
        return np.asarray(_CONSTANT + (1.0 - curved) * plane + curved * near, dtype=np.float64)

    def residual(self, found: FloatArray, curved: float, length: float, noise: float, gain: float) -> Residual:
        """Fitted to relative residuals (n,)."""
        covariance = self.covariance(curved, length) + noise * np.eye(len(found))
        alpha = np.asarray(np.linalg.solve(covariance, found), dtype=np.float64)
        plane = (1.0 - curved) * (self.rows.T @ alpha) / self.rows.shape[1]
        low, high = float(min(found.min(), 0.0)), float(max(found.max(), 0.0))
        constant = _CONSTANT * float(alpha.sum())
        return Residual(
            self.columns, self.mean, self.sd, plane, constant, self.rows, curved * alpha, length, low, high, gain
        )


def _scaled(values: FloatArray, mean: FloatArray, sd: FloatArray) -> FloatArray:
    return np.ascontiguousarray(np.clip((values - mean) / sd, -4.0, 4.0))


def _nearness(some: FloatArray, others: FloatArray, length: float) -> FloatArray:
    """1 for the same composition, 0 for one far away, (n, m)."""
    apart = np.zeros((len(some), len(others)))
    for column in range(some.shape[1]):
        apart += (some[:, column, None] - others[None, :, column]) ** 2
    return np.asarray(np.exp(-apart / (2.0 * some.shape[1] * length**2)), dtype=np.float64)


def _left_out(
    covariance: FloatArray, found: FloatArray, noise: float, groups: Sequence[NDArray[np.intp]]
) -> FloatArray:
    """What a process fitted to all but a network's class says of it, (n,), of all classes by one inversion.

    [Rasmussen and Williams 2006, eq. 5.12], for groups: with P = (K + noise I)^-1, what is left of group g is
    P_gg^-1 (P found)_g.
    """
    precision = np.linalg.inv(covariance + noise * np.eye(len(found)))
    weighed = precision @ found
    said = np.empty(len(found))
    for group in groups:
        said[group] = found[group] - np.linalg.solve(precision[np.ix_(group, group)], weighed[group])
    return said


def _bounds_without(found: FloatArray, groups: Sequence[NDArray[np.intp]]) -> tuple[FloatArray, FloatArray]:
    """The least and largest residual among the others of each network, and zero, (n,) each."""
    low, high = np.zeros(len(found)), np.zeros(len(found))
    for group in groups:
        others = np.delete(found, group)
        low[group], high[group] = min(others.min(), 0.0), max(others.max(), 0.0)
    return low, high


def _rms(errors: FloatArray) -> float:
    return math.sqrt(float((errors**2).mean()))
