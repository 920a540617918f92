"""A board in virtual time that is seen by one power sensor, for tests of what the agent does around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from profiler.agent.leaf import Leaf

ENTRY = {"kind": "hwmon", "name": "ina226", "scope": "board-in", "channels": ["power1_input"], "update_hz": 50.0}

RUN_S = 0.002


class Board(Leaf):
    """A board in virtual time: 1 W at rest and 3 W under load, seen by a sensor that changes every 20 ms."""

    def __init__(self) -> None:
        self.now = 50.0
        self.busy = False
        self.history: list[tuple[float, bool]] = [(0.0, False)]
        self.calls: list[list[Any]] = []
        self.shows: Callable[[float, int], int | None] = lambda now, value: value
        self.reads = 0

    def monotonic(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        end = self.now + seconds
        while self.calls and self.calls[0][0] <= end:
            due, period_s, call = self.calls[0]
            self.now = max(self.now, due)
            self.calls[0][0] = self.now + period_s
            call()
        self.now = max(self.now, end)

    def sleep(self, seconds: float) -> None:
        self.busy = False
        self.pass_(seconds)

    def work(self) -> None:
        self.busy = True
        self.pass_(RUN_S)

    def beside(self, period_s: float, call: Callable[[], None]) -> Any:
        entry = [self.now + period_s, period_s, call]
        self.calls.append(entry)
        calls = self.calls

        class Stop:
            error: BaseException | None = None

            def stop(self) -> None:
                calls.remove(entry)

        return Stop()

    def read(self, path: str) -> str | None:
        if path.endswith("/name"):
            return "ina226"
        self.reads += 1
        tick = int(self.now / 0.02)
        milliwatts = (3000 if self.busy else 1000) + (tick * 7919 % 13)
        value = self.shows(self.now, milliwatts * 1000)
        return None if value is None else str(value)

    def glob(self, pattern: str) -> list[str]:
        return ["/sys/class/hwmon/hwmon0/name"] if pattern.endswith("hwmon*/name") else []
