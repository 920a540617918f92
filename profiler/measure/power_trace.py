"""A power record as a signal in time: what it showed between two moments, how often it changes, whether it can be true.

A record holds changes only, so between two of them the sensor showed the earlier value at every poll. The signal is
therefore the step function through them; the trapezoidal rule over all polls gives the same integral, to within one
poll at each change. Joining the changes by straight lines would not: a value that stood still for a second and then
changed would become a ramp. Of a counter the straight lines are right, since what it counts flows on between readings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from profiler.measure.record import Power

__all__ = ["BLOCKS", "Mean", "PowerTrace", "refresh_s"]

Floats = NDArray[np.float64]

BLOCKS = 5
"""A spell is cut into so many pieces to see how much its mean scatters: few, so that slow wander shows as well."""

SPIKE = 10.0
"""A value that exceeds so many times what is usual is no power of this board's."""

STUCK_SHARE = 0.1
STUCK_TIMES = 10.0
"""A silence that begins before this last share of the load, goes on to the end of the record, and lasts so many times
the longest usual one, is a sensor that hangs."""

LEAST_GAPS, LEAST_ALIKE = 30, 8
"""With fewer intervals between changes no refresh is told: a sensor whose step is far above its noise changes rarely.
Where three of four are the shortest one, fewer do."""

LATE = 0.05**-0.5
"""Two edges of power are each seen within a refresh, anywhere in it alike: with 95 % certainty it is at most so many
times the later of the two."""

LEAST_CHANGES = 20
LEAST_POLLS = 20

