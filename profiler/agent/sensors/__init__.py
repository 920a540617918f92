"""The power sensors of a board: looked for by what devices.yaml declares, each read through the leaf.

A sensor that is declared and not there is missing; nothing is put in its place. Where none is declared, the processor's
own counters are used if they can be read.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ..leaf import Leaf
from . import battery, hwmon, iio, programs, rapl
from .base import Refused, Sensor
from .corrected import corrected

__all__ = ["KINDS", "Refused", "Sensor", "available", "open_sensor"]

Finder = Callable[[Dict[str, Any], Leaf], Optional[Sensor]]

KINDS: Dict[str, Finder] = {
    "hwmon": hwmon.find,
    "iio": iio.find,
    "rapl": rapl.find,
    "command": programs.find,
    "battery": battery.find,
}
"""By the `kind` of an entry; "external" is a meter beside the board, which the host reads."""

UNDECLARED: Dict[str, Any] = {"kind": "rapl", "scope": "SoC-rails"}


def open_sensor(declared: Sequence[Dict[str, Any]], leaf: Leaf) -> Tuple[Optional[Sensor], str]:
    """The first of the declared sensors that is there, and why there is none.

    Args:
        declared: entries as a job's board holds them: kind, scope, name, channels (the first is the one that is read),
            update_hz, forks, and what a calibration found (gain, offset_uw, gain_u, offset_u_uw).
    """
    reasons: List[str] = []
    for entry in declared or [UNDECLARED]:
        kind = str(entry.get("kind") or "")
        find = KINDS.get(kind)
        if find is None:
            reasons.append("%s is read by the host" % kind if kind == "external" else "no sensor is a %s" % kind)
            continue
        try:
            sensor = find(entry, leaf)
        except Refused as error:
            reasons.append(str(error))
            continue
        if sensor is not None:
            return corrected(sensor, entry, leaf), ""
        reasons.append(("there is no %s %s that can be read" % (kind, entry.get("name") or "")).replace("  ", " "))
    return None, "; ".join(reasons)


def available(leaf: Leaf) -> Optional[str]:
    """What energy can be read from without anything being declared: "rapl", or None."""
    return "rapl" if rapl.zones(leaf) else None
