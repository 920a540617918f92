"""What a board truly draws, and the sensor that shows it: with its step, refresh, offset, gain and ways of failing."""

from __future__ import annotations

import math
import random
from typing import Any


class Power:
    """The power of one board.

    Args:
        spec: the board's "power".
        clock: the board's "clock".
        state: what lasts, changed in place.
        rng: of this process.
    """

    def __init__(self, spec: dict[str, Any], clock: dict[str, Any], state: dict[str, Any], rng: random.Random) -> None:
        self._spec = spec
        self._mhz, self._volts = clock["mhz"], clock["volts"]
        self.state = state
        self._rng = rng
        state.setdefault("walk_w", 0.0)

    @property
    def idle_w(self) -> float:
        """At rest, without leakage."""
        return float(max(0.0, self._spec["idle_w"] + self.state["walk_w"]))

    def net_w(self, activity: float, step: int | None = None) -> float:
        """What running adds, at a step of frequency; by default at the reference clock."""
        at = len(self._mhz) - 1 if step is None else step
        scale = self._mhz[at] / self._mhz[-1] * (self._volts[at] / self._volts[-1]) ** 2
        return float(self._spec["static_w"] + self._spec["dynamic_w"] * scale * activity)

    def leak_w(self, above_k: float) -> float:
        """What leaks, so many degrees above the air."""
        return float(self._spec["leakage_w_per_k"] * above_k)

    def age(self, duration_s: float) -> None:
        """Let the idle power walk."""
        if self._spec["idle_walk_w"]:
            self.state["walk_w"] += self._spec["idle_walk_w"] * math.sqrt(duration_s / 60) * self._rng.gauss(0, 1)


class Sensor:
    """A power sensor: the mean power of each of its refresh periods, badly told.

    Args:
        spec: the board's "sensor".
        state: what lasts, changed in place.
        rng: of this process.
    """

    def __init__(self, spec: dict[str, Any], state: dict[str, Any], rng: random.Random) -> None:
        self._spec = spec
        self.state = state
        self._rng = rng
        for name, value in (("done_s", 0.0), ("joules", 0.0), ("shown_w", None), ("stuck_w", None)):
            state.setdefault(name, value)

    def age(self, duration_s: float, watts: float) -> None:
        """Let time pass at one power; what ends within it leaves its value behind."""
        state, refresh = self.state, self._spec["refresh_s"]
        if state["done_s"] + duration_s < refresh:
            state["done_s"] += duration_s
            state["joules"] += watts * duration_s
            return
        first = refresh - state["done_s"]
        ended = 1 + int((duration_s - first) / refresh)
        # of several periods only the last one's value is still to be seen
        mean_w = watts if ended > 1 else (state["joules"] + watts * first) / refresh
        state["done_s"] = max(0.0, duration_s - first - (ended - 1) * refresh)
        state["joules"] = watts * state["done_s"]
        self._show(mean_w)

    def _show(self, watts: float) -> None:
        spec = self._spec
        value = spec["gain"] * watts + spec["offset_w"]
        if spec["noise_w"]:
            value += spec["noise_w"] * self._rng.gauss(0, 1)
        step = spec["lsb_w"]
        self.state["shown_w"] = round(value / step) * step if step else value

    def watts(self, uptime_s: float) -> float | None:
        """What it shows now; None where there is nothing (any more)."""
        spec, state = self._spec, self.state
        if uptime_s < spec["mode_after_s"] or spec["mode"] == "ok":
            return 0.0 if state["shown_w"] is None else float(state["shown_w"])
        if spec["mode"] == "vanishing":
            return None
        if spec["mode"] == "negative":
            return -abs(float(state["shown_w"] or 1.0))
        if state["stuck_w"] is None:
            state["stuck_w"] = state["shown_w"] or 0.0
        return float(state["stuck_w"])
