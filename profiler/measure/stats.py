"""From samples to estimates: medians, their intervals, spreads and slopes; every figure with its uncertainty.

Samples of one process on one machine are autocorrelated, so an interval from n samples counts only as many as
are worth independent ones (`effective_n`). And a process has a state of its own (memory layout, clock, neighbours)
that no number of samples within it averages out, so rounds in fresh processes are compared (`combine_rounds`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import nan, sqrt
from statistics import median as plain_median

import numpy as np
from numpy.typing import ArrayLike, NDArray

from profiler.measure.rounds import Combined, combine_rounds, relative_spread

__all__ = [
    "Combined",
    "Estimate",
    "combine_rounds",
    "effective_n",
    "estimate",
    "median_interval",
    "median_standard_error",
    "noise_floor",
    "outlier_labels",
    "relative_spread",
    "robust_cv",
    "round_slopes",
]

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
ROUNDING = 1e-9
"""What is that small is 0 as far as a transform can tell; agents, who sum up otherwise, cut and round there as well."""
MAD_TO_SIGMA = 1.4826022185056018
"""The median absolute deviation of a normal distribution times this is its standard deviation."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the samples of one measurement say about its median, all in the unit of the samples.

    Attributes:
        median, low, high: the median and its 95 % interval within this measurement.
        standard_error: of the median, autocorrelation counted.
        robust_cv: scatter of single samples relative to the median.
        n, n_effective: samples taken, and how many independent ones they are worth.
        outliers: how many lie beyond Tukey's fences (they are counted, never dropped).
    """

    median: float
    low: float
    high: float
    standard_error: float
    robust_cv: float
    n: int
    n_effective: int
    outliers: int


def _as_samples(samples: ArrayLike) -> Floats:
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.all(np.isfinite(values)):
        raise ValueError("an estimate needs at least one sample, all of them finite, in one dimension")
    return values


def _middle(ordered: Floats) -> float:
    """The median of sorted samples."""
    half, odd = divmod(ordered.size, 2)
    return float(ordered[half]) if odd else float(ordered[half - 1] + ordered[half]) / 2


def robust_cv(samples: ArrayLike) -> float:
    """1.48 x median absolute deviation / median: a coefficient of variation that outliers do not move."""
    values = _as_samples(samples)
    centre = _middle(np.sort(values))
    if centre == 0:
        return nan
    return MAD_TO_SIGMA * _middle(np.sort(np.abs(values - centre))) / abs(centre)


def outlier_labels(samples: ArrayLike) -> NDArray[np.int8]:
    """Tukey's fences: 0 within 1.5 interquartile ranges of the quartiles, 1 beyond them, 2 beyond 3 ranges."""
    values = _as_samples(samples)
    first, third = _quartiles(np.sort(values))
    distance = np.maximum(first - values, values - third)
    spread = third - first
    labels: NDArray[np.int8] = np.digitize(distance, [1.5 * spread, 3 * spread], right=True).astype(np.int8)
    return labels


def _quartiles(ordered: Floats) -> tuple[float, float]:
    """The quartiles of sorted samples, interpolated as numpy.percentile does, at a tenth of its overhead."""
    first, third = np.interp([0.25, 0.75], np.linspace(0, 1, ordered.size), ordered)
    return float(first), float(third)


