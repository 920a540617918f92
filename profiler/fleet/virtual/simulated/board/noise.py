"""What lies between a true latency and a sample: drawn for whole batches at once, with the right mean and variance.

The slow part is an Ornstein-Uhlenbeck process z of unit variance, whose mean over any time and whose end are drawn
together from their exact joint distribution, given where it began. A batch's mean of exp(s z) is taken as
exp(s m + s² (1 - g) / 2), with m the drawn mean of z and g the variance of such means: right in its mean, and in its
variance to first order in s². Independent jitter of k runs is drawn as one lognormal of the same mean and variance.
"""

from __future__ import annotations

import math
import random
from typing import Any


class Noise:
    """The noise of one board in one process.

    Args:
        spec: the board's "noise".
        state: what lasts beyond the process, changed in place.
        rng: of this process.
    """

    def __init__(self, spec: dict[str, Any], state: dict[str, Any], rng: random.Random) -> None:
        self._spec = spec
        self.state = state
        self._rng = rng
        self._begun = False
        self.own = 1.0
        for name, value in (("z", 0.0), ("drift", 0.0), ("mode", 0), ("mode_left_s", -1.0), ("busy_left_s", 0.0),
                            ("calm_left_s", -1.0)):  # fmt: skip
            state.setdefault(name, value)

    def begin_process(self) -> None:
        """Draw what this process has of its own; once, and only in processes that run models."""
        if self._begun:
            return
        self._begun = True
        spec = self._spec
        self.own = math.exp(spec["process_spread"] * self._rng.gauss(0, 1))
        if spec["mode_share"] > 0 and not spec["mode_dwell_s"]:
            self.state["mode"] = int(self._rng.random() < spec["mode_share"])

    def level(self, now_s: float) -> float:
        """By what a true latency is multiplied at this moment, but for what `mean` and `jitter` draw."""
        spec = self._spec
        level = self.own * math.exp(self.drift(now_s))
        if self.state["mode"]:
            level *= spec["mode_ratio"]
        return level * (1 + self.background)

    @property
    def background(self) -> float:
        """The share of the processor that other programs take now."""
        return float(self._spec["background_share"]) if self.state["busy_left_s"] > 0 else 0.0

    def drift(self, now_s: float) -> float:
        """The logarithm of what the board has become slower by: line, random walk and step."""
        spec = self._spec
        stepped = spec["step_at_s"] and now_s >= spec["step_at_s"]
        return float(self.state["drift"] + (math.log1p(spec["step"]) if stepped else 0.0))

    def mean(self, duration_s: float) -> float:
        """The slow part's mean over a time that begins now and ends where the process is left."""
        s: float = self._spec["spread"]
        tau: float = self._spec["correlation_s"]
        if s <= 0 or tau <= 0:
            return 1.0
        x = max(duration_s / tau, 1e-9)
        decay, rest = math.exp(-x), -math.expm1(-x)
        # of the end and of the mean, given the beginning
        end_var = -math.expm1(-2 * x)
        mean_var = _mean_variance(x)
        shared = rest * rest / x
        one, two = self._rng.gauss(0, 1), self._rng.gauss(0, 1)
        z = self.state["z"]
        m = z * rest / x + math.sqrt(mean_var) * one
        bound = shared / math.sqrt(mean_var) if mean_var > 0 else 0.0
        self.state["z"] = z * decay + bound * one + math.sqrt(max(0.0, end_var - bound * bound)) * two
        g = 2 / (x * x) * (x - rest) if x > 1e-4 else 1.0 - x / 3
        return math.exp(s * m + s * s * (1 - g) / 2)

    def jitter(self, runs: float) -> float:
        """The mean of so many runs' own, independent noise."""
        w: float = self._spec["jitter"]
        if w <= 0:
            return 1.0
        mean = math.exp(w * w / 2)
        of_mean = math.sqrt(math.log1p(math.expm1(w * w) / max(runs, 1.0)))
        return mean * math.exp(of_mean * self._rng.gauss(0, 1) - of_mean * of_mean / 2)

    def interruptions_s(self, duration_s: float) -> float:
        """What interruptions take in so much running."""
        mean: float = self._spec["outlier_hz"] * duration_s
        if mean <= 0:
            return 0.0
        if mean > 30:
            each: float = self._spec["outlier_s"]
            return max(0.0, mean * each + math.sqrt(2 * mean) * each * self._rng.gauss(0, 1))
        found, product = 0, self._rng.random()
        while product > math.exp(-mean):
            found += 1
            product *= self._rng.random()
        return sum(self._rng.expovariate(1 / self._spec["outlier_s"]) for _ in range(found))

    def until_change_s(self, now_s: float) -> float:
        """When `level` changes by a jump at the latest."""
        spec, state = self._spec, self.state
        found = math.inf
        if spec["mode_share"] > 0 and spec["mode_dwell_s"]:
            found = max(state["mode_left_s"], 0.0)
        if spec["background_every_s"]:
            left = state["busy_left_s"] if state["busy_left_s"] > 0 else max(state["calm_left_s"], 0.0)
            found = min(found, left)
        if spec["step_at_s"] and now_s < spec["step_at_s"]:
            found = min(found, spec["step_at_s"] - now_s)
        return found

    def age(self, duration_s: float, running: bool) -> None:
        """Let time pass for all but the slow part, which passes in `mean` while something runs."""
        spec, state = self._spec, self.state
        if spec["drift_per_sqrt_h"]:
            state["drift"] += spec["drift_per_sqrt_h"] * math.sqrt(duration_s / 3600) * self._rng.gauss(0, 1)
        state["drift"] += spec["drift_per_h"] * duration_s / 3600
        if not running and spec["spread"] > 0:
            decay = math.exp(-duration_s / max(spec["correlation_s"], 1e-9))
            state["z"] = state["z"] * decay + math.sqrt(1 - decay * decay) * self._rng.gauss(0, 1)
        if spec["mode_share"] > 0 and spec["mode_dwell_s"]:
            self._switch(duration_s)
        if spec["background_every_s"]:
            self._background(duration_s)

    def _switch(self, duration_s: float) -> None:
        spec, state = self._spec, self.state
        share, first = spec["mode_share"], state["mode_left_s"] < 0
        state["mode_left_s"] -= duration_s
        if state["mode_left_s"] <= 0:
            state["mode"] = int(self._rng.random() < share) if first else 1 - state["mode"]
            dwell_s = spec["mode_dwell_s"] * (1 if state["mode"] else (1 - share) / share)
            state["mode_left_s"] = self._rng.expovariate(1 / dwell_s)

    def _background(self, duration_s: float) -> None:
        spec, state = self._spec, self.state
        if state["busy_left_s"] > 0:
            state["busy_left_s"] -= duration_s
            if state["busy_left_s"] <= 0:
                state["calm_left_s"] = self._rng.expovariate(1 / spec["background_every_s"])
            return
        if state["calm_left_s"] < 0:  # the first time
            state["calm_left_s"] = self._rng.expovariate(1 / spec["background_every_s"])
        state["calm_left_s"] -= duration_s
        if state["calm_left_s"] <= 0:
            state["busy_left_s"] = spec["background_s"] * self._rng.uniform(0.5, 1.5)
            state["calm_left_s"] = 0.0


def _mean_variance(x: float) -> float:
    """Of the mean of a unit Ornstein-Uhlenbeck process over x correlation times, given its beginning."""
    if x < 1e-3:
        return 2 * x / 3 * (1 - 3 * x / 4)
    return max(0.0, (2 * x - 3 + 4 * math.exp(-x) - math.exp(-2 * x)) / (x * x))
