"""Temperature, and what it does to the clock: one resistance, one capacity, steps of frequency, a throttle word."""

from __future__ import annotations

import math
from typing import Any

SOFT, HARD, STICKY = 3, 2, 16
"""Bits of the throttle word, as a Raspberry Pi has them: soft temperature limit, throttled; "has occurred" of each."""


class Heat:
    """The temperature of one board and the cap that it puts on the clock.

    Args:
        spec: the board's "thermal".
        state: what lasts, changed in place.
        steps: how many steps of frequency there are.
        power: the board's "power".
    """

    def __init__(self, spec: dict[str, Any], state: dict[str, Any], steps: int, power: dict[str, Any]) -> None:
        self._spec = spec
        self.state = state
        self._top = steps - 1
        # what leaks with the temperature heats again, which is as if less of the heat went away
        self._away = 1 / spec["r_k_per_w"] - power["leakage_w_per_k"]
        self._tau_s = spec["c_j_per_k"] / self._away
        state.setdefault("c", self.steady_c(power["idle_w"]))  # a board that is on is warm
        for name, value in (("cap", self._top), ("word", 0), ("poll_left_s", spec["poll_s"])):
            state.setdefault(name, value)

    @property
    def celsius(self) -> float:
        """Now."""
        return float(self.state["c"])

    @property
    def cap(self) -> int:
        """The highest step of frequency that is allowed."""
        return int(self.state["cap"])

    @property
    def throttled(self) -> bool:
        """Whether the clock is held down for the heat."""
        return self.cap < self._top

    def steady_c(self, watts: float) -> float:
        """Where the temperature ends at a power (that of the air's temperature)."""
        return float(self._spec["ambient_c"] + watts / self._away)

    def until_poll_s(self, watts: float) -> float:
        """When the cap may change at the latest; never, as long as nothing comes near the trip."""
        trip = self._spec["trip_c"]
        if not self.throttled and self.celsius < trip and self.steady_c(watts) < trip:
            return math.inf
        return float(max(self.state["poll_left_s"], 0.0))

    def age(self, duration_s: float, watts: float) -> None:
        """Let time pass at one power (without what leaks)."""
        state, spec = self.state, self._spec
        end = self.steady_c(watts)
        state["c"] = end + (state["c"] - end) * math.exp(-duration_s / self._tau_s)
        state["poll_left_s"] -= duration_s
        if state["poll_left_s"] > 0:
            return
        state["poll_left_s"] = spec["poll_s"]
        if state["c"] >= spec["trip_c"] and state["cap"] > 0:
            state["cap"] -= 1
        elif state["c"] < spec["trip_c"] - spec["hysteresis_k"] and state["cap"] < self._top:
            state["cap"] += 1
        now = 1 << SOFT if self.throttled else 0
        if state["c"] >= spec["hard_c"]:
            now |= 1 << HARD
        state["word"] = (state["word"] >> STICKY | now) << STICKY | now

    def cool(self, duration_s: float) -> None:
        """The board is off: it cools, and forgets."""
        ambient = self._spec["ambient_c"]
        self.state["c"] = ambient + (self.state["c"] - ambient) * math.exp(-duration_s / self._tau_s)
        self.state.update(cap=self._top, word=0, poll_left_s=self._spec["poll_s"])
