"""A battery's fuel gauge, while the board runs from it."""

from __future__ import annotations

from typing import Any, Dict, Optional

from ..leaf import Leaf
from .base import Refused, Sensor

ROOT = "/sys/class/power_supply"


class Battery(Sensor):
    """What is drawn from a battery, in µW; nothing while it is charged, since then the gauge shows the charger."""

    def __init__(self, entry: Dict[str, Any], leaf: Leaf, folder: str) -> None:
        Sensor.__init__(self, entry, "battery " + folder.rsplit("/", 1)[-1])
        self.scope = "battery"
        self._leaf = leaf
        self._folder = folder

    def read(self) -> Optional[int]:
        """Power now; some drivers count what flows out as negative."""
        if not self.discharging:
            return None
        power = self._number("power_now")
        if power is not None:
            return abs(power)
        microvolts, microamperes = self._number("voltage_now"), self._number("current_now")
        if microvolts is None or microamperes is None:
            return None
        return abs(round(microvolts * microamperes / 1e6))

    @property
    def discharging(self) -> bool:
        """Whether the board runs from it."""
        return self._leaf.read(self._folder + "/status") == "Discharging"

    def _number(self, name: str) -> Optional[int]:
        return self._leaf.number("%s/%s" % (self._folder, name))


def find(entry: Dict[str, Any], leaf: Leaf) -> Optional[Sensor]:
    """The battery of the declared name, or the first; None where there is none that tells its power.

    Raises:
        Refused: it is not discharging.
    """
    name = str(entry.get("name") or "")
    for path in leaf.glob(ROOT + "/*/type"):
        folder = path[: -len("/type")]
        if leaf.read(path) != "Battery" or (name and folder.rsplit("/", 1)[-1] != name):
            continue
        battery = Battery(entry, leaf, folder)
        if not battery.discharging:
            raise Refused("%s is not discharging: its gauge does not show what the board draws" % battery.name)
        if battery.read() is not None:
            return battery
    return None
