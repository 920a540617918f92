"""Samples with a known truth, as a board would deliver them, and where they were made."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

__all__ = ["ar1", "machine", "stream"]

Floats = NDArray[np.float64]

_LEAD = 300
"""Samples before the first, so that the series has forgotten how it began."""


def ar1(rng: np.random.Generator, n: int, rho: float) -> Floats:
    """(n,) of a stationary normal AR(1) series of variance 1."""
    from scipy.signal import lfilter

    noise = rng.normal(size=n + _LEAD) * np.sqrt(1 - rho**2)
    found: Floats = lfilter([1.0], [1.0, -rho], noise)[_LEAD:]
    return found


def stream(rng: np.random.Generator, n: int, sd: float = 0.02, rho: float = 0.4, outliers: float = 0.02) -> Floats:
    """(n,) durations relative to the truth: lognormal, autocorrelated, with outliers that are a third longer or so.

    Their true median is that of the whole mixture: 1 where there are no outliers, and off by some thousandths of `sd`
    x `outliers` otherwise, which is below everything that is shown here.
    """
    values = np.exp(sd * ar1(rng, n, rho))
    hit = rng.random(n) < outliers
    values[hit] *= 1 + rng.exponential(0.3, int(hit.sum()))
    return values


def machine() -> str:
    """Date, processor, cores and load, for the first line of a benchmark."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{datetime.now(UTC):%Y-%m-%d}, {name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
