"""Heat, throttling and power sensors: whether what is declared is there, and what it says now."""

from __future__ import annotations

import re
from collections.abc import Iterator

from profiler.fleet.checks.findings import Finding, error, ok, warning
from profiler.fleet.checks.probe import Probe
from profiler.fleet.inventory.entries import DeviceEntry, SensorEntry, ThermalEntry, ThrottleEntry
from profiler.fleet.sessions.workplace import COMMAND_S, complaint
from profiler.fleet.targets import STICKY_BIT
from profiler.fleet.transport.base import Transport

__all__ = ["check_sensing", "commands_of", "files_of", "throttle_word"]

NEAR_CELSIUS = 5.0
"""So close to a limit, a board slows down in the first minutes of a campaign."""

TRIP_TOLERANCE = 0.6


def commands_of(declared: DeviceEntry) -> list[str]:
    """The programs to look for."""
    names = [sensor.name for sensor in declared.sensors if sensor.kind == "command" and sensor.name]
    return [*names, *(declared.throttle.command[:1] if declared.throttle else ())]


def files_of(declared: DeviceEntry) -> list[str]:
    """The files to look for."""
    found = list(declared.thermal.files) if declared.thermal else []
    return [*found, *([declared.throttle.file] if declared.throttle and declared.throttle.file else [])]


def check_sensing(declared: DeviceEntry, probe: Probe, transport: Transport) -> Iterator[Finding]:
    """Hold what is declared of sensors against the board; raises as Transport.run."""
    if declared.thermal is not None:
        yield from _thermal(declared.thermal, probe)
    if declared.throttle is not None:
        yield from _throttle(declared.throttle, probe, transport)
    for sensor in declared.sensors:
        yield from _sensor(sensor, probe, transport)


def _list(words: Iterator[str] | list[str]) -> str:
    return ", ".join(sorted(set(words))) or "none"


def _thermal(declared: ThermalEntry, probe: Probe) -> Iterator[Finding]:
    types = {zone.type for zone in probe.zones}
    for name in declared.zones:
        if name in types:
            yield ok(f"the thermal zone {name} is there")
        else:
            remedy = f"found: {_list(list(types))}; correct `thermal` in devices.yaml"
            yield warning(f"there is no thermal zone {name}", remedy)
    zones = [zone for zone in probe.zones if zone.type in declared.zones or not declared.zones]
    trips = sorted({trip for zone in zones for trip in zone.trips})
    shown = ", ".join(f"{trip:g}" for trip in trips) or "none"
    for wanted in declared.trips_celsius:
        if not any(abs(trip - wanted) <= TRIP_TOLERANCE for trip in trips):
            yield warning(
                f"no thermal zone has a trip point at {wanted:g} °C",
                f"the kernel's are: {shown}; correct `trips_celsius`, or list a limit of the firmware's under "
                "`limits_celsius`",
            )
        else:
            yield ok(f"there is a trip point at {wanted:g} °C")
    hottest = max((zone.celsius for zone in zones if zone.celsius is not None), default=None)
    lowest = min((*declared.trips_celsius, *declared.limits_celsius), default=None)
    if hottest is not None and lowest is not None:
        if hottest > lowest - NEAR_CELSIUS:
            yield warning(
                f"it is at {hottest:g} °C while it does nothing, and slows down at {lowest:g} °C",
                "cool it, or let it cool down, before it is measured",
            )
        else:
            yield ok(f"it is at {hottest:g} °C, and slows down at {lowest:g} °C")
    for pattern in declared.files:
        if pattern in probe.files:
            yield ok(f"the file {pattern} is there")
        else:
            yield warning(f"there is no file {pattern}", "correct `files` of `thermal` in devices.yaml")


def throttle_word(text: str) -> int | None:
    """The word of bits that a command or a file holds, such as "throttled=0x50005"; None where there is none."""
    match = re.search(r"(?:^|[=\s])(0x[0-9a-fA-F]{1,16}|[0-9]{1,18})\s*$", text.strip())
    return int(match[1], 0 if match[1].startswith("0x") else 10) if match else None


