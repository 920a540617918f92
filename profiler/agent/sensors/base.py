"""What every power sensor of a board can say, whatever it is made of."""

from __future__ import annotations

from typing import Any, Dict, Optional

POLLS_AN_UPDATE = 4
"""A value is read so many times as often as it changes, so that the time of its change is known to a quarter."""

FASTEST_S = 0.003
SLOWEST_S = 0.1
USUAL_S = 0.005
"""From one reading to the next: what a board can afford beside its load, and where nothing is known of the sensor."""


class Refused(Exception):
    """Something that looks like a sensor and is none; the words say why."""


class Sensor:
    """One figure of power, or one counter of energy.

    Attributes:
        name: which one, for people.
        scope: what it includes.
        form: "power" (readings in µW) or "energy" (readings in µJ, rising all along).
        lsb: its own step in the unit of its readings; 0 where unknown.
        periodic_uw: what a second rounding, which no number of readings averages out, leaves open of a mean, in µW,
            k = 2; 0 where there is none.
        gain_u: uncertainty of its gain, relative, k = 2; 0 where nothing is known.
        offset_uw: uncertainty of its offset in µW, k = 2; 0 where nothing is known.
        period_s: from one reading to the next.
    """

    form = "power"

    def __init__(self, entry: Dict[str, Any], name: str) -> None:
        self.name = name
        self.scope = str(entry.get("scope") or "SoC-rails")
        self.lsb = 0.0
        self.periodic_uw = 0.0
        self.gain_u = 0.0
        self.offset_uw = 0.0
        self.period_s = period_s(entry.get("update_hz"), bool(entry.get("forks")))

    def read(self) -> Optional[int]:
        """What it shows now; None where it shows nothing."""
        raise NotImplementedError


def period_s(update_hz: Optional[float], forks: bool) -> float:
    """How often to read a sensor that changes so often; one that starts a process for it is read rarely."""
    if forks:
        return max(SLOWEST_S, 1 / (POLLS_AN_UPDATE * update_hz)) if update_hz else SLOWEST_S
    if not update_hz:
        return USUAL_S
    return min(max(1 / (POLLS_AN_UPDATE * update_hz), FASTEST_S), SLOWEST_S)
