from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from power_traces import Truth, record

from profiler.measure.energy import Energy, energy_of, judge
from profiler.measure.record import ISSUES, Power

SEEDS = 150


def drawn(rng: np.random.Generator, **changes: float) -> Truth:
    """A sensor and board of any kind within the protocol's reach; its gain is off by what its maker allows."""
    gain_u = float(rng.choice([0.002, 0.01, 0.02]))
    refresh = float(np.exp(rng.uniform(np.log(0.006), np.log(0.16))))
    truth = Truth(
        step_mw=float(np.exp(rng.uniform(np.log(30), np.log(5000)))),
        idle_mw=float(rng.uniform(500, 5000)),
        refresh_s=refresh,
        poll_s=min(max(refresh / 4, 0.003), 0.1),
        lsb_mw=float(rng.choice([0.1, 1, 5, 10, 40])),
        noise_mw=float(np.exp(rng.uniform(np.log(0.3), np.log(30)))),
        gain=float(1 + rng.normal(0, gain_u / 2)),
        gain_u=gain_u,
        offset_mw=float(rng.uniform(-50, 50)),
    )
    return replace(truth, **changes)


@pytest.mark.parametrize("kind", ["plain", "flicker", "walk", "drift"])
def test_the_stated_uncertainty_covers_the_truth_in_93_of_100_cases(kind: str) -> None:
    covered, figures, bounded, bounds = 0, 0, 0, 0
    for seed in range(SEEDS):
        rng = np.random.default_rng([seed, len(kind)])
        more = {
            "plain": {},
            "flicker": {"flicker_mw": float(rng.uniform(1, 50)), "flicker_s": float(rng.choice([0.02, 0.2, 1.0]))},
            "walk": {"walk_mw": float(rng.uniform(1, 30))},
            "drift": {"drift_mw": float(rng.uniform(-20, 20))},
        }[kind]
        truth = drawn(rng, **more)
        energy = energy_of(record(truth, rng))
        if energy.net_mj is not None and energy.u_net_mj is not None:
            figures += 1
            covered += abs(energy.net_mj - truth.net_mj) <= energy.u_net_mj
        elif energy.upper_mj is not None:
            bounds += 1
            bounded += truth.net_mj <= energy.upper_mj
    assert figures > SEEDS / 2
    assert covered >= 0.93 * figures
    assert bounded == bounds


def test_a_step_below_detection_gives_a_bound_and_no_number() -> None:
    met = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        truth = Truth(step_mw=float(rng.choice([0.0, 1.0, 4.0])), flicker_mw=40.0, flicker_s=0.3)
        energy = energy_of(record(truth, rng))
        if energy.issues != ("energy_undetected",):
            continue
        assert energy.net_mj is None
        assert energy.upper_mj is not None
        met += 1
        assert truth.net_mj <= energy.upper_mj
    assert met > 50


def test_gross_holds_the_offset_and_net_does_not() -> None:
    truth = Truth(offset_mw=400.0, offset_u_mw=500.0, runs=200)
    energy = energy_of(record(truth, np.random.default_rng(0)))
    assert energy.net_mj == pytest.approx(truth.net_mj, rel=0.02)
    gross = (truth.idle_mw + truth.step_mw) * truth.load_s / truth.runs
    assert energy.gross_mj == pytest.approx(gross + 400.0 * 10 / 200, rel=0.02)
    assert energy.u_gross_mj == pytest.approx(500.0 * 10 / 200, rel=0.1)
    assert energy.u_net_mj is not None
    assert energy.u_net_mj < 0.05 * truth.net_mj
    assert "offset" not in energy.budget_mj


def test_the_budget_adds_up() -> None:
    energy = energy_of(record(Truth(gain_u=0.02), np.random.default_rng(0)))
    assert set(energy.budget_mj) == {"gain", "lsb", "noise", "timing", "idle"}
    assert energy.u_net_mj == pytest.approx(math.hypot(*energy.budget_mj.values()))
    assert energy.budget_mj["gain"] == pytest.approx(0.02 * Truth().net_mj, rel=0.02)
    assert energy.unknown == ()
    assert energy.scope == "module-in"
    assert energy.window_s == pytest.approx(10.0)
    assert energy.updates == pytest.approx(10 / 0.05, rel=0.1)
    assert energy.refresh_hz == pytest.approx(20, rel=0.1)


def test_what_nobody_tells_of_a_sensor_is_named() -> None:
    energy = energy_of(record(Truth(gain_u=0.0), np.random.default_rng(0)))
    assert energy.unknown == ("gain",)
    assert energy.notes()["energy_unknown"] == "gain"


def test_an_idle_power_that_has_moved_rejects_the_window() -> None:
    energy = energy_of(record(Truth(drift_mw=-150.0, noise_mw=2.0), np.random.default_rng(0)))
    assert "energy_idle_moved" in energy.issues
    assert energy.net_mj is None
    assert energy.gross_mj is not None


def test_a_figure_that_is_known_badly_is_flagged_and_kept() -> None:
    energy = energy_of(record(Truth(gain_u=0.08), np.random.default_rng(0)))
    assert energy.issues == ("energy_uncertain",)
    assert energy.net_mj is not None


