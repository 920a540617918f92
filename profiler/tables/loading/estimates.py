"""Estimates of many measurements at once: what `profiler.measure.stats.estimate` says of one, for arrays of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler.measure.stats import MAD_TO_SIGMA, ROUNDING, bootstrap_weights
from profiler.tables.loading.rounds import Floats, Ints

__all__ = ["estimates_of"]

_VALUES_AT_A_TIME = 1 << 18


def estimates_of(samples: Sequence[Floats | None]) -> Floats:
    """(n, 3) median, its standard error and robust coefficient of variation of each; NaN where there is none.

    Args:
        samples: of each measurement the samples in the order measured, at least one and all of them finite; or None.
    """
    found = np.full((len(samples), 3), np.nan)
    sizes = np.array([0 if values is None else len(values) for values in samples], dtype=np.int64)
    for size in np.unique(sizes[sizes > 0]).tolist():
        places = np.flatnonzero(sizes == size)
        step = max(1, _VALUES_AT_A_TIME // size)
        for begin in range(0, len(places), step):
            some = places[begin : begin + step]
            found[some] = _estimates(np.array([samples[place] for place in some.tolist()]))
    return found


def _estimates(values: Floats) -> Floats:
    """(g, 3) of measurements of equally many samples, (g, n)."""
    ordered = np.sort(values, axis=1)
    centres = _middles(ordered)
    scatter = _middles(np.sort(np.abs(values - centres[:, None]), axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        cvs = np.where(centres == 0, np.nan, MAD_TO_SIGMA * scatter / np.abs(centres))
    return np.stack([centres, _standard_errors(ordered, _effective(values, centres)), cvs], axis=1)


def _middles(ordered: Floats) -> Floats:
    half, odd = divmod(ordered.shape[1], 2)
    found: Floats = ordered[:, half] if odd else (ordered[:, half - 1] + ordered[:, half]) / 2
    return found


def _effective(values: Floats, centres: Floats) -> Ints:
    """`profiler.measure.stats.effective_n` of each, shape (g,)."""
    groups, n = values.shape
    found = np.full(groups, n, dtype=np.int64)
    signs = np.sign(values - centres[:, None])
    signs -= signs.mean(axis=1, keepdims=True)
    variances = np.sum(signs * signs, axis=1) / n
    varied = np.flatnonzero(variances)
    if n < 4 or not len(varied):
        return found
    transform = np.fft.rfft(signs[varied], 1 << (2 * n - 1).bit_length(), axis=1)
    rho = np.fft.irfft(np.abs(transform) ** 2, axis=1)[:, :n] / (n * variances[varied])[:, None]
    pairs = rho[:, 0 : 2 * (n // 2) : 2] + rho[:, 1 : 2 * (n // 2) : 2]
    before_negative = np.logical_and.accumulate(pairs > ROUNDING, axis=1)
    inefficiency = 2 * np.sum(np.where(before_negative, pairs, 0.0), axis=1) - 1
    found[varied] = np.clip(np.round(n / np.maximum(inefficiency, 1.0) - ROUNDING), 1, n)
    return found


def _standard_errors(ordered: Floats, effective: Ints) -> Floats:
    """`profiler.measure.stats.median_standard_error` of each, shape (g,)."""
    n = ordered.shape[1]
    if n < 2:
        return np.full(len(ordered), np.nan)
    sizes, size = np.unique(effective, return_inverse=True)
    weights = np.array([bootstrap_weights(n, k) for k in sizes.tolist()])[size]
    centres = np.sum(weights * ordered, axis=1)
    found: Floats = np.sqrt(np.sum(weights * (ordered - centres[:, None]) ** 2, axis=1))
    return found
