"""Power monitors that the kernel shows as hwmon chips, such as the INA219, INA226, INA260 and INA3221.

A chip is found by its name, since numbers move between boots, and a channel by its label or by the name of its file.
Units are those of the kernel's hwmon interface: mV, mA, µW, µJ.
"""

from __future__ import annotations

import math
import re
from typing import Any, Dict, List, NamedTuple, Optional

from ..leaf import Leaf
from .base import Refused, Sensor, period_s

ROOT = "/sys/class/hwmon"

CONTRACT = "tcpm-source-psy"
"""Its "current" is what the supply and the board agreed upon over USB-PD, whatever the board draws."""

SHUNT_U = 0.01
"""Tolerance of a shunt that stands beside its chip, where nobody says which it is: the common kind has 1 %."""


class Chip(NamedTuple):
    """What a data sheet says, at worst at 25 °C.

    Attributes:
        shunt_uv: step of the shunt voltage in µV; 0 where the shunt is inside and `current_ua` holds.
        current_ua: step of the current in µA, of chips with a shunt inside.
        power_steps: so many steps of current, times 1 V, are one step of its own power figure; 0 where it has none.
        gain_u: of current and voltage together, without the shunt.
        offset_uv, offset_ua: of the shunt voltage, or of the current.
    """

    shunt_uv: float
    current_ua: float
    power_steps: float
    gain_u: float
    offset_uv: float
    offset_ua: float


CHIPS = {
    "ina219": Chip(10.0, 0.0, 20.0, 0.007, 100.0, 0.0),
    "ina220": Chip(10.0, 0.0, 20.0, 0.007, 100.0, 0.0),
    "ina226": Chip(2.5, 0.0, 25.0, 0.0014, 10.0, 0.0),
    "ina230": Chip(2.5, 0.0, 25.0, 0.0042, 50.0, 0.0),
    "ina231": Chip(2.5, 0.0, 25.0, 0.0071, 50.0, 0.0),
    "ina260": Chip(0.0, 1250.0, 8.0, 0.0018, 0.0, 5000.0),
    "ina3221": Chip(40.0, 0.0, 0.0, 0.0036, 80.0, 0.0),
}


SHOWN_UA = 1000.0
"""The kernel shows currents in whole mA, whatever a chip's own step is."""

HARMONICS = 25
"""Of the sawtooth that rounding is; what is beyond adds a fiftieth."""


class Hwmon(Sensor):
    """One channel of a chip, or the sum of several ("VDD_CPU+VDD_GPU"); each is a file, or volts times amperes."""

    def __init__(self, entry: Dict[str, Any], leaf: Leaf, folder: str, chip: str, channel: str) -> None:
        Sensor.__init__(self, entry, ("hwmon %s %s" % (chip, channel)).strip())
        self._leaf = leaf
        self._terms: List[List[str]] = []
        self.missing = False
        for word in channel.split("+") if channel else [""]:
            files = files_of(folder, word.strip(), leaf)
            self.missing = self.missing or not files
            self._terms.append(files)
        if all(len(term) == 1 and "/energy" in term[0] for term in self._terms):
            self.form = "energy"
        interval_ms = leaf.number(folder + "/update_interval")
        if not entry.get("update_hz") and interval_ms:
            self.period_s = period_s(1000 / interval_ms, False)
        if not self.missing:
            self._judge(folder, chip)

    def read(self) -> Optional[int]:
        """The sum of its channels in µW, or µJ."""
        total = 0
        for term in self._terms:
            product = 1
            for path in term:
                value = self._leaf.number(path)
                if value is None:
                    return None
                product *= value
            total += product
        return total

    def _judge(self, folder: str, chip: str) -> None:
        """Step and uncertainties, where the chip is one that is known."""
        found = re.match(r"ina\d+", chip)
        known = CHIPS.get(found.group()) if found else None
        if known is None:
            return
        inside = known.current_ua > 0
        self.gain_u = known.gain_u if inside else math.hypot(known.gain_u, SHUNT_U)
        steps, offsets, periodics = [], [], []
        for term in self._terms:
            number = _number_of(term[0])
            shunt_uohm = _first(self._leaf, folder, ("shunt%s_resistor" % number, "shunt_resistor"))
            millivolts = self._leaf.number("%s/in%s_input" % (folder, number))
            if not inside and not shunt_uohm:
                return
            step_ua = known.current_ua if inside else known.shunt_uv / float(shunt_uohm or 1) * 1e6
            offset_ua = known.offset_ua if inside else known.offset_uv / float(shunt_uohm or 1) * 1e6
            if "/power" in term[0] and known.power_steps:
                steps.append(step_ua * known.power_steps)
            elif millivolts:
                steps.append(max(step_ua, SHOWN_UA) * millivolts / 1000)
                periodics.append(periodic_u_ua(step_ua) * millivolts / 1000)
            if millivolts:
                offsets.append(offset_ua * millivolts / 1000)
        if self.form == "power" and len(steps) == len(self._terms):
            self.lsb = math.sqrt(sum(step * step for step in steps))
            self.periodic_uw = math.sqrt(sum(u * u for u in periodics))
        if len(offsets) == len(self._terms):
            self.offset_uw = math.sqrt(sum(offset * offset for offset in offsets))


