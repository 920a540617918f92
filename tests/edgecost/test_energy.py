from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from power_traces import Truth, record, shown

from edgecost.stages.energy import calibrate, write
from edgecost.stages.energy_loads import LEVELS, loads
from edgecost.stages.energy_shown import sampler_sentence
from edgecost.stages.metering import metering, open_meter
from edgecost.stages.sensing import sensors_of
from profiler.errors import ConfigError, MeasurementError
from profiler.fleet.targets import Device, Sensor, Target
from profiler.measure.config import MeasureConfig
from profiler.measure.energy_rounds import ObserverEffect
from profiler.measure.jobs import Job
from profiler.measure.journal import Journal
from profiler.measure.meters.base import Accuracy, Meter, Trace
from profiler.measure.meters.metered import Metered
from profiler.measure.record import Measurement

GAIN, OFFSET_MW = 1.06, -120.0
STEPS = (4000.0, 600.0, 2000.0, 1200.0)
TARGET = Target("bench", "onnxruntime", "fp32")
BENCH = Device("bench", "192.0.2.1", "ada", (TARGET,), sensors=(Sensor("hwmon", "module-in", "ina226", gain=3.0),))


class World:
    """A board whose sensor is off by a known line, a meter beside it, and the time of both."""

    def __init__(self, steps: Sequence[float] = STEPS) -> None:
        self.steps = steps
        self.issues: tuple[str, ...] = ()
        self.devices: list[Device] = []
        self.lead_s = 7.0  # of loading and warming up, about which the host knows nothing

    def truth(self, place: int) -> Truth:
        step = self.steps[place % len(self.steps)]
        return Truth(step_mw=step, gain=1 / GAIN, offset_mw=-OFFSET_MW / GAIN, idle_s=8.0, load_s=15.0, runs=300)

    def campaign(self, *arguments: Any) -> Any:
        results = arguments[2]

        def run(device: Device, target: Target, jobs: Sequence[Job], run_id: str) -> Any:
            self.devices.append(device)
            folder = results / device.id / run_id
            folder.mkdir(parents=True)
            with Journal(folder / "journal.jsonl") as journal:
                for place, job in enumerate(jobs):
                    began = self.began_s + place * 60.0
                    power = record(self.truth(place), np.random.default_rng(place))
                    journal.append(
                        Measurement(
                            f"key{place}", job.workload.key, "0" * 64, device.id, target.id, job.role, 0, "ok",
                            self.issues, (1, 2, 3), 1, power=power,
                            started_at=datetime.fromtimestamp(began, UTC).isoformat(timespec="milliseconds"),
                        )
                    )  # fmt: skip
            return SimpleNamespace(run_dir=folder)

        return SimpleNamespace(run=run)

    def trace(self, levels: int, scope: str, host: Any) -> Trace:
        self.began_s = host.time() - 1000.0
        times, values = [np.empty(0)], [np.empty(0)]
        for place in range(levels):
            good = replace(self.truth(place), gain=1.0, offset_mw=0.0, noise_mw=2.0, lsb_mw=0.0, poll_s=0.05)
            t, v = shown(good, np.random.default_rng(50 + place))
            rest = np.arange(0, 60, 0.05)
            filled = np.full(rest.size, good.idle_mw)
            at = np.searchsorted(rest, t + self.lead_s)
            filled[at[at < rest.size]] = v[at < rest.size]
            times.append(rest + self.began_s + place * 60.0 - (host.time() - host.monotonic()))
            values.append(filled * 1000)
        accuracy = Accuracy(gain_u=0.002, offset_u_uw=2000.0)
        return Trace(
            "bench meter", scope, "power", tuple(np.concatenate(times)), tuple(np.concatenate(values)), 0.0, accuracy
        )


class FakeMeter(Meter):
    def __init__(self, world: World, scope: str, levels: int) -> None:
        super().__init__(scope)
        self.world, self.levels = world, levels

    def start(self) -> None:
        import time

        self.made = self.world.trace(self.levels, self.scope, time)

    def so_far(self) -> Trace:
        return self.made

    def forget(self, before_s: float) -> None:
        raise AssertionError("a calibration needs all of it")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    found = World()
    monkeypatch.setattr("profiler.measure.campaign.Campaign", found.campaign)
    monkeypatch.setattr("edgecost.stages.energy.artefact_cache", lambda: tmp_path / "artefacts")
    return found


def test_a_sensors_line_is_found_without_being_told_when_its_records_began(world: World, tmp_path: Path) -> None:
    run = calibrate([BENCH], "bench", FakeMeter(world, "module-in", 4), 4, tmp_path)
    line = run.found
    assert run.left_out == ()
    assert len(line.points) == 8
    assert line.gain == pytest.approx(GAIN, abs=GAIN * line.gain_u)
    assert line.offset_uw == pytest.approx(OFFSET_MW * 1e3, abs=line.offset_u_uw)
    assert 0.002 <= line.gain_u < 0.02
    assert world.devices[0].sensors[0].gain is None  # the earlier calibration is not calibrated
    file = tmp_path / "deep" / "calibration.json"
    write(file, run)
    data = json.loads(file.read_text())
    assert data["entry"] == run.entry()
    assert set(run.entry()) == {"gain", "offset_uw", "gain_u", "offset_u_uw"}
    Sensor("hwmon", "module-in", **run.entry())


