from __future__ import annotations

from typing import Any

import pytest

from profiler.agent.worker import load
from profiler.agent.worker.load import Load, Shares, between

Board = Any

PSI = "some avg10=1.00 avg60=0.00 avg300=0.00 total=%d\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7"
STAT = "cpu  %d 10 20 700 5 1 2 %d 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\nintr 4"
OWN = "77 (a ) b) R 1 77 77 0 -1 4194304 1 0 0 0 %d 4 0 0 20 0 1 0 5 6 7"


def test_counters(board: Board) -> None:
    board.files.update({"/proc/pressure/cpu": PSI % 1234, "/proc/stat": STAT % (100, 30), "/proc/self/stat": OWN % 50})
    found = load.read(board)
    assert found[1:] == (1234, 868, 133, 30, 54)


def test_a_board_without_counters_has_none(board: Board) -> None:
    assert load.read(board)[1:] == (None,) * 5
    board.files.update({"/proc/pressure/cpu": "x", "/proc/stat": "cpu  1 2 3", "/proc/self/stat": "77 (x) R"})
    assert load.read(board)[1:] == (None,) * 5
    assert between(load.read(board), load.read(board)) == (None, None, None)
    assert not between(load.read(board), load.read(board)).is_high


def at(ms: float, waited_us: int = 0, ticks: int = 0, busy: int = 0, stolen: int = 0, own: int = 0) -> Load:
    return Load(int(ms * 1e6), waited_us, ticks, busy, stolen, own)


@pytest.mark.parametrize(
    ("after", "expected", "is_high"),
    [
        (at(1000, 0, 400, 100, 0, 100), (0.0, 0.0, 0.0), False),
        (at(1000, 40_000, 400, 130, 10, 100), (0.04, 0.075, 0.025), False),
        (at(1000, 80_000, 400, 100, 0, 100), (0.08, 0.0, 0.0), True),
        (at(1000, 0, 400, 200, 0, 100), (0.0, 0.25, 0.0), True),
        (at(1000, 0, 400, 100, 40, 100), (0.0, 0.0, 0.1), True),
        (at(1000, 0, 400, 90, 0, 100), (0.0, 0.0, 0.0), False),  # the kernel counts in whole ticks
        (at(90, 0, 36, 30, 0, 0), (0.0, None, None), False),  # too short to tell
    ],
)
def test_shares(after: Load, expected: tuple[float | None, ...], is_high: bool) -> None:
    shares = between(at(0), after)
    assert shares == Shares(*expected)
    assert shares.is_high is is_high


def test_this_machine_has_counters() -> None:
    from profiler.agent.leaf import Leaf

    found = load.read(Leaf())
    assert found.ticks is not None
    assert found.own is not None
    assert found.ticks > found.own
