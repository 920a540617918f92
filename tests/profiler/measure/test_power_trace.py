from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from power_traces import Truth, record

from profiler.measure.power_trace import PowerTrace, refresh_s
from profiler.measure.record import Power


def plain(
    times_s: list[float], milliwatts: list[float], form: str = "power", end_s: float = 10.0, **changes: object
) -> Power:
    third = round(end_s * 1e6 / 3)
    fields: dict[str, object] = {
        "sensor": "test", "scope": "board-in", "form": form, "times_us": tuple(round(t * 1e6) for t in times_s),
        "values": tuple(round(v * 1000) for v in milliwatts), "polls": round(end_s * 100), "lsb": 0.0, "gain_u": 0.0,
        "offset_uw": 0.0, "idle_before_us": (0, third), "load_us": (third, 2 * third),
        "idle_after_us": (2 * third, 3 * third), "runs": 10,
    }  # fmt: skip
    return Power(**(fields | changes))  # type: ignore[arg-type]


def test_a_value_holds_until_it_changes() -> None:
    trace = PowerTrace(plain([0.0, 4.0, 4.5], [100.0, 500.0, 100.0]))
    assert trace.mean(2.0, 4.0).mw == pytest.approx(100.0)  # straight lines would give 300
    assert trace.mean(4.0, 4.5).mw == pytest.approx(500.0)
    assert trace.mean(3.5, 5.0).mw == pytest.approx((0.5 * 100 + 0.5 * 500 + 0.5 * 100) / 1.5)


def test_a_counter_flows_on_between_its_readings() -> None:
    trace = PowerTrace(plain([0.0, 4.0, 8.0], [0.0, 4000.0, 12000.0], "energy"))
    assert trace.mean(1.0, 3.0).mw == pytest.approx(1000.0)
    assert trace.mean(3.0, 5.0).mw == pytest.approx(1500.0)


def test_the_smallest_step_seen_stands_for_one_that_nobody_tells() -> None:
    assert PowerTrace(plain([0, 1, 2, 3], [100.0, 120.0, 110.0, 150.0])).lsb == pytest.approx(10.0)
    assert PowerTrace(plain([0, 1], [100.0, 120.0], lsb=2000.0)).lsb == pytest.approx(2.0)


