"""Budgets that hold with a stated probability: the upper end of a one-sided interval in place of the expected cost.

    cost = ProbableCost(space, model, probability=0.95)      # in place of the model's own cost function
    evolve(space, score, cost, EvolutionConfig(budget_ms=6.0), rng)

P(Psi(a) <= u(a)) >= p, so that u(a) <= T implies P(Psi(a) <= T) >= p. Two ways to u:

- "normal": the upper half of the predictor's two-sided interval, made longer or shorter as quantiles of the normal
  distribution are: u = value + (high - value) * z(p) / z((1 + level) / 2). It holds as far as errors are normal and
  the predictor's interval is right.
- "conformal": the upper end itself of an interval whose level is at least p. Whatever a two-sided interval of that
  level holds lies below its upper end, so it needs no distribution; it holds as far as the interval does, and is on
  the safe side. With `predictors.conformal.ConformalModel` that is for networks like those that it was fitted on.

The probability is that of one architecture chosen without regard to its error. A search looks at many and prefers
those whose cost is predicted too low, so a winner's is less: measure it (`edgecost verify`). Ours; not in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from profiler.workloads.graph import Workload
from search.spaces.base import Architecture, SearchSpace

__all__ = ["BoundForm", "Estimator", "ProbableCost", "upper_bound"]

BoundForm = Literal["normal", "conformal"]


class Estimator(Protocol):
    """What is asked of a predictor: `estimate` of `predictors.base.CostModel` or `predictors.energy.EnergyModel`."""

    def estimate(self, workload: Workload, /) -> Any:
        """A `Prediction` or `EnergyPrediction`: value, low, high, level, complete."""


def upper_bound(value: float, high: float, level: float, probability: float, form: BoundForm) -> float:
    """The cost that is not exceeded with the probability.

    Args:
        value, high: the expected cost and the upper end of its two-sided interval, in one unit.
        level: nominal coverage of that interval.
        probability: p, at least one half and below 1.
        form: "normal" or "conformal".

    Returns:
        the bound in the same unit; NaN where the interval has no upper end.

    Raises:
        ConfigError: for a probability outside [0.5, 1), or with "conformal" above the interval's level.
    """
    if not 0.5 <= probability < 1:
        raise ConfigError(f"the probability of meeting a budget lies in [0.5, 1), not at {probability}")
    if form not in ("normal", "conformal"):
        raise ConfigError(f"a bound is 'normal' or 'conformal', not {form!r}")
    if not (math.isfinite(value) and math.isfinite(high)):
        return math.nan
    if form == "normal":
        unit = NormalDist().inv_cdf((1 + level) / 2)
        return value + (high - value) * NormalDist().inv_cdf(probability) / unit
    if probability > level:
        raise ConfigError(
            f"an interval of level {level:g} bounds a cost with at most that probability, not {probability:g}; "
            "fit the predictor with a higher level"
        )
    return high


class ProbableCost:
    """A cost function: what every architecture does not exceed with a stated probability; each is priced once.

    Args:
        space: whose networks are priced, at their full size.
        model: a fitted predictor with intervals.
        probability, form: see the module.
    """

    def __init__(self, space: SearchSpace, model: Estimator, probability: float, form: BoundForm = "normal") -> None:
        upper_bound(1.0, 1.0, max(probability, 0.5), probability, form)  # says at once what is wrong with either
        self._space, self._model, self.probability, self.form = space, model, probability, form
        self._known: dict[Architecture, tuple[float, float]] = {}

    def __call__(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Bounds (n,) in the predictor's unit; NaN where a part has no cost or the interval no upper end."""
        return np.array([self._price(a)[1] for a in architectures], dtype=np.float64)

    def expected(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """The predictor's own values (n,); NaN where a part has no cost."""
        return np.array([self._price(a)[0] for a in architectures], dtype=np.float64)

    def _price(self, arch: Architecture) -> tuple[float, float]:
        if arch not in self._known:
            found = self._model.estimate(self._space.workload(arch))
            energy = hasattr(found, "energy_mj")
            value = float(found.energy_mj if energy else found.latency_ms)
            high = float(found.high_mj if energy else found.high_ms)
            if not found.complete:
                self._known[arch] = (math.nan, math.nan)  # the value is a lower bound only
            else:
                self._known[arch] = (value, upper_bound(value, high, found.level, self.probability, self.form))
        return self._known[arch]