def _throttle(declared: ThrottleEntry, probe: Probe, transport: Transport) -> Iterator[Finding]:
    ways: list[tuple[str, list[str]]] = []
    if declared.command:
        name = declared.command[0]
        if name in probe.commands:
            ways.append((f"the throttle command `{' '.join(declared.command)}`", list(declared.command)))
        else:
            yield warning(f"there is no command {name}, by which it would say that it slows down", _THROTTLE_REMEDY)
    if declared.file:
        paths = probe.files.get(declared.file, [])
        if paths:
            ways.append((f"the throttle file {paths[0]}", ["cat", "--", paths[0]]))
        else:
            yield warning(
                f"there is no file {declared.file}, by which it would say that it slows down", _THROTTLE_REMEDY
            )
    for number, (name, argv) in enumerate(ways):
        result = transport.run(argv, timeout_s=COMMAND_S)
        text = result.stdout.decode("utf-8", "replace").strip()
        word = throttle_word(text.splitlines()[-1]) if result.exit_status == 0 and text else None
        if word is None:
            yield warning(f"{name} gives no word of bits ({complaint(result)})", _THROTTLE_REMEDY)
        elif number == 0 or not word:
            yield from _told(name, word, declared)


_THROTTLE_REMEDY = "correct `throttle` in devices.yaml; without it, heat shows only in the figures"


def _told(name: str, word: int, declared: ThrottleEntry) -> Iterator[Finding]:
    said = [text for bit, text in sorted(declared.bits.items()) if word >> bit & 1]
    now = word & ((1 << STICKY_BIT) - 1) if any(bit >= STICKY_BIT for bit in declared.bits) else word
    if not word:
        yield ok(f"{name} says that all is well")
    elif now:
        remedy = "mend its supply and cooling first: what is measured now is not the board's speed"
        yield warning(f"{name} says {hex(word)}: {', '.join(said) or 'bits that are not declared'}", remedy)
    else:
        remedy = "switch it off and on to clear this, and see whether it comes back under load"
        yield warning(f"{name} says {hex(word)}: {', '.join(said) or 'bits that are not declared'}", remedy)


def _sensor(declared: SensorEntry, probe: Probe, transport: Transport) -> Iterator[Finding]:
    name = f"the {declared.kind} sensor {declared.name}"
    if declared.name.replace("_", "-").startswith("tcpm-source-psy"):
        yield error(
            f"{name} is none: it shows the constant of the USB-PD contract, whatever the board draws",
            "remove it from `sensors`, and declare a meter (kind: external) if there is one",
        )
    elif declared.kind == "command":
        yield from _command(declared, probe, transport)
    elif declared.kind != "external":
        channels = probe.chips.get((declared.kind, declared.name))
        if not declared.name:  # the first of its kind is meant
            channels = next((found for (kind, _), found in probe.chips.items() if kind == declared.kind), None)
        if channels is None:
            there = _list([chip for kind, chip in probe.chips if kind == declared.kind])
            yield warning(f"{name} is not there", f"found: {there}; correct `sensors`, or load its driver")
            return
        missing = [word for channel in declared.channels for word in channel.split("+") if word.strip() not in channels]
        if declared.kind == "rapl" and "energy_uj" not in channels:
            yield warning(f"{name} is there, and may not be read", "allow it: `sudo chmod a+r` its energy_uj")
        elif missing:
            yield warning(f"{name} has no channel {', '.join(missing)}", f"it has: {_list(list(channels))}")
        else:
            yield ok(f"{name} is there")


def _command(declared: SensorEntry, probe: Probe, transport: Transport) -> Iterator[Finding]:
    if declared.name not in probe.commands:
        yield warning(f"there is no command {declared.name}", "install it, or correct `sensors` in devices.yaml")
        return
    if declared.name == "vcgencmd" and declared.channels:
        result = transport.run(["vcgencmd", *declared.channels[:1]], timeout_s=COMMAND_S)
        if result.exit_status != 0 or b"=" not in result.stdout or b"error" in result.stdout:
            yield warning(
                f"`vcgencmd {declared.channels[0]}` gives no figure ({complaint(result)})",
                f"put the user into the group: `sudo usermod -aG video {probe.user}`; boards before the Raspberry Pi 5 "
                "have no such sensor",
            )
            return
    yield ok(f"the command {declared.name} is there")
