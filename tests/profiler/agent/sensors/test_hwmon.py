from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from power_traces import Truth, record, shown

from profiler.agent.sensors import Refused, hwmon, open_sensor
from profiler.measure.energy import energy_of


def ina3221(number: int, *labels: str) -> dict[str, object]:
    """As drivers/hwmon/ina3221.c shows it; the sum of the shunts has a label and is no rail."""
    files: dict[str, object] = {
        "name": "ina3221",
        "update_interval": 4,
        "samples": 1,
        "in7_label": "sum of shunt voltages",
    }
    for n, label in enumerate(labels, start=1):
        files |= {
            f"in{n}_label": label, f"in{n}_input": 5000 + n, f"in{n}_enable": 1, f"curr{n}_input": 100 * n * number,
            f"in{n + 3}_input": 2, f"shunt{n}_resistor": 5000,
        }  # fmt: skip
    return files


def test_a_rail_by_its_label_is_volts_times_amperes(tree: Any, entry: Any) -> None:
    tree.put("/sys/class/hwmon/hwmon4", ina3221(1, "VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"))
    sensor = hwmon.find(entry("hwmon", "ina3221", "VDD_CPU_GPU_CV", "VDD_IN"), tree)
    assert sensor is not None
    assert sensor.read() == 5002 * 200  # mV x mA = µW
    assert (sensor.name, sensor.scope, sensor.form) == ("hwmon ina3221 VDD_CPU_GPU_CV", "module-in", "power")


def test_the_step_and_the_offset_follow_from_the_shunt(tree: Any, entry: Any) -> None:
    tree.put("/sys/class/hwmon/hwmon0", ina3221(1, "VDD_IN"))
    sensor = hwmon.find(entry("hwmon", "ina3221", "VDD_IN"), tree)
    assert sensor is not None
    assert sensor.lsb == pytest.approx(40e-6 / 5e-3 * 5.001 * 1e6)  # 8 mA at 5 V
    assert sensor.offset_uw == pytest.approx(80e-6 / 5e-3 * 5.001 * 1e6)
    assert 0.01 < sensor.gain_u < 0.012  # the shunt's tolerance outweighs the chip's


def test_two_chips_of_one_name_are_told_apart_by_their_labels(tree: Any, entry: Any) -> None:
    tree.put("/sys/class/hwmon/hwmon0", ina3221(1, "VDD_IN"))
    tree.put("/sys/class/hwmon/hwmon1", ina3221(7, "CPU", "GPU"))
    sensor = hwmon.find(entry("hwmon", "ina3221", "GPU"), tree)
    assert sensor is not None
    assert sensor.read() == 5002 * 1400


def test_rails_can_be_added_up_and_a_sum_needs_all_of_them(tree: Any, entry: Any) -> None:
    tree.put("/sys/class/hwmon/hwmon0", ina3221(1, "CPU", "GPU"))
    both = hwmon.find(entry("hwmon", "ina3221", "CPU+GPU"), tree)
    assert both is not None
    assert both.read() == 5001 * 100 + 5002 * 200
    assert hwmon.find(entry("hwmon", "ina3221", "CPU+NPU"), tree) is None


INA226 = {"name": "ina226", "in0_input": 12, "in1_input": 5100, "curr1_input": 800, "power1_input": 4_075_000}


@pytest.mark.parametrize(
    ("chip", "shunt_uohm", "step_uw"),
    [("ina219", 100_000, 20 * 100), ("ina226", 2000, 25 * 1250), ("ina260_u14", None, 10_000)],
)
def test_a_chip_that_tells_its_power_is_read_as_that(
    tree: Any, entry: Any, chip: str, shunt_uohm: int | None, step_uw: float
) -> None:
    shunt = {} if shunt_uohm is None else {"shunt_resistor": shunt_uohm}
    tree.put("/sys/class/hwmon/hwmon3", INA226 | {"name": chip} | shunt)
    for channels in ((), ("power1_input",)):
        sensor = hwmon.find(entry("hwmon", chip, *channels), tree)
        assert sensor is not None
        assert sensor.read() == 4_075_000
        assert sensor.lsb == pytest.approx(step_uw)
        assert sensor.offset_uw > 0


@pytest.mark.parametrize(
    ("shunt_uohm", "step_ma", "slow"),
    [(5000, 8.0, False), (40_000, 1.0, False), (80_000, 1.0, False), (50_000, 1.0, True)],
)
def test_currents_in_whole_ma_are_a_second_rounding(
    tree: Any, entry: Any, shunt_uohm: int, step_ma: float, slow: bool
) -> None:
    files = ina3221(1, "VDD_IN") | {"shunt1_resistor": shunt_uohm}
    tree.put("/sys/class/hwmon/hwmon0", files)
    sensor = hwmon.find(entry("hwmon", "ina3221", "VDD_IN"), tree)
    assert sensor is not None
    assert sensor.lsb == pytest.approx(step_ma * 5.001 * 1000)
    assert (sensor.periodic_uw > 0) is slow


