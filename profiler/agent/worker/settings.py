"""The part of the host's MeasureConfig that a worker obeys, read from what a request holds."""

from __future__ import annotations

import math
from typing import Any, Dict, NamedTuple

MOST_HZ = 100.0


class Settings(NamedTuple):
    """Units are in the names, `target_half_width` is relative; `profiler.measure.config` has what each means.

    Those with a default may be missing in a request: hosts of an earlier version send none.
    """

    min_batch_s: float
    warmup_runs: int
    warmup_s: float
    min_batches: int
    target_half_width: float
    cap_s: float
    cache: str = "hot"
    observe_hz: float = 5.0
    pin: bool = True
    cool_c: float = 5.0
    cool_c_per_min: float = 0.5
    cool_s: float = 600.0
    energy: bool = False
    energy_load_s: float = 10.0
    energy_updates: int = 100
    energy_runs: int = 50
    energy_preroll_s: float = 3.0
    energy_idle_s: float = 5.0

    @classmethod
    def read(cls, config: Any) -> Settings:
        """Take the settings out of a request's "config".

        Raises:
            ValueError: naming the field that is missing or not of its kind.
        """
        values = config if isinstance(config, dict) else {}
        found: Dict[str, Any] = {}
        for name in cls._fields:
            usual = _USUAL.get(name)
            if usual is not None and name not in values:
                found[name] = usual
            elif isinstance(usual, bool):
                found[name] = _flag(values, name)
            elif name == "cache":
                found[name] = _cache(values)
            else:
                whole = name in _WHOLE
                number = _number(values, name, whole)
                found[name] = int(number) if whole else number
        if found["observe_hz"] > MOST_HZ:
            raise ValueError("config.observe_hz must be at most %g" % MOST_HZ)
        return cls(**found)


_WHOLE = ("warmup_runs", "min_batches", "energy_updates", "energy_runs")
_USUAL: Dict[str, Any] = dict(Settings._field_defaults)


def _flag(values: Dict[str, Any], name: str) -> bool:
    if not isinstance(values[name], bool):
        raise ValueError("config.%s must be true or false" % name)
    return bool(values[name])


def _cache(values: Dict[str, Any]) -> str:
    if values["cache"] not in ("hot", "cold"):
        raise ValueError('config.cache must be "hot" or "cold"')
    return str(values["cache"])


def _number(values: Dict[str, Any], name: str, whole: bool) -> float:
    value = values.get(name)
    usable = isinstance(value, int) or (not whole and isinstance(value, float) and math.isfinite(value))
    if not usable or isinstance(value, bool) or value is None or value < 0:
        raise ValueError("config.%s must be a %s >= 0" % (name, "whole number" if whole else "number"))
    return float(value)
