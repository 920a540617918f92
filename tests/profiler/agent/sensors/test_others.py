from __future__ import annotations

from typing import Any

import pytest

from profiler.agent.sensors import available, open_sensor, rapl

# -------------------------------------------------------------------- iio

JETSON = {
    "name": "ina3221x", "rail_name_0": "VDD_IN", "rail_name_1": "VDD_CPU_GPU_CV",
    "in_power0_input": 4321, "in_voltage0_input": 5000, "in_current0_input": 864,
    "in_power1_input": 900, "in_voltage1_input": 5000, "in_current1_input": 180,
}  # fmt: skip


@pytest.mark.parametrize(("channels", "microwatts"), [((), 4_321_000), (("VDD_CPU_GPU_CV",), 900_000)])
def test_the_rails_of_an_older_jetson(tree: Any, entry: Any, channels: tuple[str, ...], microwatts: int) -> None:
    tree.put("/sys/bus/iio/devices/iio:device0", {"name": "xilinx-ams"})
    tree.put("/sys/bus/iio/devices/iio:device1", JETSON)
    sensor, _ = open_sensor([entry("iio", "ina3221x", *channels)], tree)
    assert sensor is not None
    assert sensor.read() == microwatts


def test_raw_figures_of_iio_are_scaled(tree: Any, entry: Any) -> None:
    files = {"name": "ina226", "in_power2_raw": 160, "in_power2_scale": "6.25", "in_current3_raw": 1}
    tree.put("/sys/bus/iio/devices/iio:device0", files)
    sensor, _ = open_sensor([entry("iio", "ina226")], tree)
    assert sensor is not None
    assert sensor.read() == 1_000_000


def test_volts_and_amperes_where_iio_tells_no_power(tree: Any, entry: Any) -> None:
    kept = {name: value for name, value in JETSON.items() if "power" not in name}
    tree.put("/sys/bus/iio/devices/iio:device1", kept)
    sensor, _ = open_sensor([entry("iio", "ina3221x", "VDD_IN")], tree)
    assert sensor is not None
    assert sensor.read() == 5000 * 864


# -------------------------------------------------------------------- rapl


def package(tree: Any, folder: str, energy_uj: int, name: str = "package-0", span: int = 1_000_000_000) -> None:
    files = {"name": name, "energy_uj": energy_uj, "max_energy_range_uj": span}
    tree.put(f"/sys/class/powercap/{folder}", files)


def test_counters_of_all_packages_are_found_though_none_is_declared(tree: Any) -> None:
    package(tree, "intel-rapl:0", 990_000_000)
    package(tree, "intel-rapl:1", 7, "package-1")
    package(tree, "intel-rapl:0:0", 1, "core")
    package(tree, "intel-rapl:2", 1, "psys")
    package(tree, "intel-rapl-mmio:0", 5)
    assert available(tree) == "rapl"
    sensor, _ = open_sensor([], tree)
    assert sensor is not None
    assert (sensor.name, sensor.form, sensor.scope) == ("rapl package-0+package-1", "energy", "SoC-rails")
    assert sensor.read() == 0
    package(tree, "intel-rapl:0", 30_000_000)  # it started again from zero
    package(tree, "intel-rapl:1", 10, "package-1")
    assert sensor.read() == 40_000_003


def test_a_zone_by_its_name(tree: Any, entry: Any) -> None:
    package(tree, "intel-rapl:0", 1)
    package(tree, "intel-rapl:0:0", 5, "core")
    sensor, _ = open_sensor([entry("rapl", "core", scope="core-rail")], tree)
    assert sensor is not None
    package(tree, "intel-rapl:0:0", 8, "core")
    assert (sensor.read(), sensor.scope) == (3, "core-rail")


def test_packages_that_only_mmio_shows_are_read_there(tree: Any) -> None:
    package(tree, "intel-rapl-mmio:0", 5)
    assert [zone.name for zone in rapl.zones(tree)] == ["package-0"]


def test_counters_that_only_root_may_read_are_none(tree: Any) -> None:
    package(tree, "intel-rapl:0", 1)
    file = tree.root / "sys/class/powercap/intel-rapl:0/energy_uj"
    file.unlink()
    file.mkdir()  # unreadable for root too
    assert available(tree) is None
    assert open_sensor([], tree) == (None, "there is no rapl that can be read")


# -------------------------------------------------------------------- programs

LISTING = """\
   3V7_WL_SW_A current(0)=0.10000000A
     3V3_SYS_A current(1)=0.20000000A
    VDD_CORE_A current(7)=1.00000000A
        HDMI_A current(22)=0.01000000A
   3V7_WL_SW_V volt(8)=3.70000000V
     3V3_SYS_V volt(9)=3.30000000V
    VDD_CORE_V volt(15)=0.72000000V
        HDMI_V volt(23)=5.00000000V
       EXT5V_V volt(24)=5.15000000V
        BATT_V volt(25)=0.00000000V"""


def test_the_rails_of_the_power_chip_that_have_both(tree: Any, entry: Any) -> None:
    tree.says["vcgencmd", "pmic_read_adc"] = LISTING
    sensor, _ = open_sensor([entry("command", "vcgencmd", "pmic_read_adc", scope="SoC-rails", update_hz=10)], tree)
    assert sensor is not None
    assert sensor.read() == round((0.37 + 0.66 + 0.72 + 0.05) * 1e6)
    assert sensor.period_s == 0.1  # it starts a process
    tree.says.clear()
    assert sensor.read() is None