MOST_MW = 10_000_000.0
"""10 kW: no board draws it."""


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean power of a spell, in mW.

    Attributes:
        mw: the mean.
        error_mw: its standard error, by the scatter of BLOCKS pieces (BLOCKS - 1 degrees of freedom).
        step_mw: what the sensor's step leaves open of it, k = 2.
        wander_mw2_s: how fast it wanders: the variance of a random walk per second, as far as it exceeds noise.
        updates: changes of the value within the spell.
        begin_s, end_s: what of the spell was used.
    """

    mw: float
    error_mw: float
    step_mw: float
    wander_mw2_s: float
    updates: int
    begin_s: float
    end_s: float

    @property
    def middle_s(self) -> float:
        """When it holds."""
        return (self.begin_s + self.end_s) / 2


class PowerTrace:
    """The signal of a record; times in seconds since it began, power in mW, energy in mJ.

    Attributes:
        times_s, values: (n,) the changes, values in mW or mJ.
        poll_s: from one reading to the next.
        refresh_s: from one change to the next that was possible; None where that cannot be told.
        lsb: the sensor's step in mW or mJ: as it is declared, or the smallest step seen; 0 where unknown.
    """

    def __init__(self, power: Power) -> None:
        self.is_counter = power.form == "energy"
        self.times_s: Floats = np.asarray(power.times_us, np.float64) / 1e6
        self.values: Floats = np.asarray(power.values, np.float64) / 1e3
        self._end_s = max(power.idle_after_us[1] / 1e6, float(self.times_s[-1]) if self.times_s.size else 0.0)
        self._load_s = (power.load_us[0] / 1e6, power.load_us[1] / 1e6)
        # the pre-roll begins where the idle spell ends; a meter beside the board was itself laid by these edges
        self._edges_s = (power.idle_before_us[1] / 1e6, self._load_s[1]) if power.meter == "board" else ()
        self._below_mw = (power.lsb + power.offset_uw) / 1e3  # a sensor at rest may show so much less than nothing
        self._periodic_mw = power.periodic_uw / 1e3
        self._polls = power.polls
        self.poll_s = self._end_s / power.polls if power.polls else self._end_s
        self.refresh_s = refresh_s(self.times_s, self.poll_s)
        self.lsb = power.lsb / 1e3 or self._smallest_step()

    @property
    def lag_s(self) -> float:
        """How old what a sensor shows may be: its refresh and a poll."""
        return self.longest_refresh_s + self.poll_s

    @cached_property
    def longest_refresh_s(self) -> float:
        """The refresh; where that cannot be told, what it is at most.

        No two changes are closer than one refresh (and a poll, by which the first may have been seen late). Where the
        value changes at the edges of the load only, and stays in between, these say more: see `LATE`.
        """
        if self.refresh_s is not None:
            return self.refresh_s
        gaps = np.diff(self.times_s)
        bounds = [self._end_s, *(gaps[gaps > 0] + self.poll_s)]
        following = [self.times_s[self.times_s > edge] for edge in self._edges_s]
        if following and all(times.size for times in following):
            late = (float(times[0]) - edge for times, edge in zip(following, self._edges_s, strict=True))
            bounds.append(LATE * max(late))
        return float(max(min(bounds), self.poll_s))

    def mean(self, begin_s: float, end_s: float) -> Mean:
        """The mean power between two moments of which the record holds enough; see `Mean`."""
        edges = np.linspace(begin_s, end_s, BLOCKS + 1)
        pieces = np.diff(self._integral(edges)) / np.diff(edges)
        inside = (self.times_s >= begin_s) & (self.times_s <= end_s)
        updates = int(np.count_nonzero(inside))
        error = float(np.std(pieces, ddof=1)) / np.sqrt(BLOCKS)
        step = self._step_mw(begin_s, end_s, updates)
        return Mean(float(pieces.mean()), error, step, _wander(pieces, end_s - begin_s), updates, begin_s, end_s)

    def is_stuck(self) -> bool:
        """Whether the value never changes, or stopped changing during the load, so that not even its end was seen."""
        if self.times_s.size < 2:
            return self._polls >= LEAST_POLLS
        begin, end = self._load_s
        silence_s = self._end_s - float(self.times_s[-1])
        if self.times_s.size < LEAST_CHANGES or self.times_s[-1] > end - STUCK_SHARE * (end - begin):
            return False
        return bool(silence_s > STUCK_TIMES * np.quantile(np.diff(self.times_s), 0.99))

    def is_implausible(self) -> bool:
        """Whether it shows what no board draws: a negative power, a counter that goes back, or a leap beyond reason."""
        if self.is_counter:
            steps = np.diff(self.values)
            if np.any(steps < 0):
                return True
            # over fewer than several polls a rate says more of the clock than of the board
            grid = np.arange(0.0, self._end_s, max(8 * self.poll_s, 0.05))
            rates = np.diff(np.interp(grid, self.times_s, self.values)) / np.diff(grid) if grid.size > 1 else steps
            return self._leaps(rates)
        return bool(np.any(self.values < -self._below_mw)) or self._leaps(self.values)

    def _leaps(self, milliwatts: Floats) -> bool:
        if not milliwatts.size:
            return False
        return float(milliwatts.max()) > min(MOST_MW, SPIKE * max(float(np.quantile(milliwatts, 0.9)), 100.0))

    @cached_property
    def _integrals(self) -> Floats:
        """(n,) the integral up to each change, in mJ."""
        pieces = self.values[:-1] * np.diff(self.times_s)
        return np.concatenate([[0.0], np.cumsum(pieces)])

    def _integral(self, at_s: Floats) -> Floats:
        """The energy up to these moments, in mJ; before the first value it is the first, after the last the last."""
        if self.is_counter:
            return np.interp(at_s, self.times_s, self.values)
        last = np.clip(np.searchsorted(self.times_s, at_s, side="right") - 1, 0, None)
        held: Floats = self._integrals[last] + self.values[last] * (at_s - self.times_s[last])
        return held

    def _step_mw(self, begin_s: float, end_s: float, updates: int) -> float:
        """What rounding to the sensor's step leaves open of a mean.

        Independent roundings average out: lsb / sqrt(n) with n distinct updates (a value that never moves counts once).
        They are independent where noise carries the value over several steps. With less noise a bias is left, which no
        number of updates removes: (lsb / pi) exp(-2 pi² s² / lsb²) for noise of deviation s, the first harmonic of the
        sawtooth that rounding is. Values on two neighbouring steps hide s; then the mean may be off by the distance
        between the share of the upper one and a half, as it is with no noise at all. What a second rounding leaves is
        in the record (`Power.periodic_uw`).
        """
        if self.is_counter:
            return self.lsb * math.sqrt(2.0) / (end_s - begin_s)
        if not self.lsb:
            return 0.0
        first = max(0, int(np.searchsorted(self.times_s, begin_s, side="right")) - 1)
        last = max(first + 1, int(np.searchsorted(self.times_s, end_s)))
        shown, held = self.values[first:last], np.diff(np.append(self.times_s[first:last].clip(begin_s), end_s))
        mean = float(np.average(shown, weights=held))
        near = np.abs(shown - mean) < self.lsb
        if held[near].sum() > 0.99 * held.sum():
            upper = float(held[shown > mean].sum() / held.sum())
            bias = self.lsb * (abs(0.5 - upper) + 0.1)
        else:
            spread = max(float(np.average((shown - mean) ** 2, weights=held)) - self.lsb**2 / 12, 0.0)
            bias = self.lsb / math.pi * math.exp(-2 * math.pi**2 * spread / self.lsb**2)
        return math.hypot(self.lsb / math.sqrt(max(updates, 1)), bias, self._periodic_mw)

    def _smallest_step(self) -> float:
        levels = np.unique(self.values)
        return float(np.diff(levels).min()) if levels.size > 1 else 0.0


def _wander(pieces: Floats, length_s: float) -> float:
    """Variance per second of a random walk, from the means of BLOCKS equal pieces of a spell.

    The last two pieces against the first two: noise alone moves that difference by the variance of a piece, which the
    differences of neighbours tell. Of a random walk of variance q per second this leaves 0.39 q times the length.
    """
    moved = float(pieces[-2:].mean() - pieces[:2].mean())
    noise = float(np.mean(np.diff(pieces) ** 2)) / 2
    return max(moved**2 - noise, 0.0) / (0.39 * length_s)


def refresh_s(times_s: Floats, poll_s: float) -> float | None:
    """The period of a sensor's updates, from the times at which its value was seen to change.

    Intervals are whole multiples of the period (a value may come twice in a row), each seen up to a poll late. The
    period is the longest one of which they are multiples: where the phases of the intervals agree best, refined by the
    intervals' sum. Of few intervals it cannot be told: by chance they are multiples of other periods as well. A sensor
    that changes with nearly every poll is faster than can be told; then the mean interval is an upper bound, and what
    is returned.

    Args:
        times_s: (n,) rising.
        poll_s: between two readings.
    """
    gaps = np.diff(times_s)
    gaps = gaps[gaps > 0]
    if gaps.size < LEAST_ALIKE:
        return None
    short = float(np.quantile(gaps, 0.05))
    if np.quantile(gaps, 0.5) < 1.5 * poll_s:
        return float(np.mean(gaps[gaps <= 20 * np.median(gaps)]))
    near = gaps[gaps <= 8 * short + 2 * poll_s]
    alike = np.quantile(gaps, 0.75) <= short + poll_s
    if near.size < (LEAST_ALIKE if alike else LEAST_GAPS):
        return None
    longest, least = short + 1.5 * poll_s, max(1.4 * poll_s, short / 6)
    # so fine that a peak is hardly lower for standing between two candidates: its half and third are no lower than it
    rates = np.arange(1 / longest, 1 / least, 1 / (32 * float(near.max())))
    agreement = np.abs(np.exp(2j * np.pi * np.outer(rates, near)).mean(axis=1))
    rising, falling = np.diff(agreement, prepend=-1.0) >= 0, np.diff(agreement, append=-1.0) <= 0
    # a peak, not its slope: from there the counts below would settle at another period
    best = int(np.flatnonzero(rising & falling & (agreement >= 0.9 * agreement.max()))[0])
    period = 1 / float(rates[best])
    for _ in range(5):
        counts = np.maximum(np.round(near / period), 1.0)
        period = float(near.sum() / counts.sum())
    return period