def test_what_whole_ma_leave_open_is_as_much_as_the_shown_lattice_is_off() -> None:
    step_ma = 1.25  # an INA260's: the error repeats every 5 mA
    codes = np.arange(2000)
    errors = np.floor(step_ma * codes + 0.5) - step_ma * codes
    assert hwmon.periodic_u_ua(1250.0) == pytest.approx(2000 * np.std(errors), rel=0.05)
    for whole_ma in (1.0, 2.0, 4.0, 8.0, 40.0):
        assert hwmon.periodic_u_ua(1000 * whole_ma) == 0.0
    assert hwmon.periodic_u_ua(25.0) == 0.0, "a fine lattice is rounded once, to whole mA"


@pytest.mark.parametrize(("step_ma", "noise_ma"), [(1.25, 0.6), (1.25, 0.3), (0.8, 0.4), (0.4, 0.2), (4.0, 2.0)])
def test_energies_of_volts_times_whole_ma_are_within_their_uncertainty(step_ma: float, noise_ma: float) -> None:
    volts, within, figures = 12, 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth = Truth(
            idle_mw=rng.uniform(3000, 3200),
            step_mw=rng.uniform(100, 600),
            lsb_mw=0,
            noise_mw=volts * noise_ma,
            gain_u=0,
        )
        polls, milliwatts = shown(truth, rng)
        milliamperes = np.floor(np.round(milliwatts / volts / step_ma) * step_ma + 0.5)
        changed = np.concatenate([[True], np.diff(milliamperes) != 0])
        seen = record(
            truth, rng, times_us=tuple(int(t) for t in polls[changed] * 1e6), lsb=max(step_ma, 1.0) * volts * 1000,
            values=tuple(int(v) for v in milliamperes[changed] * volts * 1000), polls=polls.size,
            periodic_uw=hwmon.periodic_u_ua(step_ma * 1000) * volts,
        )  # fmt: skip
        energy = energy_of(seen)
        if energy.net_mj is not None and energy.u_net_mj is not None:
            figures += 1
            within += abs(energy.net_mj - truth.net_mj) <= energy.u_net_mj
    assert figures > 30
    assert within >= 0.93 * figures


def test_nothing_is_made_up_of_a_chip_that_is_not_known(tree: Any, entry: Any) -> None:
    tree.put("/sys/class/hwmon/hwmon3", INA226 | {"name": "tps25990"})
    sensor = hwmon.find(entry("hwmon", "tps25990"), tree)
    assert sensor is not None
    assert (sensor.lsb, sensor.gain_u, sensor.offset_uw) == (0.0, 0.0, 0.0)


def test_a_counter_of_energy_is_one(tree: Any, entry: Any) -> None:
    tree.put("/sys/class/hwmon/hwmon3", INA226 | {"name": "ina228", "energy1_input": 123_456})
    sensor = hwmon.find(entry("hwmon", "ina228", "energy1_input"), tree)
    assert sensor is not None
    assert (sensor.form, sensor.read()) == ("energy", 123_456)


def test_a_channel_that_is_not_there_is_no_sensor_and_the_reason_is_told(tree: Any, entry: Any) -> None:
    tree.put("/sys/class/hwmon/hwmon0", ina3221(1, "VDD_IN"))
    assert open_sensor([entry("hwmon", "ina3221", "VDD_XYZ")], tree) == (
        None, "there is no hwmon ina3221 that can be read",
    )  # fmt: skip
    assert hwmon.find(entry("hwmon", "ina3221", "sum of shunt voltages"), tree) is None


def test_a_file_that_goes_away_gives_none_and_no_zero(tree: Any, entry: Any) -> None:
    tree.put("/sys/class/hwmon/hwmon0", ina3221(1, "VDD_IN"))
    sensor = hwmon.find(entry("hwmon", "ina3221", "VDD_IN"), tree)
    assert sensor is not None
    (tree.root / "sys/class/hwmon/hwmon0/curr1_input").unlink()
    assert sensor.read() is None


@pytest.mark.parametrize("name", ["tcpm_source_psy_4_0022", "tcpm-source-psy-4-0022"])
@pytest.mark.parametrize("kind", ["hwmon", "iio"])
def test_a_usb_pd_contract_is_refused(tree: Any, entry: Any, name: str, kind: str) -> None:
    folder = {"hwmon": "/sys/class/hwmon/hwmon9", "iio": "/sys/bus/iio/devices/iio:device0"}[kind]
    tree.put(folder, {"name": name, "curr1_input": 3000, "in1_input": 12000})
    sensor, why = open_sensor([entry(kind, name)], tree)
    assert sensor is None
    assert "USB-PD contract" in why
    with pytest.raises(Refused):
        hwmon.refuse_contract(name)


@pytest.mark.parametrize(
    ("hz", "forks", "period_s"),
    [
        (None, False, 0.005), (6.5, False, 1 / 26), (150.0, False, 0.003), (0.1, False, 0.1), (None, True, 0.1),
        (10.0, True, 0.1), (1.0, True, 0.25),
    ],
)  # fmt: skip
def test_how_often_a_sensor_is_read(tree: Any, entry: Any, hz: float | None, forks: bool, period_s: float) -> None:
    tree.put("/sys/class/hwmon/hwmon3", INA226)
    sensor = hwmon.find(entry("hwmon", "ina226", update_hz=hz, forks=forks), tree)
    assert sensor is not None
    assert sensor.period_s == pytest.approx(period_s)