def periodic_u_ua(step_ua: float) -> float:
    """What the kernel's whole mA leave open of a mean current, in µA, k = 2; 0 where the step is whole mA itself.

    The chip's code n is shown as step x n, rounded: a second rounding, of values that stand on a lattice. Its error is
    the sawtooth sum over k of (1 mA / pi k) sin(2 pi k current / mA), seen at multiples of the step only. So the k-th
    harmonic has the beat of k with the lattice for its frequency, slow where the step is near to a simple fraction of
    mA: with steps of 1.25 mA the error repeats every 5 mA. Noise that carries the value over a step or two averages
    the fast ones out (`lsb` stands for these) and leaves the slow ones. A wave of amplitude a at a phase that nobody
    knows has U = a sqrt(2).
    """
    step = step_ua / SHOWN_UA
    slow = 0.0
    for k in range(1, HARMONICS + 1):
        beat = abs(k - round(k * step) / step)  # turns a mA
        if 1e-6 < beat < 0.999 / max(step, 1.0):
            slow += (SHOWN_UA / (math.pi * k)) ** 2
    return math.sqrt(2 * slow)


def find(entry: Dict[str, Any], leaf: Leaf) -> Optional[Sensor]:
    """The declared chip's first channel; None where it is not there.

    Raises:
        Refused: it is the contract of a USB-PD supply.
    """
    name = str(entry.get("name") or "")
    refuse_contract(name)
    channel = (list(entry.get("channels") or ()) or [""])[0]
    for path in leaf.glob(ROOT + "/hwmon*/name"):
        if leaf.read(path) == name:
            sensor = Hwmon(entry, leaf, path[: -len("/name")], name, channel)
            if not sensor.missing and sensor.read() is not None:
                return sensor
    return None


def refuse_contract(name: str) -> None:
    """Refused for what only looks like a sensor."""
    if name.replace("_", "-").startswith(CONTRACT):
        raise Refused("%s shows the constant of the USB-PD contract, whatever the board draws" % name)


def files_of(folder: str, channel: str, leaf: Leaf) -> List[str]:
    """The files whose product is a channel; none where there is no such channel.

    Args:
        channel: a label, a file's name, or "": the first that the chip has.
    """
    if not channel:
        number = "1"
    elif re.match(r"(power|energy)\d+_(input|average)$", channel):
        path = "%s/%s" % (folder, channel)
        return [path] if leaf.number(path) is not None else []
    elif re.match(r"(curr|in)\d+_input$", channel):
        number = _number_of(channel)
        return _volts_times_amperes(folder, number, leaf)
    else:
        labels = [path for path in leaf.glob(folder + "/*_label") if leaf.read(path) == channel]
        if not labels:
            return []
        number = _number_of(labels[0])
    for name in ("power%s_input" % number, "power%s_average" % number):
        if leaf.number("%s/%s" % (folder, name)) is not None:
            return ["%s/%s" % (folder, name)]
    return _volts_times_amperes(folder, number, leaf)


def _volts_times_amperes(folder: str, number: str, leaf: Leaf) -> List[str]:
    paths = ["%s/%s%s_input" % (folder, kind, number) for kind in ("curr", "in")]
    return paths if all(leaf.number(path) is not None for path in paths) else []


def _number_of(path: str) -> str:
    found = re.search(r"(\d+)_[a-z]+$", path)
    return found.group(1) if found else "1"


def _first(leaf: Leaf, folder: str, names: Any) -> Optional[int]:
    for name in names:
        value = leaf.number("%s/%s" % (folder, name))
        if value:
            return value
    return None
