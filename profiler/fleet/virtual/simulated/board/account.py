"""What a board keeps count of: how much there is to do, as its kernel tells it, and what work has met, for its log."""

from __future__ import annotations

import math
from typing import Any

LOAD_S = 60.0
PRESSURE_S = 10.0
"""The time constants of the load and of the pressure that /proc shows."""


class Account:
    """The counts of one board.

    Args:
        state: what lasts, changed in place: load1, stall_s, stall_avg10; busy_s, and of it throttled_s and second_s (in
            the second mode); drift_s, the integral of the drift over busy_s.

    Attributes:
        throttled: spans of virtual time, [since, until], in which the clock was held down for the heat; `until` is None
            while it lasts. `watch` begins them anew.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        self.throttled: list[list[float | None]] = []
        for name in ("load1", "stall_s", "stall_avg10", "busy_s", "throttled_s", "second_s", "drift_s"):
            state.setdefault(name, 0.0)

    def age(self, duration_s: float, running: bool, background: float) -> None:
        """Let time pass, while other programs take a share of the processor."""
        state = self.state
        state["load1"] += (float(running) + background - state["load1"]) * -math.expm1(-duration_s / LOAD_S)
        stalled = background if running else 0.0
        state["stall_s"] += stalled * duration_s
        state["stall_avg10"] += (100 * stalled - state["stall_avg10"]) * -math.expm1(-duration_s / PRESSURE_S)

    def work(self, duration_s: float, drift: float, second: bool, throttled: bool) -> None:
        """Add so much work: the drift meanwhile, whether in the second mode, whether at a clock held down."""
        state = self.state
        state["busy_s"] += duration_s
        state["drift_s"] += drift * duration_s
        state["second_s"] += duration_s if second else 0.0
        state["throttled_s"] += duration_s if throttled else 0.0

    def watch(self, now_s: float, throttled: bool) -> None:
        """Begin `throttled` anew, with the span that goes on at this moment."""
        self.throttled = [[now_s, None]] if throttled else []

    def turn(self, now_s: float, throttled: bool) -> None:
        """From now on the clock is held down, or is not any more."""
        if throttled:
            self.throttled.append([now_s, None])
        elif self.throttled:
            self.throttled[-1][1] = now_s

    def spans(self, now_s: float) -> list[list[float]]:
        """The same as `throttled`; what lasts ends now."""
        return [[since or 0.0, now_s if until is None else until] for since, until in self.throttled]

    def forget(self) -> None:
        """The board has booted."""
        self.state.update(load1=0.0, stall_s=0.0, stall_avg10=0.0)
