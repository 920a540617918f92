"""What the board is, and what it is doing at the moment. No runtime is imported for it."""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import sys
from typing import Any, Dict, List, Optional

from . import environments, leaf, plugins
from .cpus import allowed_cpus, clusters, frequency_mhz, governor, is_pinned, listed, number, ranges, text
from .sensors import available

DISTRIBUTIONS = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "litert": ("ai-edge-litert", "tflite-runtime"),
    "torch": ("torch",),
    "numpy": ("numpy",),
}
"""Under which names the runtimes are packaged, in the order in which the worker prefers them."""

ONLINE = "/sys/devices/system/cpu/online"


def facts(workdir: Optional[str] = None) -> Dict[str, Any]:
    """Facts about the machine and its software; `moment()` has those that change.

    Args:
        workdir: where its provisioned environments are; None to leave them out.
    """
    now = moment()
    try:
        provisioned = environments.read(workdir) if workdir else {}
    except environments.EnvironmentBroken:  # its jobs say so
        provisioned = {}
    return {
        "machine_id": machine_id(),
        "cpu_model": cpu_model(),
        "arch": _arch(),
        "logical_cores": len(listed(text(ONLINE) or "")) or os.cpu_count() or 1,
        "memory_mb": memory_mb(),
        "kernel": text("/proc/sys/kernel/osrelease") or platform.release(),
        "os": _os_name(),
        "libc": _libc(),
        "python": platform.python_version(),
        "executable": sys.executable or "",
        "runtimes": runtime_versions(provisioned),
        "environments": {
            runtime: {"digest": found.digest, "distributions": found.distributions}
            for runtime, found in provisioned.items()
        },
        "clusters": clusters(allowed_cpus()),
        "markers": markers(),
        "energy_sensor": available(leaf.current()),
        "governor": now["governor"],
        "pinned": now["pinned"],
        "affinity": now["affinity"],
        "freq_mhz": now["freq_mhz"],
        "load_1min": now["load_1min"],
    }


def moment() -> Dict[str, Any]:
    """Load, clock and temperature at this moment; None where the machine does not tell."""
    cpus = allowed_cpus()
    return {
        "load_1min": load_1min(),
        "cpu_pressure_10s": _pressure(),
        "freq_mhz": frequency_mhz(cpus),
        "governor": governor(cpus),
        "pinned": is_pinned(cpus),
        "affinity": ranges(cpus),
        "temperature_c": _temperature_c(),
    }


def _temperature_c() -> Optional[float]:
    """The hottest thermal zone; values that no silicon survives are a driver's way of saying "none"."""
    found = [number(path) for path in leaf.current().glob("/sys/class/thermal/thermal_zone*/temp")]
    plausible = [value / 1000 for value in found if value is not None and is_plausible(value)]
    return round(max(plausible), 1) if plausible else None


def is_plausible(thousandths: int) -> bool:
    """Whether a temperature is one; 0 is what drivers say that do not know."""
    return thousandths != 0 and -60000 < thousandths < 150000


def load_1min() -> Optional[float]:
    """The load average of the last minute."""
    try:
        return float((text("/proc/loadavg") or "").split()[0])
    except (IndexError, ValueError):
        return None


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


def markers() -> Dict[str, str]:
    """What the environment markers of package metadata (PEP 508) stand for here."""
    return {
        "python_version": "%d.%d" % sys.version_info[:2],
        "python_full_version": platform.python_version(),
        "implementation_name": sys.implementation.name,
        "platform_machine": platform.machine(),
        "platform_system": platform.system(),
        "sys_platform": sys.platform,
        "os_name": os.name,
        "platform_python_implementation": platform.python_implementation(),
    }


def runtime_versions(provisioned: Optional[Dict[str, environments.Environment]] = None) -> Dict[str, str]:
    """Versions by distribution, and by runtime ("litert" is whichever of its two packages the worker prefers).

    Args:
        provisioned: environments by runtime: what is found there goes before what the board's own Python has.
    """
    found: Dict[str, str] = {}
    sites = {runtime: environment.site for runtime, environment in (provisioned or {}).items()}
    for runtime, names in dict(plugins.DISTRIBUTIONS, **DISTRIBUTIONS).items():
        for name in names:
            # what several runtimes need may be there in several versions: that of the board's own Python is told
            version = _version(name, sites.get(runtime))
            if version:
                found[name] = version
                found.setdefault(runtime, version)
    for runtime, environment in (provisioned or {}).items():
        version = environment.distributions.get(runtime)
        if runtime not in found and version:
            found[runtime] = version
    found.update(leaf.current().runtimes)
    return found


def _version(distribution: str, site: Optional[str] = None) -> Optional[str]:
    """The version of what is installed in `site`, or of what this Python finds where that is None."""
    path = sys.path if site is None else [site]
    try:
        from importlib import metadata
    except ImportError:  # Python 3.7
        return _version_on_path(distribution, path)
    return next((each.version for each in metadata.distributions(name=distribution, path=path)), None)


def _version_on_path(distribution: str, path: List[str]) -> Optional[str]:
    """The version by the name of the folder that pip leaves beside a package."""
    for folder in path:
        for found in glob.glob(os.path.join(glob.escape(folder), distribution.replace("-", "_") + "-*.dist-info")):
            return os.path.basename(found)[: -len(".dist-info")].split("-", 1)[1]
    return None


def _arch() -> str:
    # of an emulated process, the kernel's own word is that of its host
    return (text("/proc/sys/kernel/arch") if leaf.current().simulated else None) or platform.machine()


def memory_mb() -> Optional[int]:
    """Of the machine."""
    words = (text("/proc/meminfo") or "").split()
    if words[:1] == ["MemTotal:"] and words[1:2] and words[1].isdigit():
        return int(words[1]) >> 10
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
