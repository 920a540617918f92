"""Simulated boards over SSH: the same transport, agent and campaign as for a real one, and a truth to compare with."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.errors import ConfigError
from profiler.fleet.inventory.devices import load_devices
from profiler.fleet.sessions.session import connect
from profiler.fleet.transport.ssh import connect as connect_ssh
from profiler.fleet.virtual.loopback import Fleet
from profiler.fleet.virtual.simulated.boards import SIMULATED_BOARDS, SimulatedBoard, board_folder
from profiler.fleet.virtual.simulated.presets import IDEAL, PRESETS, preset
from profiler.fleet.virtual.simulated.spec import Faults
from profiler.fleet.virtual.simulated.truth import Truth, read_log
from profiler.measure.campaign import Campaign
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import model_jobs
from profiler.measure.journal import iter_journal
from profiler.measure.limits import CampaignLimits
from profiler.measure.record import Measurement
from profiler.workloads.artefacts import ArtefactCache

from .conftest import conv_chain

CONFIG = MeasureConfig(rounds=2, min_batches=12, sentinel_jobs=0, retries=0, cool_s=30.0)
FAULTY = preset("ideal", faults=Faults(crash_jobs=(1,), reboot_jobs=(3,)))
NETWORKS = [conv_chain(length) for length in (2, 4, 6)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    boards = [SimulatedBoard("ideal", IDEAL), SimulatedBoard("faulty", FAULTY), *SIMULATED_BOARDS]
    with Fleet(tmp_path_factory.mktemp("simulated"), boards=boards) as up:
        yield up


@pytest.fixture
def campaign(fleet: Fleet, tmp_path: Path) -> Callable[[str], list[Measurement]]:
    def run(device_id: str) -> list[Measurement]:
        device = next(each for each in fleet.devices() if each.id == device_id)
        limits = CampaignLimits(retry_wait_s=0.05)
        source = ArtefactCache(tmp_path / "artefacts")
        done = Campaign(connect, source, tmp_path / "results", CONFIG, limits=limits).run(
            device, device.targets[0], model_jobs(NETWORKS), "run"
        )
        return [entry for entry in iter_journal(done.run_dir / "journal.jsonl") if isinstance(entry, Measurement)]

    return run


def test_the_file_says_that_there_are_no_such_boards(fleet: Fleet) -> None:
    assert "no figure of theirs is a board's" in fleet.devices_path.read_text(encoding="utf-8")
    devices = fleet.devices()
    assert {device.emulation for device in devices} == {"simulated"}
    assert all("no board" in device.description for device in devices)
    assert {target.runtime for device in devices for target in device.targets} == {"simulated"}
    assert len({device.machine for device in devices}) == len(devices), "none waits for another"


def test_the_ideal_board_gives_the_truth_and_is_flagged(fleet: Fleet, campaign: Any) -> None:
    found = campaign("ideal")
    assert len(found) == len(NETWORKS) * CONFIG.rounds
    truth = {workload.key: Truth(IDEAL, workload, "fp32").latency_ns for workload in NETWORKS}
    for each in found:
        assert each.status == "ok", each.error
        assert "simulated" in each.issues
        median = statistics.median(each.samples_ns) / each.runs_per_batch
        assert median == pytest.approx(truth[each.workload_key], rel=1e-4)
        assert each.output_error == 0
        assert each.env["freq_mhz"] == IDEAL.clock.mhz[-1]
    log = list(read_log(board_folder(fleet.home("ideal"))))
    assert len(log) == len(found)
    assert {entry.process for entry in log} == {1, 2}, "a fresh worker a round"


def test_a_crash_costs_a_job_and_a_boot_none(fleet: Fleet, campaign: Any) -> None:
    found = campaign("faulty")
    assert sorted(each.status for each in found if each.round == 0) == ["crashed", "ok", "ok"]
    (crashed,) = [each for each in found if each.status == "crashed"]
    assert "SIGSEGV" in crashed.error
    assert all(each.status == "ok" for each in found if each.workload_key != crashed.workload_key)
    log = list(read_log(board_folder(fleet.home("faulty"))))
    assert {entry.boots for entry in log} == {0, 1}


@pytest.mark.parametrize("device_id", [board.id for board in SIMULATED_BOARDS])
def test_each_of_the_six_says_what_it_is(fleet: Fleet, device_id: str) -> None:
    device = next(each for each in fleet.devices() if each.id == device_id)
    with connect(device) as session:
        facts = session.facts()
    spec = PRESETS[device_id.removeprefix("sim-")]
    assert facts.cpu_model == spec.model
    assert facts.arch == "simulated"
    assert facts.runtimes["simulated"] == "1.0"
    assert facts.logical_cores == spec.cpus
    assert facts.memory_mb == spec.memory_mb
    assert [(c.cpus, c.max_mhz) for c in facts.clusters] == [(list(range(spec.cpus)), spec.clock.mhz[-1])]


def test_its_processes_know_what_board_they_are_of(fleet: Fleet) -> None:
    device = next(each for each in fleet.devices() if each.id == "faulty")
    link = connect_ssh(device)
    try:
        environment = link.run(["env"], timeout_s=20).stdout.decode()
    finally:
        link.close()
    assert "EDGECOST_LEAF=simulated" in environment
    assert f"EDGECOST_SIMULATED={board_folder(fleet.home('faulty'))}/board.json" in environment


def test_the_same_board_goes_on_and_another_begins_anew(tmp_path: Path) -> None:
    board = SimulatedBoard("x", IDEAL)
    board.furnish(tmp_path)
    state = board_folder(tmp_path) / "state.json"
    state.write_text("{}", encoding="utf-8")
    board.furnish(tmp_path)
    assert state.exists()
    replace(board, spec=preset("ideal", seed=2)).furnish(tmp_path)
    assert not state.exists()


@pytest.mark.parametrize(("runtime", "emulation"), [("simulated", "loopback"), ("onnxruntime", "simulated")])
def test_simulated_runtimes_and_boards_belong_together(tmp_path: Path, runtime: str, emulation: str) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(
        "version: 1\ndevices:\n"
        f"  - {{id: a, host: h, user: u, emulation: {emulation},\n"
        f"     targets: [{{runtime: {runtime}, precision: fp32}}]}}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match="run nothing else"):
        load_devices(path)
