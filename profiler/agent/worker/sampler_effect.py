"""What reading a power sensor costs the board itself: its speed and power with the sampler at work and nearly at rest.

    load: pre-roll, often - rarely - rarely - often          then the same at rest

A counter is read at both ends of a segment when it is read rarely; other sensors some SLOWER times less often.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..leaf import Leaf
from ..sensors import Sensor
from .settings import Settings

ORDER = (True, False, False, True)
"""Often or rarely: what drifts on at one rate adds nothing to the difference."""

SLOWER = 8

LOAD_SHARE = 5
MOST_SEGMENT_S = 2.0
"""A segment lasts a fifth of an energy's load, and no more than so long."""

Values = Dict[bool, List[float]]


class _Watch:
    """Readings of one segment; a context manager that begins and ends them."""

    def __init__(self, sensor: Sensor, leaf: Leaf, often: bool) -> None:
        self._sensor = sensor
        self._leaf = leaf
        self._often = often
        self._seen: List[Tuple[float, int]] = []
        self._beside: Any = None

    def __enter__(self) -> _Watch:
        self._poll()
        if self._often or self._sensor.form == "power":
            period_s = self._sensor.period_s * (1 if self._often else SLOWER)
            self._beside = self._leaf.beside(period_s, self._poll)
        return self

    def __exit__(self, *_: object) -> None:
        if self._beside is not None:
            self._beside.stop()
        self._poll()

    def values(self) -> List[float]:
        """In µW; of a counter the mean between its two ends."""
        if self._sensor.form == "power":
            return [float(value) for _, value in self._seen]
        if len(self._seen) < 2 or self._seen[-1][0] <= self._seen[0][0]:
            return []
        (began_s, first), (ended_s, last) = self._seen[0], self._seen[-1]
        return [(last - first) / (ended_s - began_s)]

    def _poll(self) -> None:
        value = self._sensor.read()
        if value is not None:
            self._seen.append((self._leaf.monotonic(), value))


def sampler_effect(work: Callable[[], int], settings: Settings, sensor: Sensor, leaf: Leaf) -> Dict[str, Any]:
    """Facts for the journal: `sampler_{latency,power,idle}` is by how much the figure is higher with the sampler at
    work, relative, each with its uncertainty `..._u` (k = 2); nothing of what cannot be told.

    Args:
        work: runs the workload some times; how many.
        settings: its energy_* fields.
        sensor: that is read.
    """
    segment_s = segment_length_s(settings)
    _busy(work, settings.energy_preroll_s, leaf)
    latency: Values = {True: [], False: []}
    power: Values = {True: [], False: []}
    idle: Values = {True: [], False: []}
    for often in ORDER:
        with _Watch(sensor, leaf, often) as watch:
            latency[often] += _busy(work, segment_s, leaf)
        power[often] += watch.values()
    leaf.sleep(settings.energy_preroll_s)
    for often in ORDER:
        with _Watch(sensor, leaf, often) as watch:
            leaf.sleep(segment_s)
        idle[often] += watch.values()
    facts: Dict[str, Any] = {}
    for name, values in (("latency", latency), ("power", power), ("idle", idle)):
        found = _effect(values[True], values[False])
        if found is not None:
            facts["sampler_" + name], facts["sampler_" + name + "_u"] = (round(each, 6) for each in found)
    return facts


def segment_length_s(settings: Settings) -> float:
    """How long a segment lasts."""
    return min(MOST_SEGMENT_S, settings.energy_load_s / LOAD_SHARE)


def cap_s(settings: Settings) -> float:
    """How long it takes, besides a last batch of each segment."""
    return 2 * (settings.energy_preroll_s + len(ORDER) * segment_length_s(settings))


def _busy(work: Callable[[], int], seconds: float, leaf: Leaf) -> List[float]:
    """Run for so long; seconds a run, of each batch."""
    began = before = leaf.monotonic()
    found = []
    while before - began < seconds:
        runs = work()
        now = leaf.monotonic()
        if now < before:  # the clock went backwards, and would take its time to come back
            break
        found.append((now - before) / max(1, runs))
        before = now
    return found


def _effect(often: List[float], rarely: List[float]) -> Optional[Tuple[float, float]]:
    """The ratio of the means less one, and its uncertainty with k = 2, of two values or more on each side."""
    if min(len(often), len(rarely)) < 2 or sum(rarely) <= 0:
        return None
    means, variances = [], []
    for values in (often, rarely):
        mean = sum(values) / len(values)
        means.append(mean)
        variances.append(sum((each - mean) ** 2 for each in values) / (len(values) - 1) / len(values))
    return means[0] / means[1] - 1, 2 * math.sqrt(sum(variances)) / means[1]