@pytest.mark.parametrize("said", ['error=1 error_msg="Command not registered"', "", "EXT5V_V volt(24)=5.15V"])
def test_a_board_without_a_power_chip_has_no_sensor(tree: Any, entry: Any, said: str) -> None:
    tree.says["vcgencmd", "pmic_read_adc"] = said
    assert open_sensor([entry("command", "vcgencmd", "pmic_read_adc")], tree)[0] is None


@pytest.mark.parametrize(
    ("said", "form", "figure"),
    [
        ("2.5 W", "power", 2_500_000),
        ("now:\n-12.5mW", "power", -12_500),
        ("1e3 uJ", "energy", 1000),
        ("7 µW", "power", 7),
    ],
)
def test_any_program_that_prints_a_figure_with_its_unit(
    tree: Any, entry: Any, said: str, form: str, figure: int
) -> None:
    tree.says["meter", "--once"] = said
    sensor, _ = open_sensor([entry("command", "meter", "--once")], tree)
    assert sensor is not None
    assert (sensor.form, sensor.read()) == (form, figure)


def test_a_figure_without_a_unit_is_none(tree: Any, entry: Any) -> None:
    tree.says["meter",] = "2.5"
    assert open_sensor([entry("command", "meter")], tree) == (None, "there is no command meter that can be read")


# -------------------------------------------------------------------- battery

GAUGE = {"type": "Battery", "status": "Discharging", "voltage_now": 3_800_000, "current_now": -500_000}


def test_a_battery_while_the_board_runs_from_it(tree: Any, entry: Any) -> None:
    tree.put("/sys/class/power_supply/AC", {"type": "Mains", "online": 0})
    tree.put("/sys/class/power_supply/BAT0", GAUGE)
    sensor, _ = open_sensor([entry("battery", scope="battery")], tree)
    assert sensor is not None
    assert (sensor.read(), sensor.scope, sensor.name) == (1_900_000, "battery", "battery BAT0")
    tree.put("/sys/class/power_supply/BAT0", {"power_now": 2_000_000})
    assert sensor.read() == 2_000_000
    tree.put("/sys/class/power_supply/BAT0", {"status": "Charging"})
    assert sensor.read() is None


def test_a_battery_that_is_charged_shows_not_what_the_board_draws(tree: Any, entry: Any) -> None:
    tree.put("/sys/class/power_supply/BAT0", GAUGE | {"status": "Full"})
    assert open_sensor([entry("battery", "BAT0")], tree)[1].startswith("battery BAT0 is not discharging")
    assert open_sensor([entry("battery", "BAT1")], tree)[1] == "there is no battery BAT1 that can be read"


# -------------------------------------------------------------------- choosing, and correcting


def test_the_first_sensor_that_is_there_counts(tree: Any, entry: Any) -> None:
    tree.put("/sys/bus/iio/devices/iio:device1", JETSON)
    entries = [entry("external", "usb-meter"), entry("hwmon", "ina3221", "VDD_IN"), entry("iio", "ina3221x")]
    sensor, _ = open_sensor(entries, tree)
    assert sensor is not None
    assert sensor.name == "iio ina3221x"
    nothing, why = open_sensor(entries[:2], tree)
    assert nothing is None
    assert why == "external is read by the host; there is no hwmon ina3221 that can be read"


def test_counters_are_not_put_in_place_of_what_is_declared(tree: Any, entry: Any) -> None:
    package(tree, "intel-rapl:0", 1)
    assert open_sensor([entry("hwmon", "ina226")], tree)[0] is None


def test_a_calibration_corrects_what_is_read(tree: Any, entry: Any) -> None:
    tree.put("/sys/bus/iio/devices/iio:device1", JETSON)
    known = {"gain": 1.02, "offset_uw": -21_000.0, "gain_u": 0.004, "offset_u_uw": 9000.0}
    sensor, _ = open_sensor([entry("iio", "ina3221x", **known)], tree)
    assert sensor is not None
    assert sensor.read() == round(4_321_000 * 1.02 - 21_000)
    assert (sensor.gain_u, sensor.offset_uw) == (0.004, 9000.0)
    assert sensor.name.endswith(", corrected")


def test_the_offset_of_a_corrected_counter_grows_with_time(tree: Any, entry: Any) -> None:
    package(tree, "intel-rapl:0", 0)
    sensor, _ = open_sensor([entry("rapl", gain=1.1, offset_uw=500_000.0)], tree)
    assert sensor is not None
    tree.sleep(2.0)
    package(tree, "intel-rapl:0", 10_000_000)
    assert sensor.read() == 11_000_000 + 1_000_000


def test_an_uncertainty_alone_changes_no_reading(tree: Any, entry: Any) -> None:
    tree.put("/sys/bus/iio/devices/iio:device1", JETSON)
    sensor, _ = open_sensor([entry("iio", "ina3221x", gain_u=0.01)], tree)
    assert sensor is not None
    assert (sensor.read(), sensor.gain_u, sensor.name) == (4_321_000, 0.01, "iio ina3221x")
