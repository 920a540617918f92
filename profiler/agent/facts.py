"""What the board is, and what it is doing at the moment. No runtime is imported for it."""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import sys
from typing import Any, Dict, List, Optional

PACKAGES = ("onnxruntime", "ai-edge-litert", "tflite-runtime", "torch", "numpy")


def _text(path: str) -> Optional[str]:
    try:
        with open(path, "r", errors="replace") as file:
            return file.read(4096).strip()
    except OSError:
        return None


def _number(path: str) -> Optional[int]:
    try:
        return int(_text(path) or "")
    except ValueError:
        return None


def _cpu_model() -> str:
    model = (_text("/proc/device-tree/model") or "").strip("\x00")
    if model:
        return model
    try:
        with open("/proc/cpuinfo", "r", errors="replace") as file:
            for line in file:
                if line.startswith(("model name", "Model")):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _versions() -> Dict[str, str]:
    try:
        from importlib import metadata
    except ImportError:  # Python 3.7
        return {}
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if "ai-edge-litert" in found or "tflite-runtime" in found:
        found["litert"] = found.get("ai-edge-litert") or found["tflite-runtime"]
    return found


def _memory_mb() -> Optional[int]:
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 20))
    except (OSError, ValueError):
        return None


def facts() -> Dict[str, Any]:
    """Facts that identify the board and its software."""
    identity = _text("/etc/machine-id") or platform.node()
    return {
        "machine_id": hashlib.sha256(identity.encode()).hexdigest()[:16],
        "cpu_model": _cpu_model(),
        "arch": platform.machine(),
        "logical_cores": os.cpu_count() or 1,
        "memory_mb": _memory_mb(),
        "kernel": platform.release(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "runtimes": _versions(),
    }


def moment() -> Dict[str, Any]:
    """Load, frequency and temperature now, and the issue codes that follow."""
    issues = []  # type: List[str]
    governor = _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    low = _number("/sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq")
    high = _number("/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq")
    if governor is None or low is None or low != high:
        issues.append("unpinned")
    temperatures = [_number(p) for p in sorted(glob.glob("/sys/class/thermal/thermal_zone*/temp"))]
    known = [t for t in temperatures if t]
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return {
        "load_1min": os.getloadavg()[0],
        "freq_khz": _number("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"),
        "max_temperature_mc": max(known) if known else None,
        "affinity": affinity,
        "issues": issues,
    }
