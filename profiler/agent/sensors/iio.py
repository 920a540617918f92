"""Power that the kernel shows through iio: Jetson boards with the old ina3221x driver, and others that keep to its ABI.

Units are those of the iio interface: mV, mA, mW.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, NamedTuple, Optional

from ..leaf import Leaf
from .base import Sensor
from .hwmon import refuse_contract

ROOT = "/sys/bus/iio/devices"

MICROWATTS = 1000.0
"""In a milliwatt."""


class Term(NamedTuple):
    """Files that are multiplied with each other and with a factor, which makes µW of them."""

    paths: List[str]
    factor: float


class Iio(Sensor):
    """A channel of an iio device, or the sum of several ("VDD_CPU+VDD_GPU")."""

    def __init__(self, entry: Dict[str, Any], leaf: Leaf, terms: List[Term], name: str) -> None:
        Sensor.__init__(self, entry, name)
        self._leaf = leaf
        self._terms = terms

    def read(self) -> Optional[int]:
        """The sum of its channels in µW."""
        total = 0.0
        for term in self._terms:
            product = term.factor
            for path in term.paths:
                value = self._leaf.number(path)
                if value is None:
                    return None
                product *= value
            total += product
        return round(total)


def find(entry: Dict[str, Any], leaf: Leaf) -> Optional[Sensor]:
    """The declared device's first channel; None where it is not there.

    Raises:
        Refused: it is the contract of a USB-PD supply.
    """
    name = str(entry.get("name") or "")
    refuse_contract(name)
    channel = (list(entry.get("channels") or ()) or [""])[0]
    for path in leaf.glob(ROOT + "/iio:device*/name"):
        if leaf.read(path) != name:
            continue
        found = [_term(path[: -len("/name")], word.strip(), leaf) for word in channel.split("+")]
        terms = [term for term in found if term is not None]
        if len(terms) == len(found):
            sensor = Iio(entry, leaf, terms, ("iio %s %s" % (name, channel)).strip())
            if sensor.read() is not None:
                return sensor
    return None


def _term(folder: str, channel: str, leaf: Leaf) -> Optional[Term]:
    number = _number(folder, channel, leaf)
    if number is None:
        return None
    ready = "%s/in_power%s_input" % (folder, number)
    if leaf.number(ready) is not None:
        return Term([ready], MICROWATTS)
    raw, scale = "%s/in_power%s_raw" % (folder, number), leaf.read("%s/in_power%s_scale" % (folder, number))
    try:
        factor = float(scale or "")
    except ValueError:
        factor = 0.0
    if factor > 0 and leaf.number(raw) is not None:
        return Term([raw], factor * MICROWATTS)
    pair = ["%s/in_%s%s_input" % (folder, kind, number) for kind in ("voltage", "current")]
    return Term(pair, 1.0) if all(leaf.number(path) is not None for path in pair) else None


def _number(folder: str, channel: str, leaf: Leaf) -> Optional[str]:
    """Which of a device's channels is meant: by its file, the name of its rail, or its label; "": the first."""
    named = re.match(r"in_(?:power|voltage|current)(\d*)_", channel)
    if named:
        return named.group(1)
    if channel:
        for path in leaf.glob(folder + "/rail_name_*") + leaf.glob(folder + "/in_*_label"):
            if leaf.read(path) == channel:
                return _digits(path)
        return None
    for pattern in ("/in_power*_input", "/in_power*_raw", "/in_current*_input"):
        for path in leaf.glob(folder + pattern):
            return _digits(path)
    return None


def _digits(path: str) -> str:
    found = re.search(r"(\d+)(?:_[a-z]+)?$", path)
    return found.group(1) if found else ""