def test_a_window_shorter_than_ten_updates_gives_nothing() -> None:
    energy = energy_of(record(Truth(refresh_s=1.0, idle_s=8.0, load_s=9.0, poll_s=0.1), np.random.default_rng(0)))
    assert energy.issues == ("energy_window_short",)
    assert (energy.net_mj, energy.gross_mj) == (None, None)
    long_enough = Truth(refresh_s=1.0, idle_s=8.0, load_s=14.0, poll_s=0.1)
    assert energy_of(record(long_enough, np.random.default_rng(0))).net_mj is not None


@pytest.mark.parametrize("refresh_s", [3.0, 6.0, 9.0])
def test_a_window_that_few_updates_fall_into_gives_nothing_however_the_refresh_is_told(refresh_s: float) -> None:
    for seed in range(10):
        seen = record(Truth(refresh_s=refresh_s, poll_s=0.005, load_s=12.0), np.random.default_rng(seed))
        energy = energy_of(seen)
        assert energy.refresh_hz is None, "so few changes tell none"
        assert energy.issues in (("energy_window_short",), ("sensor_stuck",))
        assert (energy.net_mj, energy.gross_mj, energy.upper_mj) == (None, None, None)


def test_a_coarse_sensor_whose_refresh_cannot_be_told_has_an_honest_figure() -> None:
    figures, within = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        refresh = float(np.exp(rng.uniform(np.log(0.02), np.log(0.4))))
        truth = Truth(
            refresh_s=refresh, poll_s=refresh / 4, lsb_mw=20.0, noise_mw=2.0, idle_mw=rng.uniform(3000, 3020),
            step_mw=rng.uniform(100, 2000), gain_u=0.0,
        )  # fmt: skip
        energy = energy_of(record(truth, rng))
        if energy.refresh_hz is None and energy.net_mj is not None and energy.u_net_mj is not None:
            figures += 1
            within += abs(energy.net_mj - truth.net_mj) <= energy.u_net_mj
    assert figures > 15
    assert within >= 0.93 * figures


def _with_values(power: Power, change: object) -> Power:
    values = tuple(change(v) for v in power.values)  # type: ignore[operator]
    return replace(power, values=values)


@pytest.mark.parametrize(
    ("bend", "code"),
    [
        (lambda power: replace(power, times_us=power.times_us[:1], values=power.values[:1]), "sensor_stuck"),
        (lambda power: _with_values(power, lambda v: -v), "sensor_implausible"),
        (lambda power: replace(power, times_us=(), values=(), polls=0), "sensor_missing"),
        (lambda power: replace(power, runs=0), "energy_window_short"),
        (lambda power: replace(power, idle_after_us=(power.idle_after_us[0],) * 2), "energy_window_short"),
    ],
)
def test_what_cannot_be_a_figure_is_none_with_its_code(bend: object, code: str) -> None:
    energy = energy_of(bend(record(Truth(), np.random.default_rng(0))))  # type: ignore[operator]
    assert energy.issues == (code,)
    assert (energy.net_mj, energy.upper_mj) == (None, None)
    assert code in ISSUES


def test_less_power_under_load_than_at_rest_is_no_energy() -> None:
    energy = energy_of(record(Truth(step_mw=-500.0), np.random.default_rng(0)))
    assert energy.issues == ("sensor_implausible",)
    assert energy.net_mj is None


def test_a_counter_gives_the_same_energy() -> None:
    power = record(Truth(noise_mw=0.0, lsb_mw=0.0), np.random.default_rng(0))
    times = np.arange(0, power.idle_after_us[1], 10_000)
    busy = (times >= power.idle_before_us[1]) & (times < power.load_us[1])
    energy_uj = np.concatenate([[0], np.cumsum((3000 + 1000 * busy[:-1]) * 10)])
    values = tuple(int(v) for v in energy_uj)
    counter = replace(
        power, form="energy", times_us=tuple(int(t) for t in times), values=values, polls=len(values), lsb=61.0
    )
    energy = energy_of(counter)
    assert energy.net_mj == pytest.approx(20.0, rel=1e-3)
    assert energy.issues == ()


def test_a_meter_of_the_hosts_is_read_well_inside_the_spells() -> None:
    power = record(Truth(), np.random.default_rng(0), meter="host")
    late = 300_000
    shifted = replace(power, times_us=tuple(t + late for t in power.times_us))
    assert energy_of(shifted).net_mj == pytest.approx(20.0, rel=0.02)
    assert "energy_idle_moved" not in energy_of(shifted).issues


def test_a_journal_gets_the_figure_unless_the_board_rules_it_out() -> None:
    power = record(Truth(), np.random.default_rng(0))
    value, issues, notes = judge(power, ("unpinned",))
    assert value == pytest.approx(20.0, rel=0.02)
    assert issues == ("unpinned",)
    assert notes["energy_scope"] == "module-in"
    assert notes["energy_u_mj"] > 0
    assert all(isinstance(v, float | str) for v in notes.values())
    value, issues, _ = judge(power, ("energy_window_short",))
    assert (value, issues) == (None, ("energy_window_short",))


def test_an_energy_of_nothing_is_nothing() -> None:
    assert Energy("wall").notes() == {"energy_scope": "wall"}
