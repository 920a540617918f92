from __future__ import annotations

import time
from pathlib import Path

import pytest
from board_trees import TREES, grow

from profiler.fleet.checks.cores import find_clusters
from profiler.fleet.checks.probe import Probe, _parse, ask, find_pythons
from profiler.fleet.targets import Cluster
from profiler.fleet.transport.local import LocalTransport


@pytest.fixture
def probes(tmp_path: Path) -> dict[str, Probe]:
    """Every tree, asked by the real script."""
    home = LocalTransport(tmp_path)
    return {name: ask(home, **grow(tmp_path / name, name)) for name in TREES}


def test_boards_are_described_by_their_kernels_files(probes: dict[str, Probe]) -> None:
    rpi5, rock5b = probes["rpi5"], probes["rock5b"]
    assert (rpi5.model, rpi5.memory_mb) == ("Raspberry Pi 5 Model B Rev 1.0", 8059)
    (policy,) = rpi5.policies
    assert (policy.cpus, policy.governor, policy.max_mhz) == ((0, 1, 2, 3), "ondemand", 2400)
    assert (policy.floor_mhz, policy.ceiling_mhz) == (800, 2400)
    assert policy.governors == ("ondemand", "performance", "schedutil")
    (zone,) = rpi5.zones
    assert (zone.type, zone.celsius, zone.trips) == ("cpu-thermal", 51.5, (50, 60, 67.5, 75, 110))
    assert rock5b.cpus == {0: 530, 1: 530, 2: 530, 3: 530, 4: 1024, 5: 1024, 6: 1001, 7: 1001}
    assert probes["jetson"].zones[1].celsius is None, "-256 °C is a driver's way of saying none"


def test_chips_are_found_by_name_with_what_can_be_read(probes: dict[str, Probe]) -> None:
    assert {"VDD_IN", "VDD_SOC", "in1_input", "curr3_input"} < probes["jetson"].chips["hwmon", "ina3221"]
    assert probes["kv260"].chips == {
        ("hwmon", "ina260_u14"): {"power1_input"},
        ("iio", "xilinx-ams"): {"in_temp0_raw"},
    }
    assert probes["laptop"].chips["rapl", "package-0"] == {"energy_uj"}


def test_cores_are_grouped_by_what_they_can_do(probes: dict[str, Probe]) -> None:
    assert find_clusters(probes["rock5b"]) == (
        Cluster("big", (4, 5, 6, 7), 1024, 2400),  # two policies, binned a little apart
        Cluster("little", (0, 1, 2, 3), 530, 1800),
    )
    assert find_clusters(probes["rpi5"]) == (Cluster("all", (0, 1, 2, 3), None, 2400),)
    assert find_clusters(probes["kv260"]) == (Cluster("all", (0, 1, 2, 3)),)
    assert find_clusters(Probe()) == ()
    three = Probe(cpus={0: 250, 1: 250, 2: 768, 3: 1024})
    assert [(c.name, c.cpus) for c in find_clusters(three)] == [("big", (3,)), ("middle", (2,)), ("little", (0, 1))]
    four = Probe(cpus={0: 200, 1: 400, 2: 768, 3: 1024})
    assert len({c.name for c in find_clusters(four)}) == 4


def test_this_machine_answers_too(tmp_path: Path) -> None:
    (tmp_path / "one file").write_text("")
    probe = ask(LocalTransport(tmp_path), ["sh", "no-such; touch x"], [f"{tmp_path}/one f*", "/no/such"])
    assert probe.clock_s is not None
    assert abs(probe.clock_s - time.time()) < 300
    assert (probe.home, probe.folder, probe.banner) == (str(tmp_path), str(tmp_path), ())
    assert probe.arch
    assert probe.cpus
    assert list(probe.commands) == ["sh"]
    assert probe.files == {f"{tmp_path}/one f*": [f"{tmp_path}/one file"]}
    assert [p.name for p in tmp_path.iterdir()] == ["one file"], "nothing that is asked for is a command"


def test_a_board_without_anything_is_no_error(tmp_path: Path) -> None:
    probe = ask(LocalTransport(tmp_path), sys_root=f"{tmp_path}/none", proc_root=f"{tmp_path}/none")
    assert (probe.cpus, probe.policies, probe.zones, probe.chips, probe.memory_mb) == ({}, [], [], {}, None)


@pytest.mark.parametrize(
    "text",
    [
        "edgecost:",
        "edgecost:cpu\tx\ty",
        "edgecost:cpu\t0-99999999999\t1024",
        "edgecost:policy\t9-1\t\x1b[31m\t-5\t1e9\tnan",
        "edgecost:zone\t\t99999999999999999999\t-1 x",
        "edgecost:channel",
        "edgecost:memory\t" + "9" * 400,
        "edgecost:clock\t١٢٣",
    ],
)
def test_what_no_kernel_says_is_passed_over(text: str) -> None:
    probe = _parse(f"\n{text}\nedgecost:machine\taarch64\t6.1\t64\n")
    assert probe.arch == "aarch64"
    assert (probe.cpus, probe.memory_mb, probe.clock_s, probe.chips) == ({}, None, None, {})
    assert "\x1b" not in repr(probe)


def test_what_is_printed_before_the_answer_is_the_shells(tmp_path: Path) -> None:
    probe = _parse("Welcome to \x1b[31mred\n\n  last login\nedgecost:clock\t5\nlater\nedgecost:machine\ta\tb\t64")
    assert probe.banner == ("Welcome to \\x1b[31mred", "last login")
    assert probe.clock_s == 5


def test_pythons_are_found_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, said in (("python3", "3.6.9"), ("python3.11", "3.11.2"), ("python3.9", "broken"), ("python3.8", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{f'echo {said}' if said else 'exit 1'}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    found = [p for p in find_pythons(LocalTransport(tmp_path)) if p.path.startswith(str(tmp_path))]
    assert [(p.name, p.version) for p in found] == [("python3", (3, 6, 9)), ("python3.11", (3, 11, 2))]