@pytest.mark.parametrize("refresh", [0.006, 0.02, 0.0667, 0.154, 1.0])
@pytest.mark.parametrize("share", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("lsb_mw", [0.1, 40.0])
def test_the_refresh_is_found_within_ten_percent(refresh: float, share: float, lsb_mw: float) -> None:
    truth = Truth(refresh_s=refresh, poll_s=refresh * share, lsb_mw=lsb_mw, noise_mw=20.0)
    found = PowerTrace(record(truth, np.random.default_rng(5))).refresh_s
    assert found == pytest.approx(refresh, rel=0.1)


def test_the_refresh_is_found_in_97_of_100_sensors_of_all_kinds() -> None:
    found, wrong = 0, 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        refresh = float(np.exp(rng.uniform(np.log(0.006), np.log(0.2))))
        truth = Truth(
            refresh_s=refresh,
            poll_s=refresh * float(rng.choice([0.1, 0.25, 0.45])),
            lsb_mw=float(rng.choice([0.1, 5.0, 40.0])),
            noise_mw=float(rng.choice([3.0, 10.0, 30.0])),
        )
        seen = PowerTrace(record(truth, rng)).refresh_s
        found += seen is not None
        wrong += seen is not None and abs(seen / refresh - 1) > 0.1
    assert found > 110
    assert wrong <= 0.01 * found


@pytest.mark.parametrize("steps_of_noise", [4.0, 7.0, 12.0])
def test_a_sensor_that_changes_rarely_tells_its_refresh_or_says_that_it_cannot(steps_of_noise: float) -> None:
    said, silent = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        truth = Truth(
            refresh_s=0.222, poll_s=0.0555, lsb_mw=20.0, noise_mw=20 / steps_of_noise, idle_mw=rng.uniform(3000, 3020),
            step_mw=rng.uniform(100, 2000), load_s=40.0,
        )  # fmt: skip
        found = PowerTrace(record(truth, rng)).refresh_s
        silent += found is None
        said += found is not None
        assert found is None or found == pytest.approx(0.222, rel=0.1)
    assert said > 5
    assert silent > 5


def test_a_refresh_that_cannot_be_told_is_not_taken_for_a_fast_one() -> None:
    unknown, above = 0, 0
    for seed in range(80):
        rng = np.random.default_rng(seed)
        refresh = float(np.exp(rng.uniform(np.log(0.02), np.log(0.4))))
        truth = Truth(
            refresh_s=refresh, poll_s=refresh / 4, lsb_mw=40.0, noise_mw=4.0, idle_mw=rng.uniform(3000, 3040),
            step_mw=rng.uniform(100, 2000),
        )  # fmt: skip
        trace = PowerTrace(record(truth, rng))
        if trace.refresh_s is None:
            unknown += 1
            above += trace.longest_refresh_s >= 0.99 * refresh
            assert trace.lag_s == trace.longest_refresh_s + trace.poll_s
    assert unknown > 20
    assert above >= 0.95 * unknown


def test_the_edges_of_the_load_bound_a_refresh_that_nothing_else_shows() -> None:
    shown = plain([0.0, 3.4, 6.9], [100.0, 900.0, 100.0])  # the load's edges, pre-roll left out: 3.33 and 6.67 s
    assert PowerTrace(shown).longest_refresh_s == pytest.approx((6.9 - 20 / 3) * 20**0.5, rel=1e-3)
    assert PowerTrace(replace(shown, meter="host")).longest_refresh_s == pytest.approx(3.4 + 0.01)
    never = plain([0.0, 8.0], [100.0, 140.0])  # no change behind the first edge is none of a fast sensor's
    assert PowerTrace(never).longest_refresh_s > 5.0


def test_too_few_changes_tell_no_refresh() -> None:
    assert refresh_s(np.arange(8) * 0.5, 0.01) is None
    assert refresh_s(np.empty(0), 0.01) is None


def test_a_sensor_faster_than_the_polls_seems_as_fast_as_they_are() -> None:
    found = PowerTrace(record(Truth(refresh_s=0.002, poll_s=0.01), np.random.default_rng(0))).refresh_s
    assert found == pytest.approx(0.01, rel=0.2)


def test_what_never_changes_is_stuck() -> None:
    assert PowerTrace(plain([0.0], [900.0])).is_stuck()
    assert not PowerTrace(plain([0.0], [900.0], polls=3)).is_stuck()  # too few looks to say so


def test_what_stops_changing_during_the_load_is_stuck() -> None:
    whole = record(Truth(), np.random.default_rng(1))
    hangs_at = whole.load_us[0] + (whole.load_us[1] - whole.load_us[0]) // 2
    kept = sum(time < hangs_at for time in whole.times_us)
    cut = replace(whole, times_us=whole.times_us[:kept], values=whole.values[:kept])
    assert not PowerTrace(whole).is_stuck()
    assert PowerTrace(cut).is_stuck()


def test_a_coarse_sensor_that_rests_while_the_board_rests_is_not_stuck() -> None:
    truth = Truth(lsb_mw=40.0, noise_mw=1.0, flicker_mw=0.0, step_mw=333.0)
    for seed in range(20):
        assert not PowerTrace(record(replace(truth, idle_mw=3000.0 + seed), np.random.default_rng(seed))).is_stuck()


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ([2000.0, -500.0, 2000.0], "power"),
        ([2000.0, 2100.0, 80_000_000.0], "power"),
        ([2000.0, 2100.0, 300_000.0], "power"),
        ([0.0, 4000.0, 3000.0], "energy"),
        ([0.0, 2000.0, 9_000_000.0], "energy"),
    ],
)
def test_what_no_board_draws_is_implausible(values: list[float], form: str) -> None:
    filled = values[:2] * 10
    milli = [*(np.arange(20.0) * 100 if form == "energy" else filled), *(values if form == "power" else [])]
    if form == "energy":
        milli = [*milli, milli[-1] + values[-1] - values[-2]]
    assert PowerTrace(plain(list(np.linspace(0, 9, len(milli))), milli, form)).is_implausible()


def test_a_load_of_many_times_the_idle_power_is_plausible() -> None:
    assert not PowerTrace(record(Truth(idle_mw=800.0, step_mw=6000.0), np.random.default_rng(0))).is_implausible()
    counter = plain(list(np.linspace(0, 10, 400)), list(np.cumsum(np.repeat([10.0, 90.0], 200))), "energy")
    assert not PowerTrace(counter).is_implausible()
