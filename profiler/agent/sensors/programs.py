"""Sensors that only a program can read: the power chip of the Raspberry Pi 5, and whatever a board declares."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional

from ..leaf import Leaf
from .base import Sensor

PMIC = ("vcgencmd", "pmic_read_adc")

UNITS = {"W": 1e6, "mW": 1e3, "uW": 1.0, "µW": 1.0, "J": 1e6, "mJ": 1e3, "uJ": 1.0, "µJ": 1.0}
"""Of a program's figure, in µW or µJ."""

TIMEOUT_S = 2.0

_RAIL = re.compile(r"^\s*(\w+)_([AV])\s+(?:current|volt)\(\d+\)=(-?[0-9.]+)[AV]\s*$", re.MULTILINE)
_FIGURE = re.compile(r"(-?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)\s*(W|mW|uW|µW|J|mJ|uJ|µJ)\s*$")


class Program(Sensor):
    """What a program prints."""

    def __init__(self, entry: Dict[str, Any], leaf: Leaf, argv: List[str]) -> None:
        Sensor.__init__(self, dict(entry, forks=True), "command " + " ".join(argv))
        self._leaf = leaf
        self._argv = argv

    def read(self) -> Optional[int]:
        """Run it, and take its figure."""
        said = self._leaf.run(self._argv, TIMEOUT_S)
        return None if said is None else self.figure(said)

    def figure(self, said: str) -> Optional[int]:
        """The figure with its unit at the end of the last line; None where there is none."""
        found = _FIGURE.search(said)
        return None if found is None else round(float(found.group(1)) * UNITS[found.group(2)])


class Pmic(Program):
    """The sum of volts times amperes over the rails that have both; the two inputs show volts only."""

    def figure(self, said: str) -> Optional[int]:
        """Of one listing of the power chip's converters."""
        found = _RAIL.findall(said)
        volts = {rail: float(value) for rail, kind, value in found if kind == "V"}
        watts = [float(value) * volts[rail] for rail, kind, value in found if kind == "A" and rail in volts]
        return round(sum(watts) * 1e6) if watts else None


def find(entry: Dict[str, Any], leaf: Leaf) -> Optional[Sensor]:
    """The declared program, if it gives a figure; its channels are its arguments."""
    argv = [str(entry.get("name") or ""), *(str(word) for word in entry.get("channels") or ())]
    sensor = (Pmic if tuple(argv) == PMIC else Program)(entry, leaf, argv)
    said = leaf.run(argv, TIMEOUT_S)
    if said is None or sensor.figure(said) is None:
        return None
    if type(sensor) is Program and said.rstrip().endswith("J"):
        sensor.form = "energy"
    return sensor
