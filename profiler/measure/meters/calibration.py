"""A board's own sensor held against an external meter: the line that turns what it shows into what there was.

    power = gain x shown + offset

Both have errors, so points are weighted by the effective variance u_y² + gain² u_x², which is found by going round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from profiler.errors import MeasurementError
from profiler.measure.energy import COVERAGE, GUARD_S
from profiler.measure.power_trace import PowerTrace
from profiler.measure.record import Power

__all__ = ["Calibration", "Point", "fit", "paired"]

LEAST_POINTS = 4
SPREAD = 0.1
"""The powers must differ by this share of the largest one: a line through one place has no slope."""

ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Point:
    """One window, seen by both; powers in µW, standard uncertainties (k = 1) of the means."""

    what: str
    shown_uw: float
    true_uw: float
    shown_u_uw: float
    true_u_uw: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was found; U with k = 2, the meter's own accuracy included.

    Attributes:
        gain, offset_uw: power = gain x shown + offset_uw.
        gain_u: relative.
        offset_u_uw: of the offset.
        misfit: root of the reduced chi-square: above 1 the points scatter more than they say, and U is widened by it.
        low_uw, high_uw: between these powers it was found, and holds.
        points: all of them.
        residuals: how far the line passes each of them, relative to its power.
    """

    gain: float
    offset_uw: float
    gain_u: float
    offset_u_uw: float
    misfit: float
    low_uw: float
    high_uw: float
    points: tuple[Point, ...]
    residuals: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON-able values."""
        return asdict(self)


def paired(what: str, board: Power, meter: Power) -> list[Point]:
    """The spells of one measurement as points: its load, and the mean of its two idle spells.

    Args:
        what: ran as the load, for people.
        board, meter: records of the same spells (`align.power_of`).
    """
    seen, true = PowerTrace(board), PowerTrace(meter)
    points = []
    for name, spells in (("idle", ("idle_before_us", "idle_after_us")), ("load", ("load_us",))):
        sides = []
        for trace in (seen, true):
            margin = GUARD_S + max(seen.lag_s, true.lag_s)
            spans = [
                (getattr(board, spell)[0] / 1e6 + margin, getattr(board, spell)[1] / 1e6 - margin) for spell in spells
            ]
            means = [trace.mean(begin, end) for begin, end in spans if end > begin]
            if not means:
                return []
            u_mw = math.hypot(*(math.hypot(mean.error_mw, mean.step_mw / COVERAGE) for mean in means)) / len(means)
            sides.append((sum(mean.mw for mean in means) / len(means) * 1e3, u_mw * 1e3))
        (shown, shown_u), (truth, truth_u) = sides
        points.append(Point(f"{what}, {name}", shown, truth, shown_u, truth_u))
    return points


def fit(points: Sequence[Point], meter_gain_u: float = 0.0, meter_offset_u_uw: float = 0.0) -> Calibration:
    """The line through the points.

    Args:
        points: at several powers.
        meter_gain_u, meter_offset_u_uw: the meter's own uncertainty (k = 2), which no number of points reduces.

    Raises:
        MeasurementError: too few points, too little spread of power, or a sensor that does not follow the meter.
    """
    if len(points) < LEAST_POINTS:
        raise MeasurementError(
            f"a calibration needs at least {LEAST_POINTS} windows that both have seen, and there are {len(points)}: "
            "use more levels of load, and look after the sensor's issues"
        )
    x, y = np.array([p.shown_uw for p in points]), np.array([p.true_uw for p in points])
    ux, uy = np.array([p.shown_u_uw for p in points]), np.array([p.true_u_uw for p in points])
    spread = float(np.ptp(y))
    if spread < max(SPREAD * float(np.abs(y).max()), 6 * float(uy.max())) or np.ptp(x) <= 0:
        raise MeasurementError(
            f"the windows differ by {spread / 1e3:.0f} mW only, of {float(np.abs(y).max()) / 1e3:.0f} mW: a gain needs "
            "levels of load that differ by more"
        )
    floor = 1e-9 * float(np.abs(y).max())
    gain, offset = (float(v) for v in np.polyfit(x, y, 1))
    for _ in range(ROUNDS):
        sigma = np.sqrt(uy**2 + (gain * ux) ** 2 + floor**2)
        (gain, offset), covariance = np.polyfit(x, y, 1, w=1 / sigma, cov="unscaled")
    residuals = y - (gain * x + offset)
    misfit = math.sqrt(float(np.sum((residuals / sigma) ** 2)) / (len(points) - 2))
    if gain <= 0:
        raise MeasurementError("the sensor falls where the meter rises: they do not look at the same board")
    wider = COVERAGE * max(1.0, misfit) * _student(len(points) - 2)
    gain_u = math.hypot(wider * math.sqrt(covariance[0][0]) / gain, meter_gain_u)
    offset_u = math.hypot(wider * math.sqrt(covariance[1][1]), meter_offset_u_uw)
    return Calibration(
        gain=float(gain),
        offset_uw=float(offset),
        gain_u=gain_u,
        offset_u_uw=offset_u,
        misfit=misfit,
        low_uw=float(x.min()),
        high_uw=float(x.max()),
        points=tuple(points),
        residuals=tuple(float(v) for v in -residuals / np.maximum(np.abs(y), floor)),
    )


def _student(degrees: int) -> float:
    """How much wider than two standard deviations, where the scatter comes from so few points."""
    from scipy.special import ndtr, stdtrit

    return float(stdtrit(degrees, ndtr(COVERAGE))) / COVERAGE
