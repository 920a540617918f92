"""What the board is, and what it is doing at the moment. No runtime is imported for it."""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import sys
from typing import Any, Dict, List, Optional

from .sensors import counters

DISTRIBUTIONS = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "litert": ("ai-edge-litert", "tflite-runtime"),
    "torch": ("torch",),
    "numpy": ("numpy",),
}
"""Under which names the runtimes are packaged, in the order in which the worker prefers them."""

CPUFREQ = "/sys/devices/system/cpu/cpu%d/cpufreq/%s"


def text(path: str) -> Optional[str]:
    """The beginning of a small file, stripped; None where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(65536).decode("utf-8", "replace").strip().strip("\0")
    except OSError:
        return None


def number(path: str) -> Optional[int]:
    """The integer that a file holds; None where it holds none."""
    try:
        return int(text(path) or "")
    except ValueError:
        return None


def facts() -> Dict[str, Any]:
    """Facts about the machine and its software; `moment()` has those that change."""
    now = moment()
    return {
        "machine_id": machine_id(),
        "cpu_model": cpu_model(),
        "arch": platform.machine(),
        "logical_cores": os.cpu_count() or 1,
        "memory_mb": _memory_mb(),
        "kernel": platform.release(),
        "os": _os_name(),
        "libc": _libc(),
        "python": platform.python_version(),
        "executable": sys.executable or "",
        "runtimes": runtime_versions(),
        "energy_sensor": "rapl" if counters() else None,
        "governor": now["governor"],
        "pinned": now["pinned"],
        "affinity": now["affinity"],
        "freq_mhz": now["freq_mhz"],
        "load_1min": now["load_1min"],
    }


def moment() -> Dict[str, Any]:
    """Load, clock and temperature at this moment; None where the machine does not tell."""
    cpus = allowed_cpus()
    governors = sorted({found for found in (text(CPUFREQ % (cpu, "scaling_governor")) for cpu in cpus) if found})
    return {
        "load_1min": round(os.getloadavg()[0], 2),
        "cpu_pressure_10s": _pressure(),
        "freq_mhz": _frequency_mhz(cpus),
        "governor": ",".join(governors) or None,
        "pinned": is_pinned(cpus),
        "affinity": ranges(cpus),
        "temperature_c": _temperature_c(),
    }


def allowed_cpus() -> List[int]:
    """The CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def ranges(numbers: List[int]) -> str:
    """Sorted numbers as the kernel writes them: "0-3,6"."""
    runs: List[List[int]] = []
    for value in numbers:
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ",".join(str(low) if low == high else "%d-%d" % (low, high) for low, high in runs)


def is_pinned(cpus: List[int]) -> bool:
    """Whether the clock of every one of these CPUs is held at one frequency; False where that cannot be known."""
    lowest = [number(CPUFREQ % (cpu, "scaling_min_freq")) for cpu in cpus]
    highest = [number(CPUFREQ % (cpu, "scaling_max_freq")) for cpu in cpus]
    return bool(cpus) and None not in lowest and lowest == highest


def _frequency_mhz(cpus: List[int]) -> Optional[float]:
    """The highest current clock among these CPUs: that of the busy one, where they differ."""
    found = [khz / 1000 for khz in (number(CPUFREQ % (cpu, "scaling_cur_freq")) for cpu in cpus) if khz]
    if not found:
        lines = (text("/proc/cpuinfo") or "").splitlines()
        for line in lines:
            if line.startswith("cpu MHz"):
                try:
                    found.append(float(line.split(":", 1)[1]))
                except (IndexError, ValueError):
                    continue
    return round(max(found), 1) if found else None


def _temperature_c() -> Optional[float]:
    """The hottest thermal zone; values that no silicon survives are a driver's way of saying "none"."""
    found = [number(path) for path in glob.glob("/sys/class/thermal/thermal_zone*/temp")]
    plausible = [value / 1000 for value in found if value is not None and -60000 < value < 150000 and value]
    return round(max(plausible), 1) if plausible else None


def _pressure() -> Optional[float]:
    """Percent of the last 10 s in which some process waited for a CPU (PSI)."""
    for word in (text("/proc/pressure/cpu") or "").split():
        if word.startswith("avg10="):
            try:
                return float(word[len("avg10=") :])
            except ValueError:
                return None
    return None


def cpu_model() -> str:
    """The processor's name; on boards with a device tree that of the board and its SoC."""
    board = text("/proc/device-tree/model")
    soc = (text("/proc/device-tree/compatible") or "").split("\0")[-1]
    if board:
        return "%s (%s)" % (board, soc) if soc else board
    for line in (text("/proc/cpuinfo") or "").splitlines():
        if line.lower().startswith(("model name", "hardware")) and ":" in line:
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def machine_id() -> str:
    """16 hexadecimal digits that tell machines apart and tell nobody which one it is.

    The raw /etc/machine-id is meant to stay private (machine-id(5)): only a keyed hash leaves the board.
    """
    raw = text("/etc/machine-id") or text("/var/lib/dbus/machine-id") or text("/proc/device-tree/serial-number")
    if not raw or raw == "uninitialized":
        raw = platform.node() + cpu_model()
    return hashlib.sha256(("edgecost:" + raw).encode("utf-8", "replace")).hexdigest()[:16]


def runtime_versions() -> Dict[str, str]:
    """Versions by distribution, and by runtime ("litert" is whichever of its two packages the worker prefers)."""
    found: Dict[str, str] = {}
    for runtime, names in DISTRIBUTIONS.items():
        for name in names:
            version = _version(name)
            if version:
                found[name] = version
                found.setdefault(runtime, version)
    return found


def _version(distribution: str) -> Optional[str]:
    try:
        from importlib import metadata
    except ImportError:  # Python 3.7
        return _version_on_path(distribution)
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _version_on_path(distribution: str) -> Optional[str]:
    """The version by the name of the folder that pip leaves beside a package."""
    for folder in sys.path:
        for found in glob.glob(os.path.join(folder, distribution.replace("-", "_") + "-*.dist-info")):
            return os.path.basename(found)[: -len(".dist-info")].split("-", 1)[1]
    return None


def _memory_mb() -> Optional[int]:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 20)
    except (OSError, ValueError):
        return None


def _os_name() -> str:
    for line in (text("/etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.split("=", 1)[1].strip().strip("\"'")
    return platform.platform()


def _libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):  # not glibc
        return " ".join(platform.libc_ver()).strip()
