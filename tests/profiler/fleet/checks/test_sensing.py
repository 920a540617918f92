from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from profiler.fleet.checks.findings import Finding
from profiler.fleet.checks.probe import Probe, ask
from profiler.fleet.checks.sensing import check_sensing, commands_of, files_of, throttle_word
from profiler.fleet.inventory.entries import DeviceEntry
from profiler.fleet.transport.base import CommandResult
from profiler.fleet.transport.local import LocalTransport

Look = Callable[..., Probe]
Declare = Callable[..., DeviceEntry]

BITS = {0: "under-voltage", 2: "throttled", 16: "under-voltage has occurred"}


class Pretender(LocalTransport):
    """This machine, except that some commands have answers of their own."""

    def __init__(self, home: Path, **answers: str) -> None:
        super().__init__(home)
        self.answers = answers

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> CommandResult:
        if argv[0] in self.answers:
            return CommandResult(0, self.answers[argv[0]].encode(), b"")
        return super().run(argv, timeout_s=timeout_s, stdin=stdin)


def sense(declared: DeviceEntry, probe: Probe, home: Path, **answers: str) -> list[Finding]:
    return list(check_sensing(declared, probe, Pretender(home, **answers)))


def bad(findings: list[Finding]) -> list[tuple[str, str]]:
    assert all(finding.remedy for finding in findings if finding.level != "ok")
    return [(finding.level, finding.what) for finding in findings if finding.level != "ok"]


def test_zones_trips_and_temperature(look: Look, declare: Declare, tmp_path: Path) -> None:
    right = declare(thermal={"zones": ["cpu-thermal"], "trips_celsius": [67.5, 110], "limits_celsius": [80]})
    found = sense(right, look("rpi5"), tmp_path)
    assert bad(found) == []
    assert "it is at 51.5 °C, and slows down at 67.5 °C" in [f.what for f in found]
    wrong = declare(thermal={"zones": ["cpu-thermal", "tj"], "trips_celsius": [85], "files": ["/no/such"]})
    found = sense(wrong, look("rpi5"), tmp_path)
    assert [what for _, what in bad(found)] == [
        "there is no thermal zone tj",
        "no thermal zone has a trip point at 85 °C",
        "there is no file /no/such",
    ]
    assert "found: cpu-thermal" in found[1].remedy
    assert "50, 60, 67.5, 75, 110" in found[2].remedy


def test_a_board_that_is_hot_while_idle_is_told_to_cool(look: Look, declare: Declare, tmp_path: Path) -> None:
    hot = declare(thermal={"zones": ["bigcore0-thermal"], "trips_celsius": [85]})
    assert bad(sense(hot, look("rock5b"), tmp_path)) == [
        ("warning", "it is at 83 °C while it does nothing, and slows down at 85 °C")
    ]
    assert (
        bad(sense(declare(thermal={"zones": ["soc-thermal"], "trips_celsius": [85]}), look("rock5b"), tmp_path)) == []
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("throttled=0x0", []),
        ("throttled=0x5", [("warning", "throttled")]),
        ("throttled=0x10000", [("warning", "has occurred")]),
        ("throttled=0x8", [("warning", "not declared")]),
        ("VCHI initialization failed", [("warning", "no word of bits (VCHI initialization failed)")]),
    ],
)
def test_the_throttle_command_is_asked(
    look: Look, declare: Declare, tmp_path: Path, said: str, expected: list[tuple[str, str]]
) -> None:
    declared = declare(throttle={"command": ["vcgencmd", "get_throttled"], "bits": BITS})
    assert commands_of(declared) == ["vcgencmd"]
    probe = look("rpi5")
    probe.commands["vcgencmd"] = "/usr/bin/vcgencmd"
    found = bad(sense(declared, probe, tmp_path, vcgencmd=said))
    assert [level for level, _ in found] == [level for level, _ in expected]
    assert all(words in what for (_, what), (_, words) in zip(found, expected, strict=True))


