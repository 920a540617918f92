"""Intervals of a transfer: the mixture's own standard deviation, times a factor that left-out residuals choose.

With n measured architectures each is predicted from all others; the (n + 1) level-th smallest of these residuals, in
their own standard deviations, is the factor of conformal prediction with locally scaled scores (Vovk et al. 2005;
jackknife). From twenty it is a noisy figure: the true coverage of an interval that the second largest of twenty decides
has a standard deviation of six points. So it is drawn towards Student's t with n degrees of freedom, as if that had
been seen `PRIOR_WEIGHT` times; from twenty both weigh alike.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from predictors.intervals import conformal_rank, t_quantile

__all__ = ["PRIOR_WEIGHT", "interval_factor", "rounding_half"]

PRIOR_WEIGHT = 20.0
"""How many left-out residuals the mixture's own word counts for; chosen on source devices."""

_MOST = 4.0
"""Residuals of a device of exact sums are nothing beside any standard deviation; so much less they may ask for."""


def interval_factor(left_out: NDArray[np.float64], level: float) -> float:
    """By what a standard deviation is multiplied for the half-width of the interval at `level`.

    Args:
        left_out: (n,) left-out residuals in their own standard deviations, at least two.
        level: nominal coverage, in (0, 1).
    """
    n = len(left_out)
    expected = t_quantile(level, n)
    seen = float(np.sort(np.abs(left_out))[conformal_rank(n, level) - 1])
    share = n / (n + PRIOR_WEIGHT)
    # in logarithms: twice too wide and twice too narrow are equally wrong
    return math.exp(share * math.log(max(seen, expected / _MOST)) + (1.0 - share) * math.log(expected))


def rounding_half(step: float, level: float) -> float:
    """Half-width that holds at `level` the error of rounding to multiples of `step`: it is uniform in half a step."""
    return level * step / 2.0
