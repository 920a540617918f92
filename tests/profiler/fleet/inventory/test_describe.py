from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from board_trees import grow
from ssh_servers import BentServer

from profiler.fleet.checks.cores import check_cores
from profiler.fleet.checks.probe import Python, Zone, ask
from profiler.fleet.checks.sensing import check_sensing
from profiler.fleet.inventory.describe import Survey, best_python, entry_text, survey
from profiler.fleet.inventory.entries import DeviceEntry
from profiler.fleet.targets import Device, JumpHost
from profiler.fleet.transport.local import LocalTransport
from profiler.fleet.transport.ssh import connect

KEY = "SHA256:" + "A" * 43
DEVICE = Device("new", "192.0.2.9", "me", (), 2222, host_key=KEY, jump=JumpHost("gw", "lab", host_key=KEY))
PYTHON = Python("python3", "/usr/bin/python3", (3, 11, 2))


def written(found: Survey, **how: Any) -> DeviceEntry:
    text = entry_text(DEVICE, found, identity_file=None, **{"emulation": "", **how})
    return DeviceEntry.model_validate(yaml.safe_load(text))


@pytest.fixture
def surveyed(tmp_path: Path) -> Any:
    def make(name: str, **fields: Any) -> Survey:
        probe = ask(LocalTransport(tmp_path), **grow(tmp_path / name, name))
        probe.arch, probe.bits = "aarch64", 64
        return Survey(probe, PYTHON, **fields)

    return make


def test_a_raspberry_is_written_down_whole(surveyed: Any) -> None:
    entry = written(surveyed("rpi5", has_throttle=True, has_rails=True))
    assert (entry.host, entry.port, entry.user, entry.host_key) == ("192.0.2.9", 2222, "me", KEY)
    assert entry.jump is not None
    assert (entry.jump.host, entry.jump.host_key) == ("gw", KEY)
    assert entry.description == "Raspberry Pi 5 Model B Rev 1.0, aarch64, 4 cores"
    assert (entry.python, entry.arch, entry.memory_mb, entry.governor) == ("python3", "aarch64", 8059, "ondemand")
    assert [(c.name, c.cpus, c.max_mhz) for c in entry.clusters] == [("all", (0, 1, 2, 3), 2400)]
    assert entry.thermal is not None
    assert (entry.thermal.zones, entry.thermal.trips_celsius) == (("cpu-thermal",), (50, 60, 67.5, 75, 110))
    assert entry.throttle is not None
    assert (entry.throttle.command, entry.throttle.bits[2]) == (("vcgencmd", "get_throttled"), "throttled")
    assert [(s.kind, s.name, s.scope, s.forks) for s in entry.sensors] == [("command", "vcgencmd", "SoC-rails", True)]
    wanted = [
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
        ("litert", "fp32"),
        ("litert", "int8"),
        ("torch", "fp32"),
    ]
    assert [(t.runtime, t.precision, t.threads, t.cores) for t in entry.targets] == [
        (runtime, precision, threads, "") for runtime, precision in wanted for threads in (1, 4)
    ]


def test_big_cores_are_what_targets_are_bound_to(surveyed: Any) -> None:
    entry = written(surveyed("rock5b"))
    assert [(c.name, c.cpus, c.capacity) for c in entry.clusters] == [
        ("big", (4, 5, 6, 7), 1024),
        ("little", (0, 1, 2, 3), 530),
    ]
    assert {(t.threads, t.cores) for t in entry.targets} == {(1, "big"), (4, "big")}
    assert entry.sensors == (), "the USB-PD contract is no sensor"


@pytest.mark.parametrize(
    ("board", "sensors"),
    [
        ("jetson", [("hwmon", "ina3221", ("VDD_CPU_GPU_CV", "VDD_IN", "VDD_SOC"), "module-in")]),
        ("kv260", [("hwmon", "ina260_u14", ("power1_input",), "module-in")]),
        ("laptop", [("rapl", "package-0", (), "SoC-rails")]),
    ],
)
def test_sensors_are_known_by_name(surveyed: Any, board: str, sensors: list[Any]) -> None:
    entry = written(surveyed(board))
    assert [(s.kind, s.name, s.channels, s.scope) for s in entry.sensors] == sensors


