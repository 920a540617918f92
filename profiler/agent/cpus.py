"""The processor's cores as the kernel shows them: which may be used, how they are clocked, which are of one kind."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Set

from . import leaf

CPUFREQ = "/sys/devices/system/cpu/cpu%d/cpufreq/%s"
CAPACITY = "/sys/devices/system/cpu/cpu%d/cpu_capacity"
POLICIES = "/sys/devices/system/cpu/cpufreq"
MOST_CPUS = 4096

ALIKE = 0.05
"""Cores without a capacity are of one kind if their highest clocks differ by no more: the best cores of a desktop
processor may be clocked a little higher than the others, and are not another kind for that."""


def text(path: str) -> Optional[str]:
    """The beginning of a small file, stripped; None where it cannot be read."""
    return leaf.current().read(path)


def number(path: str) -> Optional[int]:
    """The integer that a file holds; None where it holds none."""
    return leaf.current().number(path)


def allowed_cpus() -> List[int]:
    """The CPUs that this process may run on."""
    return leaf.current().affinity()


def listed(words: str) -> List[int]:
    """The numbers that the kernel writes as "0-3,6" or "0 1 2"; those that are none are passed over."""
    found: Set[int] = set()
    for word in words.replace(",", " ").split():
        low, _, high = word.partition("-")
        if low.isdigit() and (not high or high.isdigit()):
            found.update(range(int(low), min(int(high or low), int(low) + MOST_CPUS) + 1))
    return sorted(found)


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


def frequency_mhz(cpus: List[int]) -> Optional[float]:
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


def governor(cpus: List[int]) -> Optional[str]:
    """The cpufreq governors of these CPUs; None where there are none."""
    found = {text(CPUFREQ % (cpu, "scaling_governor")) for cpu in cpus}
    return ",".join(sorted(filter(None, found))) or None


def clusters(cpus: List[int]) -> List[Dict[str, Any]]:
    """These CPUs by kind, the strongest first; one kind where the kernel tells no difference.

    On a big.LITTLE processor the kinds differ in their capacity; where the kernel gives none, in their highest clock.
    """
    policies = _policies()
    kinds: List[Dict[str, Any]] = []
    known = []
    for cpu in cpus:
        khz = number(CPUFREQ % (cpu, "cpuinfo_max_freq")) or policies.get(cpu)
        known.append((number(CAPACITY % cpu), khz // 1000 if khz else None, cpu))
    for capacity, max_mhz, cpu in sorted(known, key=lambda each: (-(each[0] or 0), -(each[1] or 0), each[2])):
        kind = kinds[-1] if kinds and _alike(kinds[-1], capacity, max_mhz) else None
        if kind is None:
            kind = {"cpus": [], "capacity": capacity, "max_mhz": max_mhz}
            kinds.append(kind)
        kind["cpus"].append(cpu)
    for kind in kinds:
        kind["cpus"].sort()
        kind["governor"] = governor(kind["cpus"])
    return kinds


def _alike(kind: Dict[str, Any], capacity: Optional[int], max_mhz: Optional[int]) -> bool:
    if capacity != kind["capacity"]:
        return False
    if max_mhz is None or kind["max_mhz"] is None:
        return bool(max_mhz == kind["max_mhz"])
    return bool(max_mhz >= kind["max_mhz"] * (1 - ALIKE))


def _policies() -> Dict[int, int]:
    """The highest clock in kHz by CPU, as its policy has it: a core that sleeps may show none of its own."""
    found = {}
    for folder in leaf.current().glob(os.path.join(POLICIES, "policy*")):
        khz = number(os.path.join(folder, "cpuinfo_max_freq"))
        for word in (text(os.path.join(folder, "related_cpus")) or "").split():
            if khz and word.isdigit():
                found[int(word)] = khz
    return found
