"""Who decides on the processor's clock: a governor and its limits, by which cpufreq's files are read and written."""

from __future__ import annotations

from typing import Any

from .store import Store


class Governor:
    """The governor of one board, the same for all of its processes.

    Args:
        clock: the board's "clock".
        store: where what has been set lies.

    Attributes:
        rest_step, busy_step: the steps of frequency that it chooses at rest and at work.
    """

    def __init__(self, clock: dict[str, Any], store: Store) -> None:
        self._clock = clock
        self._store = store
        self.rest_step = self.busy_step = 0
        self._choose()

    def get(self, name: str) -> Any:
        """ "governor", "min_khz", "max_khz" or "speed_khz"."""
        steps = self._clock["mhz"]
        usual = {"governor": self._clock["governor"], "min_khz": steps[0] * 1000}
        return self._store.value.get(name, usual.get(name, steps[-1] * 1000))

    def set(self, name: str, value: Any) -> None:
        """Set one of them, for good (until the next boot)."""
        self._store.refresh()
        self._store.value[name] = value
        self._store.save()
        self._choose()

    def refresh(self) -> None:
        """Take over what other processes have set."""
        if self._store.refresh():
            self._choose()

    def forget(self) -> None:
        """What has been set does not survive a boot."""
        self._store.value = {}
        self._store.save()
        self._choose()

    def _choose(self) -> None:
        steps, governor = self._clock["mhz"], self.get("governor")
        low = _at_least(steps, self.get("min_khz") / 1000)
        high = max(low, _at_most(steps, self.get("max_khz") / 1000))
        held = _at_most(steps, self.get("speed_khz") / 1000)
        chosen = {"powersave": (low, low), "performance": (high, high), "userspace": (held, held)}
        self.rest_step, self.busy_step = [max(low, min(high, each)) for each in chosen.get(governor, (low, high))]


def _at_most(steps: list[int], mhz: float) -> int:
    return max([place for place, step in enumerate(steps) if step <= mhz + 0.5] or [0])


def _at_least(steps: list[int], mhz: float) -> int:
    return min([place for place, step in enumerate(steps) if step >= mhz - 0.5] or [len(steps) - 1])
