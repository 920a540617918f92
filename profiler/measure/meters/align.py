"""Laying a host's trace over a board's spells: whose clock is whose, and how sure of that one is.

The board tells when its spells were by its own clock, since its record began. When that was on the host's clock is
known roughly, from when the job began and ended; the trace itself tells it better, since power rises where the load
begins. The load's length and runs stay the board's: only where the trace is cut depends on the alignment, and it is cut
with a guard band on every side (`profiler.measure.energy.GUARD_S`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from profiler.errors import MeasurementError
from profiler.measure.energy import GUARD_S
from profiler.measure.meters.base import Trace
from profiler.measure.record import Power

__all__ = ["Alignment", "align", "power_of"]

FINEST_S = 0.005
MOST_CANDIDATES = 200_000
CONTRAST = 2.0
"""The step at the load's edges must exceed so many times the scatter of the power at rest."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Alignment:
    """When a board's record began by the host's clock, and by how much that may be off."""

    began_s: float
    u_s: float


def align(trace: Trace, spells: Power, earliest_s: float, latest_s: float) -> Alignment:
    """Find when the record began, between two moments, by where the trace shows its load.

    The load with its pre-roll is busy, the rest of the record is not: the offset is the one at which the mean power of
    the busy part exceeds that of the rest by most. Each edge alone gives an offset as well; how far these two lie
    apart, and the spacing of the trace (a reading is as old as that, and so is the mean that it shows), say how sure it
    is.

    Raises:
        MeasurementError: the trace does not hold the record, or shows no load.
    """
    times, values = np.asarray(trace.times_s), np.asarray(trace.values)
    edges = [spells.idle_before_us[0], spells.idle_before_us[1], spells.load_us[1], spells.idle_after_us[1]]
    begin, rise, fall, end = (edge / 1e6 for edge in edges)
    low, high = max(earliest_s, times[0] - begin), min(latest_s, times[-1] - end)
    if times.size < 10 or high < low:
        raise MeasurementError(f"the trace of {trace.meter} does not hold the whole measurement: start it earlier")
    spacing = float(np.median(np.diff(times)))
    step = max(FINEST_S, spacing / 4, (high - low) / MOST_CANDIDATES)
    offsets = np.arange(low, high + step, step)
    total = _integral(trace, times, values)

    def mean(a: float, b: float) -> Floats:
        found: Floats = (total(offsets + b) - total(offsets + a)) / (b - a)
        return found

    before, busy, after = mean(begin, rise), mean(rise, fall), mean(fall, end)
    best = int(np.argmax(busy - (before + after) / 2))
    contrast = float(busy[best] - (before[best] + after[best]) / 2)
    quiet = offsets[best] + np.linspace(begin, rise, 11)
    scatter = float(np.std(np.diff(total(quiet)) / np.diff(quiet)))
    if contrast <= CONTRAST * scatter or contrast <= 0:
        raise MeasurementError(f"{trace.meter} shows no load that could be the board's: is it connected to this board?")
    # each edge by itself: as much before it as after it
    reach = min(rise - begin, fall - rise, end - fall)
    rising = mean(rise, rise + reach) - mean(rise - reach, rise)
    falling = mean(fall - reach, fall) - mean(fall, fall + reach)
    near = np.abs(offsets - offsets[best]) <= reach / 2
    apart = abs(float(offsets[near][np.argmax(rising[near])] - offsets[near][np.argmax(falling[near])]))
    return Alignment(float(offsets[best]), apart / 2 + 2 * spacing + step)


def power_of(trace: Trace, spells: Power, alignment: Alignment) -> Power:
    """The record that the board would have made, had it read this meter.

    Args:
        trace: by the host's clock.
        spells: the board's record, with or without values of its own; its spells and runs are taken.
        alignment: where they lie in the trace.

    Raises:
        MeasurementError: the trace does not hold the record, or the alignment is not known to within the guard bands.
    """
    # the trace's own clock was laid on the host's by as much; what the edges told outweighs it
    if alignment.u_s > GUARD_S:
        raise MeasurementError(
            f"the trace of {trace.meter} can be laid over the board's measurement to {alignment.u_s:.2f} s only, and "
            f"{GUARD_S:g} s is needed: use a meter that reads more often"
        )
    end_s = alignment.began_s + spells.idle_after_us[1] / 1e6
    times = np.asarray(trace.times_s)
    if not times.size or times[0] > alignment.began_s + spells.idle_before_us[0] / 1e6 or times[-1] < end_s - GUARD_S:
        raise MeasurementError(f"the trace of {trace.meter} does not hold the whole measurement: start it earlier")
    first = max(0, int(np.searchsorted(times, alignment.began_s, side="right")) - 1)
    last = int(np.searchsorted(times, end_s, side="right"))
    base = trace.values[first] if trace.form == "energy" else 0.0
    return replace(
        spells,
        sensor=trace.meter,
        scope=trace.scope,
        form=trace.form,
        times_us=tuple(max(0, round((t - alignment.began_s) * 1e6)) for t in trace.times_s[first:last]),
        values=tuple(round(v - base) for v in trace.values[first:last]),
        polls=last - first,
        lsb=trace.accuracy.lsb_uw if trace.form == "power" else 0.0,
        gain_u=trace.accuracy.gain_u,
        offset_uw=trace.accuracy.offset_u_uw,
        meter="host",
    )


class _integral:  # noqa: N801  # a function with a memory
    """The energy up to any moments of a trace, in µJ; `power_trace` has why a power is held and a counter is not."""

    def __init__(self, trace: Trace, times: Floats, values: Floats) -> None:
        self._times = times
        steps = values[:-1] * np.diff(times)
        self._totals = values if trace.form == "energy" else np.concatenate([[0.0], np.cumsum(steps)])

    def __call__(self, at_s: Floats) -> Floats:
        # the integral of a held power is linear between its points, as a counter is taken to be
        found: Floats = np.interp(at_s, self._times, self._totals)
        return found
