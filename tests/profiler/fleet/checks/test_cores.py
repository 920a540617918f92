from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from profiler.fleet.checks.cores import check_cores, ranges
from profiler.fleet.checks.findings import Finding
from profiler.fleet.checks.probe import Probe
from profiler.fleet.inventory.entries import DeviceEntry

Look = Callable[..., Probe]
Declare = Callable[..., DeviceEntry]

BIG = {"name": "big", "cpus": "4-7", "capacity": 1024, "max_mhz": 2400}
LITTLE = {"name": "little", "cpus": "0-3", "max_mhz": 1800}


def only(findings: list[Finding], level: str) -> Finding:
    (found,) = [finding for finding in findings if finding.level != "ok"]
    assert found.level == level
    assert found.remedy
    return found


def test_what_is_declared_rightly_is_ok(look: Look, declare: Declare) -> None:
    target = {"runtime": "litert", "precision": "int8", "cores": "big", "clock": "1800"}
    declared = declare(
        memory_mb=16000, memory_limit_mb=4000, clusters=[BIG, LITTLE], governor="performance", targets=[target]
    )
    found = list(check_cores(declared, look("rock5b")))
    assert [f for f in found if f.level != "ok"] == []
    said = " | ".join(f.what for f in found)
    for words in ("15900 MB", "'big' is CPU 4-7", "'little' is CPU 0-3", "governor is performance", "held at 1800 MHz"):
        assert words in said


@pytest.mark.parametrize(
    ("clusters", "level", "words"),
    [
        ([{**BIG, "cpus": "4-9"}, LITTLE], "error", "CPU 8-9 of the cluster 'big' is not on: 8 CPUs are"),
        ([{**BIG, "cpus": "3-7"}, {**LITTLE, "cpus": "0-2"}], "warning", "holds cores of 2 kinds"),
        ([{**BIG, "capacity": 512}, LITTLE], "warning", "the capacity 1024, and 512 is declared"),
        ([BIG, {**LITTLE, "max_mhz": 1200}], "warning", "reaches 1800 MHz, and 1200 is declared"),
        ([BIG], "warning", "CPU 0-3 is in no declared cluster"),
        ([], "warning", "2 kinds and no `clusters`"),
    ],
)
def test_clusters_that_differ_are_shown_as_they_are(
    look: Look, declare: Declare, clusters: list[Any], level: str, words: str
) -> None:
    found = only(list(check_cores(declare(clusters=clusters), look("rock5b"))), level)
    assert words in found.what
    assert "big: CPU 4-7, capacity 1024, 2400 MHz; little: CPU 0-3, capacity 530, 1800 MHz" in found.remedy


def test_a_governor_that_differs_says_how_to_set_it(look: Look, declare: Declare) -> None:
    found = only(list(check_cores(declare(governor="performance"), look("rpi5"))), "warning")
    assert "is ondemand, and 'performance' is declared" in found.what
    assert "cpupower frequency-set -g performance" in found.remedy
    found = only(list(check_cores(declare(governor="userspace"), look("rpi5"))), "warning")
    assert "knows only ondemand, performance, schedutil" in found.remedy
    assert "cannot be seen" in only(list(check_cores(declare(governor="ondemand"), look("kv260"))), "warning").what


def test_a_clock_that_is_declared_and_not_held_is_an_error(look: Look, declare: Declare) -> None:
    target = {"runtime": "onnxruntime", "precision": "fp32", "clock": "1800"}
    found = only(list(check_cores(declare(targets=[target]), look("rpi5"))), "error")
    assert "800-2400 MHz" in found.what
    assert "cpupower -c 0-3 frequency-set -d 1800MHz -u 1800MHz" in found.remedy
    little = {**target, "cores": "little"}
    found = only(list(check_cores(declare(clusters=[BIG, LITTLE], targets=[little]), look("rock5b"))), "error")
    assert "600-1800 MHz" in found.what, "the little cores are not held, although the big ones are"
    assert "cannot be seen" in only(list(check_cores(declare(targets=[target]), look("kv260"))), "warning").what


def test_another_architecture_or_memory_is_told(look: Look, declare: Declare) -> None:
    probe = look("rpi5")
    probe.arch = "armv7l"
    assert "`arch: armv7l`" in only(list(check_cores(declare(arch="aarch64"), probe)), "error").remedy
    probe.arch, probe.bits = "aarch64", 32
    assert "64-bit system" in only(list(check_cores(declare(arch="aarch64"), probe)), "warning").remedy
    probe.bits = 64
    assert (
        "8059 MB of memory, and `memory_mb` says 4096"
        in only(list(check_cores(declare(memory_mb=4096), probe)), "warning").what
    )
    assert "lower `memory_limit_mb`" in only(list(check_cores(declare(memory_limit_mb=9000), probe)), "error").remedy


def test_cpu_numbers_are_written_as_the_kernel_does() -> None:
    assert [ranges(cpus) for cpus in ((), (3,), (0, 1, 2, 6), (1, 3))] == ["", "3", "0-2,6", "1,3"]