def test_the_throttle_file_is_a_glob_and_is_read(declare: Declare, tmp_path: Path) -> None:
    (tmp_path / "soc:firmware").write_text("0\n")
    declared = declare(throttle={"command": ["no-such"], "file": f"{tmp_path}/soc*", "bits": BITS})
    assert files_of(declared) == [f"{tmp_path}/soc*"]
    probe = ask(LocalTransport(tmp_path), commands_of(declared), files_of(declared))
    found = list(check_sensing(declared, probe, LocalTransport(tmp_path)))
    assert [what for _, what in bad(found)] == ["there is no command no-such, by which it would say that it slows down"]
    assert found[-1].what == f"the throttle file {tmp_path}/soc:firmware says that all is well"


@pytest.mark.parametrize(
    ("board", "sensor", "expected"),
    [
        ("jetson", {"kind": "hwmon", "name": "ina3221", "channels": ["VDD_IN", "VDD_SOC"]}, []),
        ("jetson", {"kind": "hwmon", "name": "ina3221", "channels": ["VDD_X"]}, [("warning", "no channel VDD_X")]),
        ("jetson", {"kind": "hwmon", "name": "ina260_u14"}, [("warning", "ina260_u14 is not there")]),
        ("kv260", {"kind": "hwmon", "name": "ina260_u14", "channels": ["power1_input"]}, []),
        ("kv260", {"kind": "iio", "name": "xilinx-ams"}, []),
        ("jetson", {"kind": "hwmon", "name": "ina3221", "channels": ["VDD_CPU_GPU_CV+VDD_SOC"]}, []),
        ("jetson", {"kind": "hwmon", "name": "ina3221", "channels": ["VDD_IN+VDD_X"]}, [("warning", "channel VDD_X")]),
        ("laptop", {"kind": "rapl", "name": "package-0"}, []),
        ("laptop", {"kind": "rapl"}, []),
        ("laptop", {"kind": "battery", "name": "BAT0"}, []),
        ("laptop", {"kind": "battery"}, []),
        ("rpi5", {"kind": "battery"}, [("warning", "is not there")]),
        ("rock5b", {"kind": "hwmon", "name": "tcpm_source_psy_4_0022"}, [("error", "USB-PD contract")]),
        ("rock5b", {"kind": "external", "name": "meter"}, []),
        ("rpi5", {"kind": "command", "name": "vcgencmd"}, [("warning", "no command vcgencmd")]),
    ],
)
def test_sensors_are_looked_for_by_name(
    look: Look, declare: Declare, tmp_path: Path, board: str, sensor: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    found = bad(sense(declare(sensors=[{**sensor, "scope": "wall"}]), look(board), tmp_path))
    assert [level for level, _ in found] == [level for level, _ in expected]
    assert all(words in what for (_, what), (_, words) in zip(found, expected, strict=True))


def test_a_counter_that_may_not_be_read_says_so(look: Look, declare: Declare, tmp_path: Path) -> None:
    probe = look("laptop")
    probe.chips["rapl", "package-0"].clear()  # as it is for all but root
    declared = declare(sensors=[{"kind": "rapl", "name": "package-0", "scope": "SoC-rails"}])
    ((level, what),) = bad(sense(declared, probe, tmp_path))
    assert (level, "may not be read" in what) == ("warning", True)


@pytest.mark.parametrize(
    ("said", "levels"), [("EXT5V_V volt(24)=5.1V", []), ("error=1 Command not registered", ["warning"])]
)
def test_the_raspberrys_rails_must_give_figures(
    look: Look, declare: Declare, tmp_path: Path, said: str, levels: list[str]
) -> None:
    sensor = {"kind": "command", "name": "vcgencmd", "channels": ["pmic_read_adc"], "scope": "SoC-rails"}
    probe = look("rpi5")
    probe.commands["vcgencmd"] = "/usr/bin/vcgencmd"
    found = sense(declare(sensors=[sensor]), probe, tmp_path, vcgencmd=said)
    assert [level for level, _ in bad(found)] == levels


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("throttled=0x50005", 0x50005),
        ("0", 0),
        ("16\n", 16),
        ("0x1", 1),
        ("error=1 x", None),
        ("", None),
        ("0xg", None),
    ],
)
def test_words_of_bits(text: str, word: int | None) -> None:
    assert throttle_word(text) == word
