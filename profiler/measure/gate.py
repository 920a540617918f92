"""The gate behind a round: which figures are measured once more, by what their own samples say."""

from __future__ import annotations

from profiler.measure.config import MeasureConfig
from profiler.measure.record import Measurement
from profiler.measure.stats import robust_cv

__all__ = ["RETRIED", "fails_gate"]

RETRIED = frozenset({"ci_not_met", "throttled", "bimodal", "clock_moved", "background_load"})
"""Issues that another try after a cool-down may be rid of. That rounds differ is none: to replace the one that is off
would only make the others look closer to the truth than they are."""


def fails_gate(measurement: Measurement, config: MeasureConfig) -> bool:
    """Whether a measurement has a figure that is worth another try."""
    if measurement.status != "ok" or not measurement.samples_ns:
        return False
    return not RETRIED.isdisjoint(measurement.issues) or robust_cv(measurement.samples_ns) > config.gate_noise
