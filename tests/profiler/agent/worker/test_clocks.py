from __future__ import annotations

from typing import Any

import pytest

from profiler.agent.worker.clocks import Clocks, Frequency, held_at, policies

Board = Any

CPU = "/sys/devices/system/cpu/cpu%d/cpufreq/%s"


def test_cores_that_are_clocked_together_are_read_once(board: Board) -> None:
    for cpu in range(4):
        board.core(cpu, related="0 1" if cpu < 2 else "2 3")
    assert policies(board, [0, 1, 2, 3]) == [0, 2]
    assert policies(board, [1]) == [1]
    assert policies(board, [7]) == []


@pytest.mark.parametrize(
    ("changes", "clock", "khz"),
    [
        ({}, "unpinned", None),
        ({"scaling_min_freq": "1500000"}, "unpinned", 1_500_000),
        ({}, "1200", 1_200_000),
        ({"scaling_max_freq": "1000000"}, "1200", 1_000_000),
        ({"scaling_governor": "performance"}, "unpinned", 1_500_000),
        ({"scaling_governor": "performance", "scaling_driver": "intel_pstate"}, "unpinned", None),
    ],
)
def test_what_a_core_is_held_at(board: Board, changes: dict[str, str], clock: str, khz: int | None) -> None:
    board.core(0)
    board.files.update({CPU % (0, name): value for name, value in changes.items()})
    assert held_at(board, 0, clock) == khz


def test_a_core_without_cpufreq_is_held_at_nothing(board: Board) -> None:
    assert held_at(board, 0, "1500") is None
    assert Clocks(board, [0, 1], "1500").read() is None


def test_the_fastest_core_is_told_and_any_that_dips(board: Board) -> None:
    board.core(0, lambda s: "1500000" if s < 1 else "1490000" if s < 2 else "1480000", "performance")
    board.core(1, "1500000", "performance")
    clocks = Clocks(board, [0, 1], "unpinned")
    assert clocks.read() == Frequency(1500.0, False)
    board.sleep(1)
    assert clocks.read() == Frequency(1500.0, False)  # within what is read back
    board.sleep(1)
    assert clocks.read() == Frequency(1500.0, True)


def test_a_free_clock_never_dips(board: Board) -> None:
    board.core(0, lambda s: "1500000" if s < 1 else "600000")
    clocks = Clocks(board, [0], "unpinned")
    board.sleep(2)
    assert clocks.read() == Frequency(600.0, False)
