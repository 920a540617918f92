"""Power records with known truth: a board's power as a function of time, seen through a sensor with known faults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from profiler.measure.record import Power

GRID_S = 0.001


@dataclass(frozen=True)
class Truth:
    """A board, its sensor, and what is done; powers in mW.

    Attributes:
        step_mw, idle_mw: of the load, and at rest.
        refresh_s, poll_s: the sensor shows the mean since its last refresh.
        lsb_mw, gain, offset_mw, noise_mw: value = round(gain x power + offset + noise).
        gain_u, offset_u_mw: as its maker states them (k = 2).
        flicker_mw, flicker_s: the power's own fluctuation, autocorrelated over that time.
        walk_mw, drift_mw: of the idle power: a random walk (deviation after a minute), and a line over the record.
        runs: in the load spell.
    """

    step_mw: float = 1000.0
    idle_mw: float = 3000.0
    refresh_s: float = 0.05
    poll_s: float = 0.01
    lsb_mw: float = 5.0
    gain: float = 1.0
    offset_mw: float = 0.0
    noise_mw: float = 10.0
    gain_u: float = 0.01
    offset_u_mw: float = 50.0
    flicker_mw: float = 0.0
    flicker_s: float = 0.2
    walk_mw: float = 0.0
    drift_mw: float = 0.0
    idle_s: float = 5.0
    preroll_s: float = 3.0
    load_s: float = 10.0
    runs: int = 500

    @property
    def net_mj(self) -> float:
        """Per run."""
        return self.step_mw * self.load_s / self.runs

    @property
    def spells_s(self) -> tuple[tuple[float, float], ...]:
        """settle - idle - pre-roll - load - settle - idle."""
        begin = 1 + self.idle_s + self.preroll_s
        after = begin + self.load_s + 1
        return (1.0, 1 + self.idle_s), (begin, begin + self.load_s), (after, after + self.idle_s)


def shown(truth: Truth, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(times_s, values_mw) at every poll."""
    spells = truth.spells_s
    end = spells[2][1]
    grid = np.arange(0.0, end + GRID_S, GRID_S)
    busy = (grid >= spells[0][1]) & (grid < spells[1][1])
    power = truth.idle_mw + truth.step_mw * busy + truth.drift_mw * grid / end
    if truth.walk_mw:
        power = power + np.cumsum(rng.normal(0, truth.walk_mw * np.sqrt(GRID_S / 60), grid.size))
    if truth.flicker_mw:
        keep = np.exp(-GRID_S / truth.flicker_s)
        kicks = rng.normal(0, truth.flicker_mw * np.sqrt(1 - keep**2), grid.size)
        from scipy.signal import lfilter

        power = power + np.asarray(lfilter([1.0], [1.0, -keep], kicks))
    energy = np.concatenate([[0.0], np.cumsum(power) * GRID_S])
    phase = rng.uniform(0, truth.refresh_s)
    ticks = np.arange(phase, end, truth.refresh_s)
    totals = np.interp(ticks, np.append(grid, grid[-1] + GRID_S), energy)
    means = np.diff(totals) / truth.refresh_s
    values = truth.gain * means + truth.offset_mw + rng.normal(0, truth.noise_mw, means.size)
    if truth.lsb_mw:
        values = np.round(values / truth.lsb_mw) * truth.lsb_mw
    polls = np.arange(0.0, end, truth.poll_s) + rng.uniform(0, 0.1 * truth.poll_s)
    last = np.searchsorted(ticks[1:], polls, side="right") - 1
    return polls[last >= 0], values[last[last >= 0]]


def record(truth: Truth, rng: np.random.Generator, **changes: object) -> Power:
    """What a board's agent would send."""
    times, values = shown(truth, rng)
    changed = np.concatenate([[True], np.diff(values) != 0])
    before, load, after = (tuple(round(edge * 1e6) for edge in spell) for spell in truth.spells_s)
    fields: dict[str, object] = {
        "sensor": "hwmon test", "scope": "module-in", "form": "power",
        "times_us": tuple(int(t) for t in times[changed] * 1e6),
        "values": tuple(round(v * 1000) for v in values[changed]),
        "polls": times.size, "lsb": truth.lsb_mw * 1000, "gain_u": truth.gain_u, "offset_uw": truth.offset_u_mw * 1000,
        "idle_before_us": before, "load_us": load, "idle_after_us": after, "runs": truth.runs,
    }  # fmt: skip
    return Power(**(fields | changes))  # type: ignore[arg-type]
