"""Energy from the processor's own counters (RAPL through powercap); nothing is invented where there is none."""

from __future__ import annotations

import glob
import os
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

POWERCAP = "/sys/class/powercap"

LEAST_WINDOW_S = 1.0
LEAST_RUNS = 50
"""Shorter windows give no figure. The counters move about every millisecond, so that a second holds 1,000 updates."""


class Energy(NamedTuple):
    """What a meter says of one window.

    Attributes:
        energy_mj: gross energy of all packages per run, or None.
        issues: codes, where the sensor is to blame.
        notes: scope and length of the window, or why there is no figure.
    """

    energy_mj: Optional[float]
    issues: List[str]
    notes: Dict[str, Any]


class Counter(NamedTuple):
    """One package's counter: where it is, what it last showed and where it starts again from zero (in microjoules)."""

    folder: str
    energy_uj: int
    range_uj: int


def _number(path: str) -> Optional[int]:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def counters(root: str = POWERCAP) -> List[Counter]:
    """The packages' counters that this user may read (since 2020 most kernels reserve them for root).

    Only packages count: cores and DRAM are parts of one or would be a scope of their own, and `psys` holds them all.
    """
    found = []
    for folder in sorted(glob.glob(os.path.join(root, "*-rapl:*"))):
        try:
            with open(os.path.join(folder, "name")) as file:
                is_package = file.read().startswith("package")
        except OSError:
            continue
        energy, span = (_number(os.path.join(folder, name)) for name in ("energy_uj", "max_energy_range_uj"))
        # intel-rapl-mmio shows the same package once more
        if is_package and "mmio" not in folder and energy is not None and span:
            found.append(Counter(folder, energy, span))
    return found


class EnergyMeter:
    """Reads the counters when made, and again when asked for the energy since then.

    Args:
        root: the folder of the powercap class.
        clock: seconds, monotonic.
    """

    def __init__(self, root: str = POWERCAP, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counters = counters(root)
        self._began = clock()

    def read(self, runs: int) -> Energy:
        """The mean energy of each of `runs` runs since the meter was made."""
        window_s = self._clock() - self._began
        if not self._counters:
            return Energy(None, ["sensor_missing"], {})
        notes: Dict[str, Any] = {"energy_scope": "SoC-rails", "energy_window_s": round(window_s, 3)}
        total_uj = 0
        for counter in self._counters:
            now = _number(os.path.join(counter.folder, "energy_uj"))
            if now is None:
                return Energy(None, ["sensor_missing"], {"energy_note": "a counter can no longer be read"})
            used = now - counter.energy_uj
            total_uj += used if used >= 0 else used + counter.range_uj  # it started again from zero
        if window_s < LEAST_WINDOW_S or runs < LEAST_RUNS:
            return Energy(None, [], dict(notes, energy_note="the window is too short for a figure"))
        if total_uj <= 0:
            return Energy(None, ["sensor_missing"], dict(notes, energy_note="the counters stand still"))
        return Energy(total_uj / 1000 / runs, [], notes)
