"""Simulated boards as members of the embedded fleet: what lies in their homes, and what devices.yaml says of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profiler.fleet.inventory.yamltext import write_atomically
from profiler.fleet.virtual.simulated.presets import PRESETS
from profiler.fleet.virtual.simulated.spec import SimulatedSpec

__all__ = ["SIMULATED_BOARDS", "SimulatedBoard", "board_folder"]

_BITS = {
    2: "throttled", 3: "soft temperature limit", 18: "throttling has occurred", 19: "soft limit has occurred",
}  # fmt: skip


def board_folder(home: Path) -> Path:
    """Where a simulated board keeps what it is and what lasts: below its home."""
    return home / "simulated"


@dataclass(frozen=True, slots=True)
class SimulatedBoard:
    """A simulated board of the embedded fleet.

    Attributes:
        id: of the device.
        spec: what it is.
        scope: what its sensor's figures include, where it has a sensor.
        threads: of its targets.
        clock: of its targets: "unpinned", or a step of its clock in MHz.
    """

    id: str
    spec: SimulatedSpec
    scope: str = "board-in"
    threads: int = 1
    clock: str = "unpinned"

    def entry(self) -> dict[str, Any]:
        """What devices.yaml says of it, besides how it is reached."""
        spec = self.spec
        target = {"threads": self.threads, "clock": self.clock}
        found: dict[str, Any] = {
            "description": f"{spec.model} (no board: its figures are made up to test measuring)",
            "machine": self.id,  # virtual time is disturbed by nothing, so that none waits for another
            "emulation": "simulated",
            "governor": "performance" if "performance" in spec.clock.governors else "",
            "targets": [{"runtime": "simulated", "precision": precision, **target} for precision in ("fp32", "int8")],
        }
        if spec.thermal.zone_mode != "missing":
            found["thermal"] = {"zones": list(spec.thermal.zones), "trips_celsius": [spec.thermal.trip_c]}
        if spec.thermal.word:
            file = "/sys/devices/platform/soc*/soc*:firmware/get_throttled"
            found["throttle"] = {"command": ["vcgencmd", "get_throttled"], "file": file, "bits": dict(_BITS)}
        if spec.sensor is not None:
            sensor = spec.sensor
            found["sensors"] = [
                {
                    "kind": sensor.kind,
                    "name": sensor.name,
                    "channels": [sensor.channel] if sensor.channel else [],
                    "scope": self.scope,
                    "update_hz": round(1 / sensor.refresh_s, 3),
                    "forks": sensor.kind == "command",
                }
            ]
        return found

    def furnish(self, home: Path) -> Mapping[str, str]:
        """Lay its description into its home; the environment of its processes.

        What it remembers of an earlier life as the same board stays; as another board it begins anew.
        """
        folder = board_folder(home)
        folder.mkdir(exist_ok=True, mode=0o700)
        path, text = folder / "board.json", self.spec.to_json() + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            for name in ("state.json", "controls.json", "truth.jsonl"):
                with contextlib.suppress(FileNotFoundError):
                    (folder / name).unlink()
            write_atomically(path, text, mode=0o600)
        return {"EDGECOST_LEAF": "simulated", "EDGECOST_SIMULATED": str(path.resolve())}


_SCOPES = {"rpi5": "SoC-rails", "jetson-orin-nano": "module-in", "kv260": "module-in", "rock5b": "wall"}

SIMULATED_BOARDS: tuple[SimulatedBoard, ...] = tuple(
    SimulatedBoard(f"sim-{spec.id}", spec, _SCOPES.get(spec.id, "board-in"))
    for spec in PRESETS.values()
    if spec.id != "ideal"
)
"""The six that `edgecost fleet up --simulated` serves."""
