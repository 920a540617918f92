"""Governors and clocks that are set, refused, and always put back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from profiler.agent.worker import pinning
from profiler.agent.worker.pinning import FILE, Pins, Wish

Board = Any

CPU = "/sys/devices/system/cpu/cpu%d/cpufreq/%s"
FREE = ("schedutil", "600000", "1500000")
FASTEST = Wish("performance", None)


@pytest.fixture
def cores(board: Board) -> Board:
    """Two clusters of two cores."""
    for cpu in range(4):
        board.core(cpu, related="0 1" if cpu < 2 else "2 3")
    board.files["/proc/sys/kernel/random/boot_id"] = "boot-1"
    return board


def state(board: Board, cpu: int) -> tuple[str, ...]:
    return tuple(board.files[CPU % (cpu, name)] for name in pinning.NAMES)


@pytest.mark.parametrize(
    ("declared", "wish"),
    [
        ({}, Wish("", None)),
        ({"governor": "performance", "clock": "unpinned"}, FASTEST),
        ({"governor": "", "clock": "1200"}, Wish("", 1_200_000)),
        ({"governor": "userspace", "clock": "1512.5"}, Wish("userspace", 1_512_500)),
    ],
)
def test_wishes(declared: dict[str, str], wish: Wish) -> None:
    assert Wish.of(declared) == wish


def test_a_governor_is_set_for_the_jobs_cores_and_put_back(cores: Board, tmp_path: Path) -> None:
    pins = Pins(cores, str(tmp_path))
    assert pins.hold([2, 3], FASTEST)
    assert (state(cores, 2)[0], state(cores, 0)) == ("performance", FREE)
    assert (tmp_path / FILE).exists()
    assert pins.restore() == 0
    assert state(cores, 2) == FREE
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("mhz", ["600", "1200", "1500"])
def test_a_clock_is_held_from_both_sides(cores: Board, tmp_path: Path, mhz: str) -> None:
    pins = Pins(cores, str(tmp_path))
    assert pins.hold([0, 1], Wish.of({"clock": mhz}))
    assert state(cores, 0) == ("schedutil", mhz + "000", mhz + "000")
    assert pins.restore() == 0
    assert state(cores, 0) == FREE


def test_the_lower_end_is_never_above_the_upper_one(cores: Board, tmp_path: Path, monkeypatch: Any) -> None:
    write = cores.write

    def checked(path: str, value: str) -> None:
        write(path, value)
        assert int(state(cores, 0)[1]) <= int(state(cores, 0)[2])

    cores.files[CPU % (0, "scaling_min_freq")] = "1000000"
    monkeypatch.setattr(cores, "write", checked)
    pins = Pins(cores, str(tmp_path))
    for mhz in ("700", "1400", "600", "1500"):
        assert pins.hold([0], Wish.of({"clock": mhz}))
    pins.restore()
    assert state(cores, 0) == ("schedutil", "1000000", "1500000")


def test_what_is_so_already_is_not_written_and_not_put_back(cores: Board, tmp_path: Path) -> None:
    for name, value in zip(pinning.NAMES, ("performance", "1500000", "1500000"), strict=True):
        cores.files[CPU % (0, name)] = value
    pins = Pins(cores, str(tmp_path))
    assert pins.hold([0, 1], Wish("performance", 1_500_000))
    assert cores.written == []
    assert not (tmp_path / FILE).exists()


def test_what_was_before_is_on_the_disk_before_anything_is_changed(
    cores: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []
    write = cores.write

    def watched(path: str, value: str) -> None:
        kept.append(json.loads((tmp_path / FILE).read_text())["before"])
        write(path, value)

    monkeypatch.setattr(cores, "write", watched)
    Pins(cores, str(tmp_path)).hold([0], FASTEST)
    assert kept == [[[0, dict(zip(pinning.NAMES, FREE, strict=True))]]]


def test_a_process_that_died_is_made_good_by_another(cores: Board, tmp_path: Path) -> None:
    assert Pins(cores, str(tmp_path)).hold([0, 2], Wish("performance", 1_000_000))
    assert Pins(cores, str(tmp_path)).restore() == 0
    assert state(cores, 0) == state(cores, 2) == FREE


def test_another_wish_begins_with_what_was_there_at_first(cores: Board, tmp_path: Path) -> None:
    pins = Pins(cores, str(tmp_path))
    assert pins.hold([0], FASTEST)
    assert pins.hold([2], Wish("", 900_000))
    assert (state(cores, 0), state(cores, 2)) == (FREE, ("schedutil", "900000", "900000"))
    assert pins.hold([2], Wish("", None))  # a job that wants nothing
    assert state(cores, 2) == FREE
    assert not (tmp_path / FILE).exists()


def test_the_same_wish_again_writes_nothing(cores: Board, tmp_path: Path) -> None:
    pins = Pins(cores, str(tmp_path))
    assert pins.hold([0], FASTEST)
    number = len(cores.written)
    assert pins.hold([0], FASTEST)
    assert len(cores.written) == number


def test_a_refusal_is_told_and_changes_nothing(cores: Board, tmp_path: Path) -> None:
    cores.refused = {CPU % (0, name) for name in pinning.NAMES}
    pins = Pins(cores, str(tmp_path))
    assert not pins.hold([0], Wish("performance", 1_000_000))
    assert state(cores, 0) == FREE
    assert pins.restore() == 0


def test_half_a_refusal_is_one_and_the_other_half_is_put_back(cores: Board, tmp_path: Path) -> None:
    cores.refused = {CPU % (2, "scaling_governor")}
    pins = Pins(cores, str(tmp_path))
    assert not pins.hold([0, 1, 2, 3], FASTEST)
    pins.restore()
    assert state(cores, 0) == state(cores, 2) == FREE


def test_a_value_that_the_kernel_takes_and_does_not_keep_is_a_refusal(cores: Board, tmp_path: Path) -> None:
    cores.write = lambda path, value: None
    assert not Pins(cores, str(tmp_path)).hold([0], Wish("", 1_000_000))


def test_a_board_without_cpufreq_refuses(board: Board, tmp_path: Path) -> None:
    pins = Pins(board, str(tmp_path))
    assert pins.hold([0], Wish("", None))
    assert not pins.hold([0], FASTEST)
    assert pins.restore() == 0


def test_what_cannot_be_put_back_is_tried_again_later(cores: Board, tmp_path: Path) -> None:
    pins = Pins(cores, str(tmp_path))
    assert pins.hold([0, 2], FASTEST)
    cores.refused = {CPU % (0, "scaling_governor")}
    assert pins.restore() == 1
    assert (state(cores, 0)[0], state(cores, 2)) == ("performance", FREE)
    # another job meanwhile: what it finds is not what was there before
    assert not pins.hold([0], Wish("powersave", 900_000))
    cores.refused = set()
    assert Pins(cores, str(tmp_path)).restore() == 0
    assert state(cores, 0) == state(cores, 2) == FREE
    assert not (tmp_path / FILE).exists()


def test_what_cannot_be_remembered_is_not_changed(cores: Board, tmp_path: Path) -> None:
    assert not Pins(cores, str(tmp_path / "gone")).hold([0], FASTEST)
    assert cores.written == []


def test_after_a_boot_there_is_nothing_to_put_back(cores: Board, tmp_path: Path) -> None:
    Pins(cores, str(tmp_path)).hold([0], FASTEST)
    cores.files["/proc/sys/kernel/random/boot_id"] = "boot-2"
    cores.files[CPU % (0, "scaling_governor")] = "ondemand"
    assert Pins(cores, str(tmp_path)).restore() == 0
    assert state(cores, 0)[0] == "ondemand"
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"before": 3}', '{"boot": "boot-1", "before": [[0, 7]]}', '{"boot": "boot-1", "before": [3]}',
     '{"boot": "boot-1", "before": [["x", {"scaling_governor": "y"}]]}'],
)  # fmt: skip
def test_a_file_that_is_none_of_ours_is_removed(cores: Board, tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert Pins(cores, str(tmp_path)).restore() == 0
    assert cores.written == []
    assert not (tmp_path / FILE).exists()


def test_a_process_that_ends_sets_nothing_more(cores: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr(pinning, "_changing", threading.Lock())
    pins = Pins(cores, str(tmp_path))
    pins.hold([0], FASTEST)
    pins.restore_and_stop()
    assert state(cores, 0) == FREE
    late = threading.Thread(target=pins.hold, args=([0], FASTEST), daemon=True)
    late.start()
    late.join(0.1)
    assert state(cores, 0) == FREE
