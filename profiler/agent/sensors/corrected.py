"""A sensor whose readings are corrected by what a calibration found."""

from __future__ import annotations

from typing import Any, Dict, Optional

from ..leaf import Leaf
from .base import Sensor


class Corrected(Sensor):
    """power = gain x shown + offset; what the calibration did not tell is as the sensor says it itself."""

    def __init__(self, sensor: Sensor, entry: Dict[str, Any], leaf: Leaf) -> None:
        self._sensor = sensor
        self._leaf = leaf
        self._gain = _number(entry, "gain", 1.0)
        self._offset_uw = _number(entry, "offset_uw", 0.0)
        moved = (self._gain, self._offset_uw) != (1.0, 0.0)
        self.name = sensor.name + (", corrected" if moved else "")
        self.scope = sensor.scope
        self.form = sensor.form
        self.lsb = sensor.lsb * self._gain
        self.periodic_uw = sensor.periodic_uw * self._gain
        self.gain_u = _number(entry, "gain_u", sensor.gain_u)
        self.offset_uw = _number(entry, "offset_u_uw", sensor.offset_uw)
        self.period_s = sensor.period_s
        self._began = leaf.monotonic()

    def read(self) -> Optional[int]:
        """The corrected reading; of a counter the offset grows with the time."""
        shown = self._sensor.read()
        if shown is None:
            return None
        offset = self._offset_uw
        if self.form == "energy":
            offset *= self._leaf.monotonic() - self._began
        return round(self._gain * shown + offset)


def corrected(sensor: Sensor, entry: Dict[str, Any], leaf: Leaf) -> Sensor:
    """The sensor itself, unless its entry knows more of it than it says itself."""
    known = [entry.get(name) for name in ("gain", "offset_uw", "gain_u", "offset_u_uw")]
    return sensor if all(value is None for value in known) else Corrected(sensor, entry, leaf)


def _number(entry: Dict[str, Any], name: str, otherwise: float) -> float:
    value = entry.get(name)
    return otherwise if value is None else float(value)
