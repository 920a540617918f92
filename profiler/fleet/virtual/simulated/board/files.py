"""The files and programs that a simulated board has: a virtual /proc and /sys, and vcgencmd where its model has one.

Nothing else is there, least of all the files of the machine that simulates it.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from .machine import Machine

READ_S = 20e-6
FORK_S = 4e-3
"""What reading a small file takes, and starting a program."""

CPU = "/sys/devices/system/cpu"
POLICY = CPU + "/cpufreq/policy0"
HWMON = "/sys/class/hwmon/hwmon1"
WORD = "/sys/devices/platform/soc/soc:firmware/get_throttled"

RAILS = (
    ("3V7_WL_SW", 3.7, 0.02), ("3V3_SYS", 3.3, 0.08), ("1V8_SYS", 1.8, 0.06), ("DDR_VDD2", 1.1, 0.06),
    ("DDR_VDDQ", 0.6, 0.01), ("1V1_SYS", 1.1, 0.08), ("0V8_SW", 0.8, 0.10), ("VDD_CORE", 0.75, 0.55),
    ("3V3_DAC", 3.3, 0.01), ("3V3_ADC", 3.3, 0.01), ("0V8_AON", 0.8, 0.01), ("HDMI", 5.0, 0.01),
)  # fmt: skip
"""The rails of a Raspberry Pi 5 that have both a voltage and a current: name, volts, share of the power."""


class Files:
    """What can be read, written and run on a board.

    Args:
        machine: the board.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        spec = machine.spec
        self._texts: dict[str, Callable[[], str | None]] = {}
        self._writes: dict[str, Callable[[str], None]] = {}
        self._programs: dict[tuple[str, ...], Callable[[], str | None]] = {}
        self._system(spec)
        self._cpufreq(spec["clock"], spec["cpus"])
        self._thermal(spec["thermal"])
        if spec["sensor"]:
            self._sensor(spec["sensor"])
        folders = {folder for path in self._texts for folder in _above(path)}
        self._paths = sorted(folders | set(self._texts))

    # ---------------------------------------------------------------- what the leaf asks

    def read(self, path: str) -> str | None:
        """A file's text; None where it is not there."""
        self._machine.spend(READ_S)
        text = self._texts.get(_plain(path))
        return None if text is None else text()

    def write(self, path: str, value: str) -> None:
        """Set a control; OSError where there is none, or it may not be set."""
        self._machine.spend(READ_S)
        where = _plain(path)
        if where not in self._texts:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if where not in self._writes:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        self._writes[where](value.strip())

    def glob(self, pattern: str) -> list[str]:
        """The paths that match, sorted."""
        parts = _plain(pattern).split("/")
        return [path for path in self._paths if _matches(path.split("/"), parts) and self._is_there(path)]

    def run(self, argv: Sequence[str]) -> str | None:
        """What a program says; None where there is none."""
        text = self._programs.get((os.path.basename(argv[0]), *argv[1:]) if argv else ())
        if text is None:
            return None
        self._machine.spend(FORK_S)
        return text()

    def _is_there(self, path: str) -> bool:
        return path not in self._texts or self._texts[path]() is not None

    # ---------------------------------------------------------------- what there is

    def _put(self, path: str, text: Any) -> None:
        self._texts[path] = text if callable(text) else lambda: str(text)

    def _system(self, spec: dict[str, Any]) -> None:
        machine = self._machine
        # another spec is another board
        identity = hashlib.sha256(json.dumps(spec, sort_keys=True).encode("utf-8")).hexdigest()
        cpus = spec["cpus"]
        self._put("/etc/machine-id", identity[:32])
        self._put("/etc/os-release", 'PRETTY_NAME="edgecost simulated board"')
        self._put("/proc/device-tree/model", spec["model"])
        self._put("/proc/cpuinfo", "\n".join(f"processor\t: {cpu}" for cpu in range(cpus)))
        self._put("/proc/meminfo", f"MemTotal: {spec['memory_mb'] * 1024} kB")
        self._put("/proc/sys/kernel/random/boot_id", lambda: boot_id(spec, machine.state["boots"]))
        self._put("/proc/sys/kernel/osrelease", "0-simulated")
        self._put("/proc/sys/kernel/arch", "simulated")
        self._put("/proc/uptime", lambda: f"{machine.uptime_s:.2f} {machine.uptime_s:.2f}")
        self._put("/proc/loadavg", lambda: f"{machine.state['load1']:.2f} 0.00 0.00 1/100 1000")
        self._put("/proc/pressure/cpu", self._pressure)
        self._put("/proc/stat", self._stat)
        self._put(CPU + "/online", f"0-{cpus - 1}")
        self._put(CPU + "/possible", f"0-{cpus - 1}")
        for cpu in range(cpus):
            cache = f"{CPU}/cpu{cpu}/cache/index2/"
            self._put(cache + "level", 2)
            self._put(cache + "type", "Unified")
            self._put(cache + "size", f"{spec['roofline']['cache_bytes'] // 1024}K")

    def _pressure(self) -> str:
        state = self._machine.state
        waited_us = round(state["stall_s"] * 1e6)
        return f"some avg10={state['stall_avg10']:.2f} avg60=0.00 avg300=0.00 total={waited_us}"

    def _stat(self) -> str:
        """Jiffies, of which none are stolen."""
        busy = int(100 * self._machine.state["busy_s"])
        other = int(100 * self._machine.state["stall_s"])
        idle = max(0, int(100 * self._machine.now_s * self._machine.spec["cpus"]) - busy - other)
        return f"cpu  {busy} 0 {other} {idle} 0 0 0 0 0 0"

    def _cpufreq(self, clock: dict[str, Any], cpus: int) -> None:
        machine, mhz = self._machine, clock["mhz"]
        files: dict[str, Any] = {
            "scaling_cur_freq": lambda: str(mhz[machine.step(machine.working)] * 1000),
            "cpuinfo_cur_freq": lambda: str(mhz[machine.step(machine.working)] * 1000),
            "scaling_governor": lambda: str(machine.governor.get("governor")),
            "scaling_min_freq": lambda: str(machine.governor.get("min_khz")),
            "scaling_max_freq": lambda: str(machine.governor.get("max_khz")),
            "scaling_setspeed": lambda: str(machine.governor.get("speed_khz")),
            "cpuinfo_min_freq": mhz[0] * 1000,
            "cpuinfo_max_freq": mhz[-1] * 1000,
            "scaling_available_frequencies": " ".join(str(step * 1000) for step in mhz),
            "scaling_available_governors": " ".join(clock["governors"]),
            "scaling_driver": "simulated",
            "related_cpus": " ".join(str(cpu) for cpu in range(cpus)),
            "affected_cpus": " ".join(str(cpu) for cpu in range(cpus)),
        }
        writes = {
            "scaling_governor": self._set_governor,
            "scaling_min_freq": lambda value: self._set_khz("min_khz", value),
            "scaling_max_freq": lambda value: self._set_khz("max_khz", value),
            "scaling_setspeed": lambda value: self._set_khz("speed_khz", value),
        }
        for folder in [POLICY] + [f"{CPU}/cpu{cpu}/cpufreq" for cpu in range(cpus)]:
            for name, text in files.items():
                self._put(f"{folder}/{name}", text)
                if name in writes and clock["writable"]:
                    self._writes[f"{folder}/{name}"] = writes[name]

    def _set_governor(self, value: str) -> None:
        if value not in self._machine.spec["clock"]["governors"]:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._machine.governor.set("governor", value)

    def _set_khz(self, name: str, value: str) -> None:
        steps = self._machine.spec["clock"]["mhz"]
        if not value.isdigit() or (name == "speed_khz" and self._machine.governor.get("governor") != "userspace"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        khz = min(max(int(value), steps[0] * 1000), steps[-1] * 1000)
        low, high = self._machine.governor.get("min_khz"), self._machine.governor.get("max_khz")
        if (name == "min_khz" and khz > high) or (name == "max_khz" and khz < low):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._machine.governor.set(name, khz)

    def _thermal(self, thermal: dict[str, Any]) -> None:
        machine = self._machine

        def millidegrees() -> str:
            if thermal["zone_mode"] == "zero":
                return "0"
            return str(int(machine.heat.celsius * 1000) // thermal["step_mc"] * thermal["step_mc"])

        if thermal["zone_mode"] != "missing":
            for number, zone in enumerate(thermal["zones"]):
                folder = f"/sys/class/thermal/thermal_zone{number}/"
                self._put(folder + "type", zone)
                self._put(folder + "temp", millidegrees)
                self._put(folder + "trip_point_0_temp", int(thermal["trip_c"] * 1000))
                self._put(folder + "trip_point_0_type", "passive")
        if thermal["word"]:
            self._put(WORD, lambda: format(machine.heat.state["word"], "x"))
            self._programs["vcgencmd", "get_throttled"] = lambda: f"throttled=0x{machine.heat.state['word']:x}"
            self._programs["vcgencmd", "measure_temp"] = lambda: f"temp={machine.heat.celsius:.1f}'C"

    def _sensor(self, spec: dict[str, Any]) -> None:
        def scaled(scale: float) -> Callable[[], str | None]:
            def text() -> str | None:
                watts = self._watts()
                return None if watts is None else str(round(watts * scale))

            return text

        if spec["kind"] == "command":
            self._programs["vcgencmd", "pmic_read_adc"] = self._pmic
            return
        self._put(HWMON + "/name", spec["name"])
        self._put(HWMON + "/update_interval", max(1, round(spec["refresh_s"] * 1000)))
        if spec["channel"]:
            self._put(HWMON + "/in1_label", spec["channel"])
        if spec["shunt_uohm"]:
            self._put(HWMON + "/shunt1_resistor", spec["shunt_uohm"])
        self._put(HWMON + "/in1_input", round(spec["volts"] * 1000))
        self._put(HWMON + "/curr1_input", scaled(1000 / spec["volts"]))
        if spec["form"] == "power":
            self._put(HWMON + "/power1_input", scaled(1e6))

    def _watts(self) -> float | None:
        assert self._machine.sensor is not None
        return self._machine.sensor.watts(self._machine.uptime_s)

    def _pmic(self) -> str | None:
        """As the Raspberry Pi 5's firmware prints its rails: first all currents, then all voltages."""
        watts = self._watts()
        if watts is None:
            return None
        lines = [f"{name}_A current({n})={watts * share / volts:.8f}A" for n, (name, volts, share) in enumerate(RAILS)]
        lines += [f"{name}_V volt({n})={volts:.8f}V" for n, (name, volts, _) in enumerate(RAILS, len(RAILS))]
        lines += ["EXT5V_V volt(24)=5.10000000V", "BATT_V volt(25)=0.00000000V"]
        return "\n".join(line.rjust(36) for line in lines)


def boot_id(spec: dict[str, Any], boots: int) -> str:
    """A board's boot by its number."""
    name = f"{spec['id']}/{spec['seed']}/{boots}"
    return str(uuid.UUID(hashlib.sha256(name.encode()).hexdigest()[:32]))


def _plain(path: str) -> str:
    return os.path.normpath(path)


def _above(path: str) -> list[str]:
    found = []
    while path not in ("/", ""):
        path = os.path.dirname(path)
        found.append(path)
    return found


def _matches(path: list[str], pattern: list[str]) -> bool:
    return len(path) == len(pattern) and all(map(fnmatch.fnmatchcase, path, pattern))
