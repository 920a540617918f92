"""From the names a user types to devices and targets."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecost.stages.places import fleet_root
from profiler.errors import ConfigError
from profiler.fleet.targets import Device, Target

if TYPE_CHECKING:
    from profiler.fleet.inventory.entries import DeviceEntry

__all__ = ["all_devices", "declared_entries", "find_target", "select_targets"]


def all_devices(devices_file: Path | None) -> tuple[Device, ...]:
    """The devices of a file; by default those of ./devices.yaml, and of the embedded fleets that were started here.

    Raises:
        ConfigError: when a file is malformed, or none exists.
    """
    from profiler.fleet.inventory.devices import load_devices, mark_shared

    return mark_shared(device for f in _files(devices_file) for device in load_devices(f))


def declared_entries(devices_file: Path | None) -> dict[str, DeviceEntry]:
    """What the same files declare about each device besides how to reach it: sensors, thermal zones, throttling."""
    from profiler.fleet.inventory.devices import load_document

    return {entry.id: entry for f in _files(devices_file) for entry in load_document(f).devices}


def _files(devices_file: Path | None) -> list[Path]:
    if devices_file is not None:
        return [devices_file]
    folders = (Path(), fleet_root(), fleet_root() / "simulated", fleet_root() / "aarch64")
    found = [folder / "devices.yaml" for folder in folders if (folder / "devices.yaml").exists()]
    if not found:
        raise ConfigError(
            "there is no devices.yaml here; write one, name one with --devices, or start six loopback boards "
            "with `edgecost fleet up`"
        )
    return found


def select_targets(devices: Iterable[Device], names: Sequence[str]) -> list[tuple[Device, Target]]:
    """The targets that the names mean: a target id, or a device id for all its targets.

    Raises:
        ConfigError: for a name that is neither, with the nearest one that is.
    """
    known = [(device, target) for device in devices for target in device.targets]
    chosen: list[tuple[Device, Target]] = []
    for name in names:
        found = [(d, t) for d, t in known if name in (t.id, d.id)]
        if not found:
            words = sorted({t.id for _, t in known} | {d.id for d, _ in known})
            near = difflib.get_close_matches(name, words, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted({d.id for d, _ in known}))}"
            raise ConfigError(f"no device or target is called {name!r}; {hint}")
        chosen.extend(pair for pair in found if pair not in chosen)
    return chosen


def find_target(devices: Iterable[Device], name: str) -> tuple[Device, Target]:
    """The one target that a name means.

    Raises:
        ConfigError: where it means none, or several.
    """
    found = select_targets(devices, [name])
    if len(found) > 1:
        raise ConfigError(f"{name!r} has several targets; say which: {', '.join(t.id for _, t in found)}")
    return found[0]