def effective_n(samples: ArrayLike) -> int:
    """How many independent samples these are worth for the median: n / (1 + 2 sum of autocorrelations), 1..n.

    The variance of a median depends on the autocorrelation of the signs of (sample - median), which outliers do
    not move. The sum is cut by Geyer's initial positive sequence (Practical Markov Chain Monte Carlo, 1992).
    """
    values = _as_samples(samples)
    n = int(values.size)
    signs = np.sign(values - _middle(np.sort(values)))
    signs -= signs.mean()
    variance = float(signs @ signs) / n
    if n < 4 or variance == 0.0:
        return n
    # zero-padded, so that the transform does not wrap the end of the series onto its start
    transform = np.fft.rfft(signs, 1 << (2 * n - 1).bit_length())
    rho = np.fft.irfft(np.abs(transform) ** 2)[:n] / (n * variance)
    pairs = rho[0 : 2 * (n // 2) : 2] + rho[1 : 2 * (n // 2) : 2]
    negative = np.flatnonzero(pairs <= ROUNDING)
    positive = pairs[: negative[0]] if negative.size else pairs
    inefficiency = 2 * float(np.sum(positive)) - 1
    return int(np.clip(round(n / max(inefficiency, 1.0) - ROUNDING), 1, n))


@lru_cache(maxsize=4096)
def _median_ranks(n_effective: int) -> tuple[float, float]:
    """The interval's ends as fractions of the sorted sample, from the binomial distribution of ranks."""
    from scipy.special import bdtr  # scipy.stats takes a second to import

    chances = bdtr(np.arange(n_effective + 1), n_effective, 0.5)
    rank = int(np.searchsorted(chances, (1 - CONFIDENCE) / 2))
    return max(rank - 1, 0) / n_effective, min(n_effective - rank + 1, n_effective) / n_effective


def median_interval(samples: ArrayLike, n_effective: int | None = None) -> tuple[float, float]:
    """The 95 % interval of the median by order statistics: no distribution is assumed.

    Fewer than six effective samples cannot exclude anything at 95 %: then it is their whole range.

    Args:
        samples: (n,) in any unit.
        n_effective: how many independent samples they are worth; by default `effective_n(samples)`.
    """
    ordered = np.sort(_as_samples(samples))
    low, high = _median_ranks(effective_n(samples) if n_effective is None else n_effective)
    n = ordered.size
    return float(ordered[int(low * n)]), float(ordered[min(int(np.ceil(high * n)), n) - 1])


def bootstrap_weights(n: int, n_effective: int) -> Floats:
    """How likely each of n sorted samples is the median of n_effective values drawn from them, shape (n,)."""
    return (_kept_weights if n <= _MOST_KEPT else _weights)(n, n_effective)


def _weights(n: int, n_effective: int) -> Floats:
    from scipy.special import betainc

    half = (n_effective + 1) / 2
    weights: Floats = np.diff(betainc(half, half, np.arange(n + 1) / n))
    weights.setflags(write=False)
    return weights


_MOST_KEPT = 256
"""Weights of longer series are made anew each time: a thousand of them would take more memory than time."""
_kept_weights = lru_cache(maxsize=1024)(_weights)


def median_standard_error(samples: ArrayLike, n_effective: int | None = None) -> float:
    """The bootstrap's standard error of the median, in closed form instead of by resampling.

    Maritz and Jarrett (1978): the bootstrap median is the i-th order statistic with a known beta probability, so its
    variance needs no random numbers. With n_effective < n it is the bootstrap that draws n_effective values.
    NaN for a single sample.
    """
    ordered = np.sort(_as_samples(samples))
    if ordered.size < 2:
        return nan
    weights = bootstrap_weights(ordered.size, effective_n(samples) if n_effective is None else n_effective)
    centre = float(weights @ ordered)
    return sqrt(float(weights @ (ordered - centre) ** 2))


def estimate(samples: ArrayLike) -> Estimate:
    """Everything about one measurement's samples.

    Args:
        samples: (n,) in the order measured, n >= 1, finite.

    Raises:
        ValueError: when there are no samples or one is not finite.
    """
    values = _as_samples(samples)
    n_effective = effective_n(values)
    low, high = median_interval(values, n_effective)
    return Estimate(
        median=_middle(np.sort(values)),
        low=low,
        high=high,
        standard_error=median_standard_error(values, n_effective),
        robust_cv=robust_cv(values),
        n=int(values.size),
        n_effective=n_effective,
        outliers=int(np.count_nonzero(outlier_labels(values))),
    )


def round_slopes(short: Sequence[Estimate], long: Sequence[Estimate], step: int) -> tuple[list[float], list[float]]:
    """The cost of one more repetition in every round, and its standard error within the round.

    Both chains of a round ran in one process, next to each other: what the round adds to both cancels.

    Args:
        short, long: (R,) estimates of the chains of m and of 2m repetitions, round by round.
        step: m, the difference of repetitions.
    """
    if step < 1:
        raise ValueError(f"chains must differ by at least one repetition, not {step}")
    pairs = list(zip(short, long, strict=True))
    slopes = [(b.median - a.median) / step for a, b in pairs]
    return slopes, [sqrt(a.standard_error**2 + b.standard_error**2) / step for a, b in pairs]


def noise_floor(spreads: Sequence[float]) -> float:
    """The machine's own noise: the median between-round spread of many figures; NaN when none is known.

    No model of cost can be shown to be closer to the truth than this.
    """
    known = [spread for spread in spreads if spread == spread]
    return plain_median(known) if known else nan