def test_scopes_never_mix_unless_the_relation_has_a_name(world: World, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scopes do not mix"):
        calibrate([BENCH], "bench", FakeMeter(world, "wall", 4), 4, tmp_path)
    assert world.devices == []  # it is said before anything is measured
    run = calibrate([BENCH], "bench", FakeMeter(world, "wall", 4), 4, tmp_path, across="wall-fit")
    assert (run.name, run.scope, run.meter_scope) == ("wall-fit", "module-in", "wall")
    assert run.entry()["scope"] == "wall"  # what it shows from now on


def test_the_scope_of_a_sensor_that_nobody_declared_is_held_against_the_meters(world: World, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scopes do not mix"):
        calibrate([replace(BENCH, sensors=())], "bench", FakeMeter(world, "wall", 4), 4, tmp_path)


def test_too_little_spread_is_told_in_one_sentence(world: World, tmp_path: Path) -> None:
    world.steps = (120.0,)
    with pytest.raises(MeasurementError, match=r"cannot be calibrated: .* levels of load that differ by more"):
        calibrate([BENCH], "bench", FakeMeter(world, "module-in", 4), 4, tmp_path)


def test_too_few_windows_are_told_with_the_reasons(world: World, tmp_path: Path) -> None:
    world.issues = ("sensor_stuck",)
    with pytest.raises(MeasurementError, match=r"at least 4 windows.*dense convolution: sensor_stuck"):
        calibrate([BENCH], "bench", FakeMeter(world, "module-in", 3), 3, tmp_path)


@pytest.mark.parametrize(
    ("device", "levels", "words"),
    [
        (BENCH, 1, "--levels"),
        (BENCH, LEVELS + 1, "--levels"),
        (replace(BENCH, emulation="simulated"), 4, "is simulated"),
        (replace(BENCH, sensors=(Sensor("external", "wall", "meter"),)), 4, "external meters only"),
    ],
)
def test_what_cannot_be_calibrated_is_told_before(
    world: World, tmp_path: Path, device: Device, levels: int, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        calibrate([device], "bench", FakeMeter(world, "module-in", 4), levels, tmp_path)


def test_the_loads_are_different_workloads() -> None:
    found = loads(LEVELS)
    assert len({load.key for load in found}) == LEVELS == len({load.name for load in found})
    assert [load.name for load in loads(2)] == ["dense convolution", "short run"]


def test_a_meter_as_a_user_types_it() -> None:
    assert open_meter("tcp:127.0.0.1:9", "wall", 0.01).accuracy == Accuracy(0.01)
    with pytest.raises(ConfigError, match="is no meter"):
        open_meter("volts", "wall")
    with pytest.raises(ConfigError, match="no scope"):
        open_meter("tcp:127.0.0.1:9", "mains")


def test_which_sensors_a_board_has() -> None:
    chips = {
        ("hwmon", "cpu_thermal"): {"temp1_input"},
        ("hwmon", "ina3221"): {"VDD_IN", "curr1_input", "in1_input"},
        ("hwmon", "tcpm_source_psy_4_0022"): {"curr1_input"},
        ("rapl", "package-0"): {"energy_uj"},
    }
    found = {s["name"]: s for s in sensors_of(chips, has_vcgencmd=True)}
    assert set(found) == {"ina3221", "tcpm_source_psy_4_0022", "package-0", "vcgencmd"}
    assert "USB-PD" in found["tcpm_source_psy_4_0022"]["note"]
    assert found["vcgencmd"]["channels"] == ["pmic_read_adc"]


def test_meters_beside_boards_are_read_as_devices_yaml_names_them() -> None:
    energy = MeasureConfig(energy=True)
    beside = replace(BENCH, sensors=(Sensor("external", "wall", "tcp:127.0.0.1:9"),))
    for device, config in ((BENCH, energy), (beside, MeasureConfig())):
        with metering([(device, TARGET)], config) as connect:
            assert connect is None
    with metering([(beside, TARGET)], energy) as connect:
        assert isinstance(connect, Metered)


@pytest.mark.parametrize(
    ("sensor", "emulation", "words"),
    [
        (Sensor("external", "wall", "usb-meter"), "", "first sensor of bench is external, and 'usb-meter' is no meter"),
        (Sensor("external", "wall", "tcp:h:9", gain=1.1), "", "set those in the meter itself"),
        (Sensor("external", "wall", "tcp:h:9"), "simulated", "its time is not the meter's"),
    ],
)
def test_a_meter_that_cannot_be_read_is_told_before(sensor: Sensor, emulation: str, words: str) -> None:
    device = replace(BENCH, sensors=(sensor,), emulation=emulation)
    with (
        pytest.raises(ConfigError, match=words),
        metering([(device, TARGET)], MeasureConfig(energy=True)),
    ):
        pass


def test_what_the_sampler_costs_in_one_sentence() -> None:
    assert "was not measured" in sampler_sentence(None)
    quiet = ObserverEffect(0.002, 0.001, 0.001, 0.002, None, None, 3)
    assert sampler_sentence(quiet) == (
        "reading the sensor changes a run's time +0.20 ± 0.10 %, power under load +0.10 ± 0.20 % (k = 2, 3 rounds)"
    )
    assert "runs of their own" in sampler_sentence(replace(quiet, idle=0.04, idle_u=0.01))
