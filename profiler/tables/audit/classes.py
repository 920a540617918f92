"""What kinds of device draw and compute: bounds so wide that no such device is outside of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from profiler.errors import ConfigError

__all__ = ["DEVICE_CLASSES", "UNKNOWN", "DeviceClass", "class_named", "guess_class"]


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """Bounds of one kind of device.

    Attributes:
        name: for people and for `--device-class`.
        low_w, high_w: power while it computes, board or chip, whatever the sensor's scope.
        floor_gmacs, peak_gmacs: 10^9 multiply-adds a second that the median network reaches at least, and that
            no network can exceed.
        pattern: of names of devices that are of this kind.
    """

    name: str
    low_w: float
    high_w: float
    floor_gmacs: float
    peak_gmacs: float
    pattern: str = ""


DEVICE_CLASSES: dict[str, DeviceClass] = {
    c.name: c
    for c in (
        # power: makers' data sheets, supply limits rounded up; compute: cores x clock x multiply-adds a cycle in the
        # narrowest type that the device multiplies, rounded up
        DeviceClass("raspberry-pi-4", 0.5, 15, 0.05, 60, r"raspi[-_ ]?4|rpi[-_ ]?4|raspberry"),
        DeviceClass("raspberry-pi-5", 0.5, 27, 0.1, 320, r"raspi[-_ ]?5|rpi[-_ ]?5"),
        DeviceClass("jetson", 0.5, 60, 0.3, 20_000, r"jetson|edge[-_ ]?gpu|tx2|orin|xavier"),
        DeviceClass("edge-tpu", 0.2, 10, 0.3, 2_000, r"edge[-_ ]?tpu|coral"),
        DeviceClass("phone", 0.05, 12, 0.05, 1_000, r"pixel|samsung|essential|galaxy|phone|note ?10|huawei|xiaomi"),
        DeviceClass("research-asic", 0.005, 2, 0.3, 50, r"eyeriss"),
        DeviceClass("fpga", 0.3, 75, 0.3, 4_000, r"fpga|zc706|zcu10|zynq|ultra96"),
        DeviceClass("desktop-gpu", 5, 600, 0.1, 500_000, r"1080|2080|3090|titan|rtx|gtx|v100|a100|h100"),
        DeviceClass("server-cpu", 2, 500, 0.1, 20_000, r"xeon|gold|silver|epyc|i7|i9|ryzen"),
        DeviceClass("microcontroller", 1e-5, 2, 1e-5, 10, r"stm32|cortex-?m|esp32|nrf5"),
    )
}
"""By name. The first whose pattern is found in a device's name counts."""

UNKNOWN = DeviceClass("unknown", 1e-5, 1_000, 1e-5, 1_000_000)
"""Of a device that says nothing about itself: hardly more than that figures are positive and in known units."""


def guess_class(device: str) -> DeviceClass:
    """The class that a device's name speaks of."""
    return next((c for c in DEVICE_CLASSES.values() if re.search(c.pattern, device, re.IGNORECASE)), UNKNOWN)


def class_named(name: str) -> DeviceClass:
    """The class of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in DEVICE_CLASSES:
        raise ConfigError(f"there is no device class {name!r}; choose one of {', '.join(DEVICE_CLASSES)}")
    return DEVICE_CLASSES[name]
