"""The processor's own counters of energy (RAPL through powercap)."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from ..leaf import Leaf
from .base import Sensor

ROOT = "/sys/class/powercap"

LSB_UJ = 61.0
"""The usual unit of the counters, 2 ** -14 J."""

PERIOD_S = 0.01
"""From one reading to the next: the counters move every millisecond, so that any reading is a fresh one."""


class Zone:
    """One counter: followed around when it starts again from zero."""

    def __init__(self, leaf: Leaf, folder: str, name: str, range_uj: int) -> None:
        self.name = name
        self._leaf = leaf
        self._path = folder + "/energy_uj"
        self._range_uj = range_uj
        self._last = leaf.number(self._path)
        self._total = 0

    def read(self) -> Optional[int]:
        """µJ since it was found; None where it can no longer be read, or never could."""
        now = self._leaf.number(self._path)
        if now is None or self._last is None:
            return None
        used = now - self._last
        self._total += used if used >= 0 else used + self._range_uj
        self._last = now
        return self._total


class Rapl(Sensor):
    """The sum of some zones."""

    form = "energy"

    def __init__(self, entry: Dict[str, Any], zones: List[Zone]) -> None:
        Sensor.__init__(self, entry, "rapl " + "+".join(zone.name for zone in zones))
        self._zones = zones
        self.lsb = LSB_UJ
        self.period_s = PERIOD_S

    def read(self) -> Optional[int]:
        """µJ of all its zones since it was found."""
        values = [zone.read() for zone in self._zones]
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None


def find(entry: Dict[str, Any], leaf: Leaf) -> Optional[Sensor]:
    """The zones of the declared name, or all packages; None where this user may read none.

    Since 2020 most kernels reserve them for root. Without a name only packages count: cores and DRAM are parts of one
    or a scope of their own, and `psys` holds them all.
    """
    found = zones(leaf, str(entry.get("name") or ""))
    return Rapl(entry, found) if found else None


def zones(leaf: Leaf, name: str = "") -> List[Zone]:
    """The counters that can be read, each once: intel-rapl-mmio shows packages that intel-rapl shows as well."""
    folders = [path[: -len("/name")] for path in leaf.glob(ROOT + "/*-rapl*:*/name")]
    found = []
    for folder in [folder for folder in folders if "mmio" not in folder] or folders:
        zone = leaf.read(folder + "/name") or ""
        wanted = zone == name if name else zone.startswith("package")
        span = leaf.number(folder + "/max_energy_range_uj")
        if wanted and span and leaf.number(folder + "/energy_uj") is not None:
            found.append(Zone(leaf, folder, zone, span))
    return found
