"""Energy from a board's sensor to the table, over real SSH with the real agent; the power is made up by a process."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from power_plant import FOLDER, IDLE_MW, STEP_MW

from edgecost.stages.energy_shown import energies
from edgecost.stages.metering import metering
from profiler.fleet.plugins import using
from profiler.fleet.runtime_spec import RuntimeSpec
from profiler.fleet.sessions.session import connect
from profiler.fleet.targets import Device, Sensor
from profiler.fleet.virtual.loopback import Fleet
from profiler.measure.campaign import Campaign
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import model_jobs
from profiler.measure.journal import read_journal
from profiler.measure.record import Measurement
from profiler.tables.table import CostTable
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
SYSFS = RuntimeSpec("sysfs", ("fp32",), lambda w, p: b"", "none", agent_module=TESTS / "plugins" / "sysfs_agent.py")
INA226 = Sensor("hwmon", "board-in", "ina226", ("power1_input",), update_hz=40.0)
CONFIG = MeasureConfig(
    rounds=1, min_batch_s=0.002, warmup_s=0.02, min_batches=5, target_half_width=0.5, cap_s=0.2, cool_s=0.0,
    sentinel_jobs=0, retries=0, energy=True, energy_load_s=2.5, energy_updates=40, energy_preroll_s=0.5,
    energy_idle_s=2.0,
)  # fmt: skip


@dataclass(frozen=True)
class SensedBoard:
    """This machine, with sensors that lie in a folder."""

    id: str = "sensed"

    def entry(self) -> dict[str, Any]:
        targets = [{"runtime": name, "precision": "fp32"} for name in ("onnxruntime", "sysfs")]
        return {"description": "this machine", "machine": "this-host", "emulation": "loopback", "targets": targets}

    def furnish(self, home: Path) -> Mapping[str, str]:
        return {"EDGECOST_LEAF": "sysfs", "SYSFS_TREE": str(home / "tree")}


@dataclass
class Bench:
    device: Device
    tree: Path
    port: int
    results: Path

    def measure(self, *sensors: Sensor, run_id: str) -> Measurement:
        """One network on the board with these sensors declared."""
        device = replace(self.device, sensors=sensors)
        target = next(t for t in device.targets if t.runtime == "onnxruntime")
        source = ArtefactCache(self.results / "artefacts")
        with metering([(device, target)], CONFIG, connect) as session:
            assert session is not None
            done = Campaign(session, source, self.results, CONFIG).run(device, target, model_jobs([network()]), run_id)
        (found,) = read_journal(done.run_dir / "journal.jsonl").measurements
        assert found.status == "ok", found.error
        return found


def network() -> Workload:
    b = WorkloadBuilder("net")
    return b.build(b.conv2d(b.relu(b.conv2d(b.input((1, 16, 56, 56)), 32, 3)), 32, 3))


@contextmanager
def plant(tree: Path, home: Path) -> Iterator[int]:
    script = TESTS / "power_plant.py"
    process = subprocess.Popen(
        [sys.executable, str(script), str(tree), str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("energy")
    with using(SYSFS), Fleet(folder / "fleet", boards=[SensedBoard()]) as fleet:
        home = fleet.home("sensed")
        with plant(home / "tree", home) as port:
            yield Bench(fleet.devices()[0], home / "tree", port, folder / "results")


def energy_of_a_run(found: Measurement) -> float:
    """What a run drew above rest, in mJ, by how long it took while the sensor was watched."""
    assert found.power is not None
    begin, end = found.power.load_us
    return STEP_MW * (end - begin) / 1e6 / found.power.runs


def test_from_a_boards_own_sensor_to_a_row_of_the_table(bench: Bench) -> None:
    found = bench.measure(INA226, run_id="own")
    assert found.power is not None
    assert (found.power.scope, found.power.meter) == ("board-in", "board")
    assert found.power.sensor == "hwmon ina226 power1_input"
    assert found.energy_mj == pytest.approx(energy_of_a_run(found), rel=0.15)
    assert found.env["energy_u_mj"] > 0
    assert "sensor_missing" not in found.issues
    table = CostTable.from_runs([bench.results / "sensed" / "own"])
    (row,) = table.rows(kind="model")
    assert row.energy_mj == pytest.approx(found.energy_mj)
    assert row.energy_scope == "board-in"
    assert row.energy_u_mj is not None
    assert row.energy_gross_mj is not None
    assert row.energy_gross_mj > found.energy_mj
    answer = energies(bench.results, "sensed")
    assert [shown["energy_mj"] for shown in answer["rows"]] == [row.energy_mj]
    assert answer["sampler"]["rounds"] == 1
    assert answer["sentence"].startswith("reading the sensor changes a run's time ")


def test_a_meter_beside_the_board_is_laid_over_what_the_board_did(bench: Bench) -> None:
    external = Sensor("external", "wall", f"tcp:127.0.0.1:{bench.port}", gain_u=0.01)
    found = bench.measure(external, INA226, run_id="meter")
    assert found.power is not None, found.env
    assert (found.power.scope, found.power.meter) == ("wall", "host")
    assert found.power.sensor == external.name
    assert found.energy_mj == pytest.approx(energy_of_a_run(found), rel=0.15)
    assert "sensor_missing" not in found.issues


def test_two_scopes_of_one_network_are_never_one_figure(bench: Bench) -> None:
    runs = [bench.results / "sensed" / name for name in ("own", "meter")]
    if not all(run.exists() for run in runs):
        pytest.skip("needs the runs of the tests above")
    for scope, run in zip(("board-in", "wall"), runs, strict=True):
        (row,) = CostTable.from_runs(runs, energy_scope=scope).rows(kind="model")
        assert (row.energy_scope, row.energy_run_id) == (scope, run.name)
    (row,) = CostTable.from_runs(runs).rows(kind="model")
    assert (row.energy_scope, row.energy_run_id) == ("wall", "meter")  # the newest


def test_a_sensor_that_is_not_there_costs_no_latency(bench: Bench) -> None:
    found = bench.measure(replace(INA226, name="ina219"), run_id="missing")
    assert (found.energy_mj, found.power) == (None, None)
    assert "sensor_missing" in found.issues
    assert found.env["energy_note"] == "there is no hwmon ina219 that can be read"
    assert found.samples_ns


def test_a_sensor_that_vanishes_during_the_load_is_lost_and_nothing_is_invented(bench: Bench) -> None:
    shown = bench.tree / FOLDER / "power1_input"
    ended = threading.Event()

    def take_away() -> None:
        """Once the board has come to rest in its first idle spell and is at work again."""
        rested = busy = 0.0
        while not ended.wait(0.05):
            at_work = int(shown.read_text()) > (IDLE_MW + STEP_MW / 2) * 1000
            rested = 0.0 if at_work and rested < 1.5 else rested + 0.05
            busy = busy + 0.05 if at_work and rested >= 1.5 else 0.0
            if busy > 0.5:
                shown.unlink()
                return

    thief = threading.Thread(target=take_away)
    thief.start()
    try:
        found = bench.measure(INA226, run_id="vanishing")
    finally:
        ended.set()
        thief.join()
        shown.write_text("0\n")
    assert "sensor_lost" in found.issues
    assert (found.energy_mj, found.power) == (None, None)
    assert found.samples_ns
