"""What to measure next: kinds that nothing is known of first, then sizes where predictions are worst.

After every batch the regressors are fitted, and each measured kernel is predicted without itself. A kind gets the more
of the next batch the larger its error is and the more of the reference networks' time it takes; within it a candidate
is worth the more the larger the errors are around it and the farther it lies from all that was measured.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictors.features import FEATURES, feature_matrix
from predictors.kernel import KernelRegressor
from predictors.measured import KernelPoint
from predictors.sampling.shapes import ShapeSampler
from profiler.workloads.fusion import Kernel

__all__ = ["Batch", "Knowledge", "first_batch", "next_batch"]

FloatArray = NDArray[np.float64]

COVER = 6
"""Kernels of a kind that are measured before its error is believed."""

_POOL = 6
"""Candidates drawn for every kernel chosen."""

_QUICK = ("ridge", "stiff wide ridge", "process")
"""Regressors that errors are judged by meanwhile; those of the final model are chosen among more."""

_PLACE = [
    FEATURES.index(n) for n in ("macs", "in_channels", "out_channels", "in_pixels", "stride", "out_fill_8", "in_fill_8")
]
_UNKNOWN_ERROR = 0.5
"""Of a kind without an error of its own."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Kernels to measure, and how many of each kind."""

    kernels: tuple[Kernel, ...]
    kinds: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the measured kernels say of the error elsewhere.

    Attributes:
        rms: root mean square relative error of each kind's kernels, each predicted without itself, what their
            measurements are uncertain by taken off: more of them would not tell more.
        share: of the reference kernels' time, by kind; sums to 1.
        worst: the kind that contributes most.
        overall: the error of all kinds, each with its share.
    """

    rms: Mapping[str, float]
    share: Mapping[str, float]

    @property
    def worst(self) -> str:
        """The kind whose error weighs most; "" without any."""
        return max(self.rms, key=lambda kind: self.rms[kind] * math.sqrt(self.share.get(kind, 0.0)), default="")

    @property
    def overall(self) -> float:
        """Errors of all kinds, each counting by its share of the time."""
        known = sum(self.share.get(kind, 0.0) for kind in self.rms)
        if not known:
            return math.nan
        return math.sqrt(sum(self.share.get(kind, 0.0) * error**2 for kind, error in self.rms.items()) / known)


def first_batch(sampler: ShapeSampler, n: int, rng: np.random.Generator, avoid: Collection[str] = ()) -> Batch:
    """n kernels spread over all kinds, those with the most references first."""
    return _taken(sampler, _covering(sampler, {}, n), rng, avoid, None)


def next_batch(
    sampler: ShapeSampler,
    measured: Sequence[KernelPoint],
    n: int,
    rng: np.random.Generator,
    avoid: Collection[str] = (),
) -> tuple[Batch, Knowledge]:
    """The next n kernels and what is known so far.

    Args:
        sampler: of the kinds to cover.
        measured: all that has a figure.
        n: how many to choose at most; fewer where the ranges hold no more.
        rng: decides between equals.
        avoid: keys of kernels that are not to be chosen (measured, or failed); those measured need not be among them.
    """
    fitted = KernelRegressor(_QUICK).fit(measured)
    knowledge = _knowledge(sampler, fitted, measured)
    counts: dict[str, int] = {}
    for point in measured:
        counts[point.kernel.kind] = counts.get(point.kernel.kind, 0) + 1
    wanted = _covering(sampler, counts, n)
    left = n - sum(wanted.values())
    if left:
        for kind, more in _refining(sampler, knowledge, left).items():
            wanted[kind] = wanted.get(kind, 0) + more
    known = {*avoid, *(point.key for point in measured)}
    return _taken(sampler, wanted, rng, known, _Errors(fitted, measured)), knowledge


def _covering(sampler: ShapeSampler, counts: Mapping[str, int], n: int) -> dict[str, int]:
    """How many of which kinds bring all of them to `COVER`, one of each in turn, as far as n goes."""
    order = sorted(sampler.kinds, key=lambda kind: (-len(sampler.kinds[kind]), kind))
    wanted: dict[str, int] = {}
    for level in range(COVER):
        for kind in order:
            if counts.get(kind, 0) <= level and sum(wanted.values()) < n:
                wanted[kind] = wanted.get(kind, 0) + 1
    return wanted


def _refining(sampler: ShapeSampler, knowledge: Knowledge, n: int) -> dict[str, int]:
    """n shared out by error and share of the time, largest remainders first."""
    kinds = list(sampler.kinds)
    worth = np.array(
        [knowledge.rms.get(k, _UNKNOWN_ERROR) * math.sqrt(knowledge.share.get(k, 0.0)) + 1e-6 for k in kinds]
    )
    exact = worth / worth.sum() * n
    counts = np.floor(exact).astype(int)
    for place in np.argsort(-(exact - counts), kind="stable")[: n - int(counts.sum())]:
        counts[place] += 1
    return {kind: int(count) for kind, count in zip(kinds, counts, strict=True) if count}


def _knowledge(sampler: ShapeSampler, fitted: KernelRegressor, measured: Sequence[KernelPoint]) -> Knowledge:
    errors: dict[str, list[float]] = {}
    for point in measured:
        if point.key in fitted.left_out:
            errors.setdefault(point.kernel.kind, []).append(_beside_noise(fitted.left_out[point.key], point))
    references = [kernel for of in sampler.kinds.values() for kernel in of]
    time_ms: dict[str, float] = {}
    for kernel, estimate in zip(references, fitted.estimate(references), strict=True):
        if estimate is not None:
            time_ms[kernel.kind] = time_ms.get(kernel.kind, 0.0) + estimate.latency_ms
    whole = sum(time_ms.values()) or 1.0
    return Knowledge(
        {kind: math.sqrt(sum(e * e for e in found) / len(found)) for kind, found in errors.items()},
        {kind: spent / whole for kind, spent in time_ms.items()},
    )


def _beside_noise(error: float, point: KernelPoint) -> float:
    """An error without what the measurement itself may be off."""
    noise = point.sd_ms / max(point.latency_ms, point.sd_ms, 1e-12)
    return math.sqrt(max(error**2 - noise**2, 0.0))


class _Errors:
    """How far off predictions are around a place, and how far measured kernels are from it."""

    def __init__(self, fitted: KernelRegressor, measured: Sequence[KernelPoint]) -> None:
        self._points: dict[str, list[KernelPoint]] = {}
        for point in measured:
            self._points.setdefault(point.kernel.kind, []).append(point)
        self._left_out = fitted.left_out

    def choose(self, kind: str, candidates: Sequence[Kernel], n: int) -> list[Kernel]:
        """n of the candidates, one after the other, each far from all that are measured or chosen."""
        points = self._points.get(kind, [])
        if not points or len(candidates) <= n:
            return list(candidates[:n])
        known = _places([p.kernel for p in points])
        mean, sd = known.mean(axis=0), np.maximum(known.std(axis=0), 0.05)
        known, free = (known - mean) / sd, (_places(candidates) - mean) / sd
        errors = np.array([_beside_noise(self._left_out.get(p.key, _UNKNOWN_ERROR), p) for p in points])
        distance = np.sqrt(((free[:, None, :] - known[None, :, :]) ** 2).sum(axis=2))
        near = np.exp(-0.5 * distance**2) + 1e-9
        local = (near * errors).sum(axis=1) / near.sum(axis=1) + 0.25 * float(errors.mean()) + 1e-6
        gap = distance.min(axis=1)
        chosen: list[Kernel] = []
        for _ in range(n):
            place = int(np.argmax(local * np.minimum(gap, 3.0)))
            chosen.append(candidates[place])
            gap = np.minimum(gap, np.sqrt(((free - free[place]) ** 2).sum(axis=1)))
        return chosen


def _places(kernels: Sequence[Kernel]) -> FloatArray:
    return np.asarray(np.log1p(feature_matrix(kernels)[:, _PLACE]), dtype=np.float64)


def _taken(
    sampler: ShapeSampler,
    wanted: Mapping[str, int],
    rng: np.random.Generator,
    avoid: Collection[str],
    errors: _Errors | None,
) -> Batch:
    chosen: list[Kernel] = []
    counts: dict[str, int] = {}
    for kind, n in wanted.items():
        drawn = [k for k in sampler.draw(kind, n * (_POOL if errors else 1) + 2, rng) if k.key not in avoid]
        found = errors.choose(kind, drawn, n) if errors else drawn[:n]
        distinct = {kernel.key: kernel for kernel in found}
        if distinct:
            chosen += distinct.values()
            counts[kind] = len(distinct)
    return Batch(tuple(chosen), counts)
