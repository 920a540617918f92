"""The noise comes out as specified: spread, autocorrelation, independence of the step, outliers, modes, drift."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from profiler.fleet.virtual.simulated.presets import IDEAL
from profiler.fleet.virtual.simulated.spec import Noise


def batches(machine: Any, cost: Any, runs: int, count: int) -> Any:
    """Means of so many batches, relative to the truth."""
    machine.join()
    return np.array([machine.run(cost, runs, 99.0) / runs for _ in range(count)]) / cost.run_s()


def of_noise(**settings: Any) -> Any:
    return replace(IDEAL, noise=Noise(**settings))


def lag(values: Any, distance: int) -> float:
    centred = values - values.mean()
    return float((centred[:-distance] * centred[distance:]).mean() / (centred**2).mean())


def test_without_noise_every_batch_is_the_truth(machine: Any, cost: Any) -> None:
    found = batches(machine(IDEAL), cost(IDEAL), 50, 20)
    np.testing.assert_allclose(found, 1, rtol=1e-6)


def test_the_slow_part_has_its_spread_and_its_correlation(machine: Any, cost: Any) -> None:
    spec = of_noise(spread=0.02, correlation_s=0.05)
    what = cost(spec)
    runs = max(1, round(0.01 / what.run_s()))  # batches of a fifth of the correlation time
    found = np.log(batches(machine(spec), what, runs, 20000))
    x = runs * what.run_s() / 0.05
    mean_variance = 2 / x**2 * (x - 1 + np.exp(-x))
    assert found.std() == pytest.approx(0.02 * np.sqrt(mean_variance), rel=0.08)
    # of means over neighbouring spells of x: the exact law
    expected = np.exp(-x) * ((np.exp(x) - 1) / x) ** 2 * np.exp(-x) * np.exp(x) / mean_variance
    assert lag(found, 1) == pytest.approx(expected * np.exp(-x), abs=0.05)
    assert lag(found, 5) == pytest.approx(lag(found, 1) * np.exp(-4 * x), abs=0.08)


@pytest.mark.parametrize("settings", [{"spread": 0.05, "correlation_s": 0.002}, {"jitter": 0.05}], ids=str)
def test_a_step_of_many_runs_is_what_many_steps_are(machine: Any, cost: Any, settings: dict[str, float]) -> None:
    spec = of_noise(**settings)
    what = cost(spec)
    one = batches(machine(spec, "one"), what, 40, 1500)
    single = batches(machine(spec, "single"), what, 1, 1500 * 40).reshape(1500, 40).mean(1)
    assert one.std() == pytest.approx(single.std(), rel=0.1)
    assert one.mean() == pytest.approx(single.mean(), abs=4 * single.std() / np.sqrt(300))


def test_single_runs_are_lognormal_around_the_truth(machine: Any, cost: Any) -> None:
    spec = of_noise(jitter=0.03)
    found = np.log(batches(machine(spec), cost(spec), 1, 20000))
    assert found.std() == pytest.approx(0.03, rel=0.03)
    assert np.median(found) == pytest.approx(0, abs=0.001)


def test_interruptions_come_as_often_and_last_as_long_as_they_should(machine: Any, cost: Any) -> None:
    spec = of_noise(outlier_hz=5.0, outlier_s=0.002)
    what = cost(spec)
    runs = round(0.01 / what.run_s())
    found = batches(machine(spec), what, runs, 20000)
    late = (found > 1 + 1e-6).mean()
    assert late == pytest.approx(1 - np.exp(-5.0 * runs * what.run_s()), rel=0.1)
    assert found.mean() == pytest.approx(1 + 5.0 * 0.002, rel=0.002)
    assert np.median(found) == pytest.approx(1, abs=1e-6)


def test_many_interruptions_at_once_have_the_same_mean_and_spread(board: Any) -> None:
    noise = board.noise.Noise(
        json.loads(json.dumps(of_noise(outlier_hz=100.0, outlier_s=0.001).to_dict()["noise"])), {}, random.Random(3)
    )
    few = np.array([sum(noise.interruptions_s(0.1) for _ in range(10)) for _ in range(3000)])
    many = np.array([noise.interruptions_s(1.0) for _ in range(3000)])
    assert many.mean() == pytest.approx(few.mean(), rel=0.02)
    assert many.std() == pytest.approx(few.std(), rel=0.08)


def test_modes_of_processes(machine: Any, cost: Any) -> None:
    spec = of_noise(mode_ratio=1.1, mode_share=0.3)
    found = [batches(machine(spec), cost(spec), 10, 3) for _ in range(200)]
    assert all(np.ptp(each) < 1e-6 for each in found)
    slow = np.array([each[0] > 1.05 for each in found])
    assert {round(float(each[0]), 6) for each in found} == {1.0, 1.1}
    assert 0.18 < slow.mean() < 0.42


def test_modes_that_switch(machine: Any, cost: Any) -> None:
    spec = of_noise(mode_ratio=1.1, mode_share=0.25, mode_dwell_s=0.05)
    what = cost(spec)
    found = batches(machine(spec), what, round(0.002 / what.run_s()), 30000)
    assert (found > 1.05).mean() == pytest.approx(0.25, abs=0.05)
    assert ((found > 1.001) & (found < 1.099)).mean() < 0.1  # nearly all batches are wholly in one


def test_every_fresh_process_has_an_offset_of_its_own(machine: Any, cost: Any) -> None:
    spec = of_noise(process_spread=0.02)
    found = np.array([batches(machine(spec), cost(spec), 10, 2) for _ in range(300)])
    assert np.ptp(found, axis=1).max() < 1e-6
    assert np.log(found[:, 0]).std() == pytest.approx(0.02, rel=0.15)


def test_drift_walks_and_goes_on_and_steps(machine: Any, cost: Any) -> None:
    spec = of_noise(drift_per_h=1.0)
    line = machine(spec, "line")
    line.join()
    line.rest(360)
    assert np.log(batches(line, cost(spec), 10, 1)[0]) == pytest.approx(0.1, rel=1e-3)
    spec = of_noise(drift_per_sqrt_h=0.03)
    walks = []
    for number in range(120):
        walk = machine(replace(spec, seed=number), f"walk{number}")
        walk.join()
        walk.rest(18)
        walks.append(walk.noise.state["drift"])
    assert np.std(walks) == pytest.approx(0.03 * np.sqrt(18 / 3600), rel=0.2)
    spec = of_noise(step_at_s=60.0, step=0.04)
    step = machine(spec, "step")
    assert batches(step, cost(spec), 10, 1)[0] == pytest.approx(1, rel=1e-6)
    step.rest(60)
    assert batches(step, cost(spec), 10, 1)[0] == pytest.approx(1.04, rel=1e-6)


def test_a_fresh_model_is_slower_at_first_and_its_first_run_slowest(machine: Any, cost: Any) -> None:
    spec = of_noise(warm_excess=0.2, warm_s=0.01)
    what = cost(spec)
    board = machine(spec)
    board.join()
    runs = round(0.001 / what.run_s())
    ages = [board.run(what, runs, age) / runs / what.run_s() for age in (0.0, 0.01, 0.02, 0.2)]
    assert ages == sorted(ages, reverse=True)
    assert ages[0] == pytest.approx(1.2, abs=0.02)
    assert ages[1] == pytest.approx(1 + 0.2 * np.exp(-1), abs=0.02)
    assert ages[3] == pytest.approx(1, abs=1e-6)
    assert board.run(what, 1, 99.0, cold=True) > 1.04 * what.run_s()


def test_background_work_slows_and_is_seen(machine: Any, cost: Any, board: Any) -> None:
    spec = of_noise(background_every_s=5.0, background_s=2.0, background_share=0.3)
    what = cost(spec)
    here = machine(spec)
    found = batches(here, what, round(0.01 / what.run_s()), 20000)
    assert 0.15 < (found > 1.2).mean() < 0.45  # 2 s of every 7
    assert here.state["stall_s"] > 1
    files = board.files.Files(here)
    assert "some avg10=" in files.read("/proc/pressure/cpu")
    assert float(files.read("/proc/loadavg").split()[0]) > 0.5


def test_equal_seeds_give_equal_boards(machine: Any, cost: Any) -> None:
    spec = of_noise(spread=0.02, jitter=0.01, outlier_hz=3.0, outlier_s=0.001)
    first, again = (batches(machine(spec, name), cost(spec), 20, 50) for name in ("a", "b"))
    np.testing.assert_array_equal(first, again)
    other = batches(machine(replace(spec, seed=1), "c"), cost(spec), 20, 50)
    assert not np.array_equal(first, other)
