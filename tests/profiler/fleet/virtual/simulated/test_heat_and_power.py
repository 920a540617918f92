"""Temperature, throttling and the power sensor come out as specified."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from profiler.fleet.virtual.simulated.presets import IDEAL
from profiler.fleet.virtual.simulated.spec import Noise, Power, PowerSensor, Thermal
from profiler.fleet.virtual.simulated.truth import Truth

from .conftest import conv_chain


def busy(machine: Any, cost: Any, seconds: float) -> float:
    """Runs for so long; what a run took on average."""
    runs = round(0.01 / cost.run_s())
    count = max(1, round(seconds / 0.01))
    return sum(machine.run(cost, runs, 99.0) for _ in range(count)) / count / runs


# -------------------------------------------------------------------- heat


def test_the_steady_temperature_is_resistance_times_power(machine: Any, cost: Any) -> None:
    board, what = machine(IDEAL), cost(IDEAL)
    assert board.heat.celsius == pytest.approx(25 + 5.0 * 2.0)  # on for a while, at rest
    board.join()
    busy(board, what, 600)
    assert board.heat.celsius == pytest.approx(25 + 5.0 * (2.0 + board.power.net_w(what.activity)), abs=0.01)
    board.rest(600)
    assert board.heat.celsius == pytest.approx(35, abs=0.01)


def test_it_gets_there_with_the_time_constant(machine: Any) -> None:
    board = machine(IDEAL)
    board.state["heat"]["c"] = 75.0
    board.rest(5.0 * 10.0)
    assert board.heat.celsius == pytest.approx(35 + 40 * math.exp(-1), abs=0.01)


def test_leakage_heats_further(machine: Any) -> None:
    board = machine(replace(IDEAL, power=replace(IDEAL.power, leakage_w_per_k=0.02)))
    board.rest(3600)
    above = board.heat.celsius - 25
    assert above == pytest.approx(5.0 * (2.0 + 0.02 * above), abs=0.01)


HOT = replace(IDEAL, thermal=replace(IDEAL.thermal, r_k_per_w=16.0, c_j_per_k=1.0, trip_c=80.0, hard_c=90.0))


def test_throttling_engages_slows_and_ends(machine: Any, cost: Any, board: Any) -> None:
    here, what = machine(HOT), cost(HOT)
    here.join()
    files = board.files.Files(here)
    assert files.run(["vcgencmd", "get_throttled"]) == "throttled=0x0"
    cold_s = busy(here, what, 0.05)
    busy(here, what, 200)
    assert here.heat.throttled
    assert here.state["throttled_s"] > 50
    assert busy(here, what, 1) > 1.1 * cold_s
    assert 70 < here.heat.celsius < 90
    assert int(files.run(["vcgencmd", "get_throttled"]).split("=")[1], 16) & (1 << 3 | 1 << 19) == 1 << 3 | 1 << 19
    assert int(files.read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")) < 2_000_000
    here.rest(300)
    assert not here.heat.throttled
    assert int(files.run(["vcgencmd", "get_throttled"]).split("=")[1], 16) == 1 << 19  # since boot
    word = files.glob("/sys/devices/platform/soc*/soc*:firmware/get_throttled")
    assert [int(files.read(path), 16) for path in word] == [1 << 19]
    here.boot()
    assert int(files.read(word[0]), 16) == 0


def test_what_is_cool_is_never_throttled(machine: Any, cost: Any) -> None:
    board = machine(IDEAL)
    board.join()
    busy(board, cost(IDEAL), 300)
    assert board.state["throttled_s"] == 0
    assert board.heat.state["word"] == 0


@pytest.mark.parametrize(("mode", "found"), [("ok", "35000"), ("zero", "0"), ("missing", None)])
def test_zones(machine: Any, board: Any, mode: Any, found: str | None) -> None:
    spec = replace(IDEAL, thermal=replace(IDEAL.thermal, zone_mode=mode, zones=("cpu-thermal", "gpu-thermal")))
    files = board.files.Files(machine(spec))
    assert files.read("/sys/class/thermal/thermal_zone1/temp") == found
    assert len(files.glob("/sys/class/thermal/thermal_zone*/type")) == (0 if mode == "missing" else 2)


def test_the_zone_has_its_resolution(machine: Any, board: Any) -> None:
    here = machine(replace(IDEAL, thermal=Thermal(step_mc=550, r_k_per_w=5.0)))
    files = board.files.Files(here)
    for celsius in (40.123, 61.7):
        here.state["heat"]["c"] = celsius
        shown = int(files.read("/sys/class/thermal/thermal_zone0/temp"))
        assert shown % 550 == 0
        assert 0 <= celsius * 1000 - shown < 551


# -------------------------------------------------------------------- power


def with_sensor(**settings: Any) -> Any:
    usual = {"refresh_s": 0.1, "lsb_w": 0.0}
    return replace(IDEAL, sensor=PowerSensor("hwmon", "ina226", "VDD", **usual | settings))


def readings(machine: Any, seconds: float, every_s: float) -> Any:
    found = []
    for _ in range(round(seconds / every_s)):
        machine.rest(every_s)
        found.append(machine.sensor.watts(machine.uptime_s))
    return np.array(found, float)


def test_gain_and_offset(machine: Any) -> None:
    board = machine(with_sensor(gain=1.05, offset_w=0.3))
    assert readings(board, 1, 0.5)[-1] == pytest.approx(1.05 * 2.0 + 0.3)


def test_a_value_stays_for_a_refresh_period_and_is_the_mean_over_it(machine: Any, cost: Any) -> None:
    board, what = machine(with_sensor(refresh_s=0.25, noise_w=0.01)), cost(IDEAL)
    found = readings(board, 30, 0.01)
    changes = np.flatnonzero(np.diff(found)) * 0.01
    assert np.diff(changes) == pytest.approx(0.25, abs=0.0101)
    exact = machine(with_sensor(refresh_s=1.0), "exact")
    exact.join()
    exact.rest(1.0 - exact.state["sensor"]["done_s"] + 0.4)
    net_w = exact.power.net_w(what.activity)
    took = exact.run(what, round(0.6 / what.run_s()), 99.0)
    exact.rest(max(0.0, 0.6 - took) + 1e-6)
    assert exact.sensor.watts(exact.uptime_s) == pytest.approx(2.0 + net_w * 0.6, abs=0.01)


def test_the_step_and_the_noise(machine: Any) -> None:
    board = machine(with_sensor(lsb_w=0.05, noise_w=0.2))
    found = readings(board, 400, 0.1)
    np.testing.assert_allclose(found / 0.05, np.round(found / 0.05), atol=1e-6)
    assert found.std() == pytest.approx(math.hypot(0.2, 0.05 / math.sqrt(12)), rel=0.05)
    assert found.mean() == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize("mode", ["stuck", "negative", "vanishing"])
def test_a_sensor_may_fail_midway(machine: Any, cost: Any, board: Any, mode: Any) -> None:
    here = machine(with_sensor(mode=mode, mode_after_s=10.0, noise_w=0.01))
    files = board.files.Files(here)
    path = "/sys/class/hwmon/hwmon1/curr1_input"
    assert len(set(readings(here, 9, 0.2))) > 10
    here.rest(2)
    found = set()
    for _ in range(20):
        here.rest(0.2)
        found.add(files.read(path))
    if mode == "vanishing":
        assert found == {None}
        assert files.glob("/sys/class/hwmon/hwmon*/curr1_input") == []
    elif mode == "stuck":
        assert len(found) == 1
        assert int(found.pop()) > 0
    else:
        assert all(int(value) < 0 for value in found)


def test_the_clock_and_the_voltage_set_the_power() -> None:
    truth = [Truth(IDEAL, conv_chain(4), "fp32", mhz=mhz) for mhz in IDEAL.clock.mhz]
    static, dynamic = IDEAL.power.static_w, IDEAL.power.dynamic_w
    net_w = [each.net_mj / (each.latency_ns * 1e-6) for each in truth]
    activity = (net_w[-1] - static) / dynamic
    assert net_w[0] == pytest.approx(static + dynamic * activity * 0.5 * 0.8**2)


def test_the_idle_power_walks(machine: Any) -> None:
    spec = replace(IDEAL, power=Power(2.0, 0.5, 2.5, idle_walk_w=0.02), noise=Noise())
    found = []
    for number in range(150):
        board = machine(replace(spec, seed=number), f"board{number}")
        board.join()
        board.rest(60)
        found.append(board.power.idle_w - 2.0)
    assert np.std(found) == pytest.approx(0.02, rel=0.2)


def test_the_pmic_prints_what_a_pi_prints(machine: Any, board: Any) -> None:
    spec = replace(IDEAL, sensor=PowerSensor("command", "vcgencmd", "pmic_read_adc", refresh_s=0.1, lsb_w=0.0))
    here = machine(spec)
    here.rest(1)
    said = board.files.Files(here).run(["vcgencmd", "pmic_read_adc"])
    lines = said.splitlines()
    assert len(lines) == 26
    assert lines[0].strip().startswith("3V7_WL_SW_A current(0)=")
    assert lines[0].endswith("A")
    amperes = {line.split("_A ")[0].strip(): float(line.split("=")[1][:-1]) for line in lines if "_A " in line}
    volts = {line.split("_V ")[0].strip(): float(line.split("=")[1][:-1]) for line in lines if "_V " in line}
    assert sum(amperes[rail] * volts[rail] for rail in amperes) == pytest.approx(2.0, abs=1e-5)
