"""Asking a board which power sensors it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from profiler.fleet.targets import Device

__all__ = ["find_sensors", "sensors_of"]


def find_sensors(devices: Sequence[Device], target: str) -> list[dict[str, Any]]:
    """What a board has that shows power: kind, name and channels as devices.yaml takes them.

    Raises:
        ConfigError: no such target.
        DeviceError: the board cannot be reached.
    """
    from edgecost.stages.targets import select_targets
    from profiler.fleet.checks.probe import ask
    from profiler.fleet.transport.ssh import connect

    device = select_targets(devices, [target])[0][0]
    transport = connect(device)
    try:
        probe = ask(transport, ["vcgencmd"])
    finally:
        transport.close()
    return list(sensors_of(probe.chips, "vcgencmd" in probe.commands))


def sensors_of(chips: dict[tuple[str, str], set[str]], has_vcgencmd: bool) -> Iterator[dict[str, Any]]:
    """What of a probe's chips shows power, current or energy."""
    from profiler.agent.sensors.hwmon import CONTRACT

    for (kind, name), channels in sorted(chips.items()):
        if not any("power" in c or "curr" in c or "energy" in c for c in channels):
            continue
        note = ""
        if name.replace("_", "-").startswith(CONTRACT):
            note = "no sensor: the constant of a USB-PD contract"
        elif kind == "battery":
            note = "while the board runs from it"
        yield {"kind": kind, "name": name, "channels": sorted(channels), "note": note}
    if has_vcgencmd:
        note = "on a Raspberry Pi 5 only"
        yield {"kind": "command", "name": "vcgencmd", "channels": ["pmic_read_adc"], "note": note}
