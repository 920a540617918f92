"""What a study and scores took: time, and energy where something measures it; elsewhere an estimate, labelled so."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["Meter", "scoring_seconds"]


class Meter:
    """The time and the energy of a stretch of work in this process.

    Energy is read from the processor's own counters (RAPL) where they can be read: that of the whole package, whatever
    else runs on it. Where they cannot, it is estimated as processor time times an assumed power of one busy core, in
    the manner of codecarbon.

    Args:
        watts: that power.
    """

    def __init__(self, watts: float) -> None:
        from profiler.agent.leaf import Leaf
        from profiler.agent.sensors.rapl import zones

        self._watts = watts
        self._counters = zones(Leaf())
        self._started_s, self._started_cpu_s = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, Any]:
        """Seconds, processor seconds, and the energy in joules with how it was had."""
        wall_s, cpu_s = time.perf_counter() - self._started_s, time.process_time() - self._started_cpu_s
        spent_uj = [counter.read() for counter in self._counters]
        known = [used for used in spent_uj if used is not None]
        if known and len(known) == len(spent_uj):
            energy_j, how = sum(known) / 1e6, "measured: the processor's counters (RAPL), all processes together"
        else:
            energy_j, how = cpu_s * self._watts, _estimate(self._watts)
        return {"wall_s": round(wall_s, 3), "cpu_s": round(cpu_s, 3), "energy_j": energy_j, "energy_is": how}


def _estimate(watts: float) -> str:
    return f"ESTIMATE: processor seconds x {watts:g} W assumed of a busy core; no sensor was read"


def scoring_seconds(folders: Sequence[Path], watts: float) -> list[dict[str, Any]]:
    """What the scores of every identity of stores took: seconds in all, as the machines that scored counted them, and
    an estimate of the energy, as if each had kept one core busy."""
    from search.evrsnas.ablations import settings_in
    from search.evrsnas.store import existing_store

    found: list[dict[str, Any]] = []
    for folder in folders:
        longest: dict[str, dict[tuple[str, int, int], float]] = {}
        for row in existing_store(folder).rows():
            of = longest.setdefault(row.identity, {})
            key = (row.architecture, row.seed, row.network)
            of[key] = max(of.get(key, 0.0), row.seconds)
        for identity, networks in longest.items():
            seconds = sum(networks.values())
            found.append(
                {
                    "identity": identity[:8],
                    "preset": settings_in(folder, identity).get("preset"),
                    "networks": len(networks),
                    "architectures": len({key[0] for key in networks}),
                    "seconds": round(seconds, 1),
                    "energy_j": seconds * watts,
                    "energy_is": _estimate(watts),
                }
            )
    return found
