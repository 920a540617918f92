from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from power_traces import Truth, record, shown

from profiler.errors import MeasurementError
from profiler.measure.energy import energy_of
from profiler.measure.meters.align import Alignment, align, power_of
from profiler.measure.meters.base import Accuracy, Trace
from profiler.measure.meters.calibration import Point, fit, paired

LEVELS = (400.0, 1500.0, 3000.0, 5000.0)
BEGAN_S = 777.0


def metered(truth: Truth, seed: int, period_s: float = 0.05, began_s: float = BEGAN_S) -> Trace:
    """What a good meter shows of the same board, from 10 s before its record to 10 s after it."""
    good = replace(truth, gain=1.0, offset_mw=0.0, noise_mw=1.0, lsb_mw=0.0, refresh_s=period_s, poll_s=period_s)
    times, values = shown(good, np.random.default_rng(seed))
    lead = np.arange(-10.0, times[0], period_s)
    tail = np.arange(times[-1] + period_s, times[-1] + 10, period_s)
    all_times = np.concatenate([lead, times, tail]) + began_s
    all_values = np.concatenate([np.full(lead.size, values[0]), values, np.full(tail.size, values[-1])]) * 1000
    accuracy = Accuracy(gain_u=0.001, offset_u_uw=1000.0)
    return Trace("bench meter", "module-in", "power", tuple(all_times), tuple(all_values), 0.0, accuracy)


@pytest.mark.parametrize("step_mw", [200.0, 2000.0])
@pytest.mark.parametrize("period_s", [0.01, 0.1])
def test_the_load_tells_when_the_record_began(step_mw: float, period_s: float) -> None:
    truth = Truth(step_mw=step_mw)
    board = record(truth, np.random.default_rng(1))
    found = align(metered(truth, 2, period_s), board, BEGAN_S - 6, BEGAN_S + 8)
    assert found.began_s == pytest.approx(BEGAN_S, abs=found.u_s)
    assert found.u_s < 0.4


def test_a_record_made_of_a_trace_gives_the_boards_energy() -> None:
    truth = Truth(runs=400)
    board = record(truth, np.random.default_rng(1))
    trace = metered(truth, 2)
    power = power_of(trace, board, align(trace, board, BEGAN_S - 6, BEGAN_S + 8))
    assert (power.meter, power.scope, power.sensor, power.runs) == ("host", "module-in", "bench meter", 400)
    energy = energy_of(power)
    assert energy.u_net_mj is not None
    assert energy.net_mj == pytest.approx(truth.net_mj, abs=energy.u_net_mj)
    assert energy.net_mj == pytest.approx(truth.net_mj, rel=0.02)


def test_a_counters_trace_does_as_well() -> None:
    truth = Truth()
    board, power = record(truth, np.random.default_rng(1)), metered(truth, 2)
    energies = np.concatenate([[0.0], np.cumsum(np.array(power.values[:-1]) * np.diff(power.times_s))]) + 5e9
    counter = replace(power, form="energy", values=tuple(energies))
    made = power_of(counter, board, align(counter, board, BEGAN_S - 6, BEGAN_S + 8))
    assert energy_of(made).net_mj == pytest.approx(truth.net_mj, rel=0.02)


def test_what_cannot_be_laid_over_the_board_is_refused() -> None:
    truth = Truth()
    board, trace = record(truth, np.random.default_rng(1)), metered(truth, 2)
    flat = replace(trace, values=tuple(3e6 + i % 7 for i in range(len(trace.values))))
    with pytest.raises(MeasurementError, match="shows no load"):
        align(flat, board, BEGAN_S - 6, BEGAN_S + 6)
    with pytest.raises(MeasurementError, match="whole measurement"):
        align(trace, board, BEGAN_S + 100, BEGAN_S + 120)
    with pytest.raises(MeasurementError, match="reads more often"):
        power_of(trace, board, Alignment(BEGAN_S, 2.0))
    with pytest.raises(MeasurementError, match="whole measurement"):
        power_of(trace, board, Alignment(BEGAN_S - 30, 0.1))


def windows(gain: float, offset_mw: float, seed: int, **more: float) -> list[Point]:
    points = []
    for number, step in enumerate(LEVELS):
        truth = Truth(step_mw=step, gain=1 / gain, offset_mw=-offset_mw / gain, **more)
        board = record(truth, np.random.default_rng([seed, number]))
        trace = metered(truth, 1000 * seed + number)
        points += paired(f"level {number}", board, power_of(trace, board, Alignment(BEGAN_S, 0.1)))
    return points


def test_gain_and_offset_are_found_and_their_uncertainty_covers_the_truth() -> None:
    covered = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        gain, offset = float(rng.uniform(0.9, 1.1)), float(rng.uniform(-200, 200))
        found = fit(windows(gain, offset, seed), 0.001, 1000.0)
        covered += [
            abs(found.gain / gain - 1) <= found.gain_u,
            abs(found.offset_uw - offset * 1000) <= found.offset_u_uw,
        ]
        assert found.gain_u < 0.01
    assert sum(covered) >= 0.93 * len(covered)


def test_the_meters_own_uncertainty_stays() -> None:
    assert fit(windows(1.0, 0.0, 3), meter_gain_u=0.02).gain_u >= 0.02


def test_points_that_scatter_more_than_they_say_widen_the_uncertainty() -> None:
    exact = windows(1.0, 0.0, 3)
    bent = [replace(p, true_uw=p.true_uw * (1.0 + 0.02 * (-1) ** i)) for i, p in enumerate(exact)]
    assert fit(bent).gain_u > 5 * fit(exact).gain_u
    assert fit(bent).misfit > 3
    assert max(map(abs, fit(bent).residuals)) == pytest.approx(0.02, rel=0.6)


def test_too_few_points_and_no_spread_are_told() -> None:
    points = windows(1.0, 0.0, 3)
    with pytest.raises(MeasurementError, match="at least 4 windows"):
        fit(points[:3])
    near = [p for p in points if p.what.endswith("idle")]
    with pytest.raises(MeasurementError, match="levels of load that differ by more"):
        fit(near)
    with pytest.raises(MeasurementError, match="falls where the meter rises"):
        fit([replace(p, shown_uw=-p.shown_uw) for p in points])
