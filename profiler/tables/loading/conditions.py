"""How the board was during a measurement, as numbers of a digest: clock, heat, load, and what the sentinel said."""

from __future__ import annotations

from math import isfinite, nan
from pathlib import Path
from typing import Any

from profiler.measure import watch
from profiler.measure.record import Measurement, Power
from profiler.tables.loading.energies import number

__all__ = ["CONDITIONS", "LASTED", "MAKERS", "VERDICTS", "conditions_of", "verdict_of"]

CONDITIONS = (
    "freq_min_mhz",
    "freq_max_mhz",
    "temperature_c_after",
    "temperature_max_c",
    "throttle_events",
    "pressure_max",
    "load_1min",
    "steal_share",
    "others_share",
)
"""What of a measurement's `env` the digest holds besides `freq_mhz` and `temperature_c`, under the same names."""

LASTED = "lasted_s"
"""How long the board was at it by its own clock, in seconds: cooling, warm-up, sampling and the record of its power."""

VERDICTS = ("reference", "good", "doubtful", "drifted", "failed")
"""What is said of sentinels (`profiler.measure.watch.Verdict`); a digest holds the place, -1 for none."""

MAKERS = tuple(Path(str(path)) for path in (__file__, watch.__file__))
"""The source files that decide what this module says."""

_LARGEST = 3e38  # of a 32-bit float


def conditions_of(m: Measurement) -> tuple[float, ...]:
    """The values of `CONDITIONS` and `LASTED`, in this order; NaN where the journal says nothing."""
    told = [_small(m.env.get(name)) for name in CONDITIONS]
    parts = [_small(m.env.get(name)) for name in ("cooled_s", "warmup_s", "sampling_s")]
    parts.append(nan if m.power is None else _of_power(m.power))
    known = [part for part in parts if part >= 0]
    return (*told, _small(sum(known)) if known else nan)


def verdict_of(m: Measurement) -> int:
    """The place in `VERDICTS` of what was said of a sentinel; -1 for other measurements, and where nothing was said."""
    said: Any = m.env.get(watch.VERDICT)
    return VERDICTS.index(said) if m.role.kind == "sentinel" and said in VERDICTS else -1


def _of_power(power: Power) -> float:
    """How long the three spells lasted together, in s; a meter's own clock counts in the same unit."""
    spells = (power.idle_before_us, power.load_us, power.idle_after_us)
    try:
        return _small((max(end for _, end in spells) - min(begin for begin, _ in spells)) / 1e6)
    except (TypeError, ValueError, OverflowError):
        return nan


def _small(value: object) -> float:
    """A number that fits into 32 bits, or NaN."""
    found = number(value)
    return found if isfinite(found) and abs(found) < _LARGEST else nan
