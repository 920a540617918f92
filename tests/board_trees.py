"""What /sys and /proc look like on boards that nobody here has: made after drivers and device trees, not copied."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["TREES", "grow"]

CPU = "sys/devices/system/cpu"


def _policy(cpus: range, khz: int, governor: str, low: int | None = None, high: int | None = None) -> dict[str, str]:
    folder = f"{CPU}/cpufreq/policy{cpus.start}"
    return {
        f"{folder}/related_cpus": " ".join(map(str, cpus)),
        f"{folder}/scaling_governor": governor,
        f"{folder}/scaling_available_governors": "ondemand performance schedutil",
        f"{folder}/cpuinfo_max_freq": str(khz),
        f"{folder}/scaling_min_freq": str(low or khz // 3),
        f"{folder}/scaling_max_freq": str(high or khz),
    }


def _cores(count: int, capacities: Mapping[int, int] | None = None) -> dict[str, str]:
    known = capacities or {}
    cores = {f"{CPU}/cpu{n}/cpu_capacity": str(known[n]) for n in known}
    return {f"{CPU}/online": f"0-{count - 1}", **{f"{CPU}/cpu{n}/topology/id": "0" for n in range(count)}, **cores}


def _zone(number: int, kind: str, celsius: float, *trips: float) -> dict[str, str]:
    folder = f"sys/class/thermal/thermal_zone{number}"
    points = {f"{folder}/trip_point_{i}_temp": str(int(trip * 1000)) for i, trip in enumerate(trips)}
    return {f"{folder}/type": kind, f"{folder}/temp": str(int(celsius * 1000)), **points}


def _memory(mb: int) -> dict[str, str]:
    return {"proc/meminfo": f"MemTotal:       {mb * 1024} kB\nMemFree:  1 kB"}


RPI5 = {
    **_cores(4),
    **_policy(range(4), 2_400_000, "ondemand"),
    **_zone(0, "cpu-thermal", 51.5, 50, 60, 67.5, 75, 110),
    **_memory(8059),
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "sys/class/hwmon/hwmon0/name": "cpu_thermal",
    "sys/class/hwmon/hwmon0/temp1_input": "51500",
    "sys/class/hwmon/hwmon2/name": "rpi_volt",
}

ROCK5B = {
    **_cores(8, {**dict.fromkeys(range(4), 530), **dict.fromkeys((4, 5), 1024), **dict.fromkeys((6, 7), 1001)}),
    **_policy(range(4), 1_800_000, "performance"),
    **_policy(range(4, 6), 2_400_000, "performance", 1_800_000, 1_800_000),
    **_policy(range(6, 8), 2_352_000, "performance", 1_800_000, 1_800_000),
    **_zone(0, "soc-thermal", 40, 75, 85, 115),
    **_zone(1, "bigcore0-thermal", 83, 75, 85, 115),
    **_memory(15_900),
    "proc/device-tree/model": "Radxa ROCK 5B\0",
    "sys/class/hwmon/hwmon9/name": "tcpm_source_psy_4_0022",
    "sys/class/hwmon/hwmon9/curr1_input": "3000",
}

JETSON = {
    **_cores(6),
    **_policy(range(6), 1_510_400, "schedutil"),
    **_zone(0, "cpu-thermal", 45, 99, 104.5),
    **_zone(1, "gpu-thermal", -256),
    **_memory(7620),
    "sys/class/hwmon/hwmon1/name": "ina3221",
    **{
        f"sys/class/hwmon/hwmon1/{file}": value
        for number, label in enumerate(("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"), start=1)
        for file, value in ((f"in{number}_label", label), (f"in{number}_input", "5000"), (f"curr{number}_input", "9"))
    },
    "sys/class/hwmon/hwmon1/in7_label": "sum of shunt voltages",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
}

KV260 = {
    **_cores(4),
    **_memory(3900),
    "sys/class/hwmon/hwmon3/name": "ina260_u14",
    "sys/class/hwmon/hwmon3/power1_input": "4320000",
    "sys/bus/iio/devices/iio:device0/name": "xilinx-ams",
    "sys/bus/iio/devices/iio:device0/in_temp0_raw": "40000",
}

LAPTOP = {
    **_cores(4),
    **_memory(16_000),
    "sys/class/powercap/intel-rapl:0/name": "package-0",
    "sys/class/powercap/intel-rapl:0/energy_uj": "12345",
    "sys/class/powercap/intel-rapl:0:0/name": "core",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": "12",
    "sys/class/power_supply/AC/type": "Mains",
    "sys/class/power_supply/BAT0/type": "Battery",
    "sys/class/power_supply/BAT0/power_now": "9000000",
}

TREES = {"rpi5": RPI5, "rock5b": ROCK5B, "jetson": JETSON, "kv260": KV260, "laptop": LAPTOP}


def grow(root: Path, name: str) -> dict[str, str]:
    """Write a board's tree below `root`; the arguments by which a probe finds it."""
    for path, content in TREES[name].items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n", encoding="utf-8")
    return {"sys_root": str(root / "sys"), "proc_root": str(root / "proc")}