@pytest.mark.parametrize("board", ["rpi5", "rock5b", "jetson", "kv260", "laptop"])
def test_a_board_agrees_with_its_own_entry(surveyed: Any, tmp_path: Path, board: str) -> None:
    found = surveyed(board)
    entry = written(found)
    findings = [*check_cores(entry, found.probe), *check_sensing(entry, found.probe, LocalTransport(tmp_path))]
    hot = [f for f in findings if "while it does nothing" in f.what]
    assert [f for f in findings if f.level != "ok" and f not in hot] == []
    assert len(findings) > len(hot)


def test_small_and_32_bit_boards_get_what_there_are_packages_for(surveyed: Any) -> None:
    found = surveyed("kv260")
    found.probe.memory_mb = 512
    assert {t.runtime for t in written(found).targets} == {"onnxruntime", "litert"}
    found.probe.bits = 32
    assert {t.runtime for t in written(found).targets} == {"litert"}


def test_what_a_board_says_of_itself_is_text_and_nothing_else(surveyed: Any) -> None:
    found = surveyed("laptop")
    hostile = '"]}, targets: [x]} # \\u0000 {{ *a !!python/object:os.system'
    found.probe.model = hostile
    found.probe.zones = [Zone(word, 40.0, (1e9, 95.0)) for word in ("yes", "- a: b", "&x", "1e3", "null", "~", hostile)]
    found.probe.chips = {("rapl", "package-0\n" + hostile): {"energy_uj"}}
    found.probe.arch = "a b; c"
    entry = written(found)
    assert entry.description.startswith(hostile)
    assert entry.thermal is not None
    assert entry.thermal.zones == ("yes", "- a: b", "&x", "1e3", "null", "~", hostile)
    assert entry.thermal.trips_celsius == (95,)
    assert entry.sensors[0].name.endswith(hostile)
    assert entry.arch == ""


def test_the_newest_python_that_will_do_is_taken() -> None:
    def python(name: str, *version: int) -> Python:
        return Python(name, f"/usr/bin/{name}", version)

    assert best_python([python("python3", 3, 6, 9)]) is None
    assert best_python([python("python3", 3, 6, 9), python("python3.8", 3, 8, 1)]) == python("python3.8", 3, 8, 1)
    both = [python("python3.11", 3, 11, 2), python("python3", 3, 11, 2), python("python3.9", 3, 9, 2)]
    assert best_python(both) == both[1]
    assert best_python([python("python3.9", 3, 9, 2), python("python3.10", 3, 10, 1)]) == python("python3.10", 3, 10, 1)


def bring_tools(folder: Path) -> None:
    """A PATH without any Python of this machine."""
    folder.mkdir()
    for name in ("sh", "uname", "date", "id", "getconf", "mkdir", "sha256sum", "rm"):
        (folder / name).symlink_to(str(shutil.which(name)))


def test_a_real_board_is_asked_over_ssh(tmp_path: Path) -> None:
    bring_tools(tmp_path / "bin")
    for name, text in (
        ("vcgencmd", 'case $1 in get_throttled) echo throttled=0x0;; *) echo "error=1 unknown";; esac'),
        ("python3.9", "echo 3.6.1"),
        ("python3.16", f'exec {sys.executable} "$@"'),
    ):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    with BentServer(tmp_path, environment={"PATH": f"{tmp_path}/bin"}) as board:
        device = replace(board.device(), targets=())
        found = survey(device, connect(device))
    assert found.notes == ()
    assert (found.has_throttle, found.has_rails) == (True, False)
    assert found.facts is not None
    assert found.facts.python == sys.version.split()[0]
    assert found.python is not None
    assert (found.python.name, found.python.version) == ("python3.16", sys.version_info[:3])


def test_a_board_without_python_is_described_all_the_same(tmp_path: Path) -> None:
    bring_tools(tmp_path / "bin")
    with BentServer(tmp_path, environment={"PATH": f"{tmp_path}/bin"}) as board:
        device = replace(board.device(), targets=())
        found = survey(device, connect(device))
    assert (found.python, found.facts) == (None, None)
    (note,) = found.notes
    assert "of Python 3.7 or later it has none" in note
    entry = written(found)
    assert (entry.python, entry.arch) == ("python3", found.probe.arch)
    assert entry.targets
