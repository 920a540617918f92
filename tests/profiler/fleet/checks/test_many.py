from __future__ import annotations

import socket
import threading
from dataclasses import replace

import pytest

from profiler.fleet.checks import board, check_all
from profiler.fleet.targets import Device


def test_boards_are_checked_at_once_and_shown_in_order(
    boards: dict[str, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first board waits until the last one has been looked at: one after another would never end."""
    last_done = threading.Event()
    chosen = [replace(device, targets=()) for device in boards.values()][:3]
    run = board.Checkup.run

    def waiting(self: board.Checkup) -> None:
        if self.device is chosen[0]:
            assert last_done.wait(60)
        run(self)
        if self.device is chosen[-1]:
            last_done.set()

    monkeypatch.setattr(board.Checkup, "run", waiting)
    assert [device.id for device, _ in check_all(chosen, {})] == [device.id for device in chosen]


def test_a_dead_board_is_one_error_among_others(boards: dict[str, Device]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    alive = replace(boards["torch-fp32-t1"], targets=())
    dead = replace(boards["ort-fp32-t1"], port=port)
    (_, first), (_, second) = check_all([dead, alive], {})
    assert [f.level for f in first] == ["error"]
    assert "error" not in {f.level for f in second}


def test_one_machine_under_two_names_is_told(boards: dict[str, Device]) -> None:
    one, other = (replace(boards[name], targets=()) for name in ("ort-fp32-t1", "ort-int8-t1"))
    (_, first), (_, second) = check_all([one, other], {})  # they declare that they share it
    assert [f for f in (*first, *second) if "same machine" in f.what] == []
    (_, first), (_, second) = check_all([one, replace(other, machine="mine")], {})
    (found,) = [f for f in (*first, *second) if "same machine" in f.what]
    assert found in second
    assert "same machine as ort-fp32-t1" in found.what
    assert "`machine`" in found.remedy


def test_nothing_to_check_is_nothing() -> None:
    assert list(check_all([], {})) == []
