from __future__ import annotations

from typing import Any

import pytest

from profiler.agent.worker import caches
from profiler.agent.worker.caches import cold_caches, last_level_bytes

Board = Any

SIZE = "/sys/devices/system/cpu/cpu%d/cache/index%d/size"


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        (["48K", "64K", "2048K"], 2 << 20),
        (["64K", "512K", "8M"], 8 << 20),
        (["many"], caches.USUAL_BYTES),
        ([], caches.USUAL_BYTES),
    ],
)
def test_the_last_level_is_the_largest(board: Board, sizes: list[str], found: int) -> None:
    board.files.update({SIZE % (4, index): size for index, size in enumerate(sizes)})
    board.files[SIZE % (0, 3)] = "1G"  # another core's
    assert last_level_bytes(board, 4) == found


def test_twice_the_last_level_is_overwritten_within_a_fourth_of_the_memory(board: Board) -> None:
    board.files[SIZE % (0, 3)] = "32M"
    assert cold_caches(board, 0, None)[1] == cold_caches(board, 0, 4096)[1] == 64 << 20
    assert cold_caches(board, 0, 128)[1] == 32 << 20
    evict, _ = cold_caches(board, 0, None)
    evict()
    assert board.evictions == 1


def test_where_memory_is_short_less_is_overwritten(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    def evictor(size: int) -> Any:
        if size > most:
            raise MemoryError
        return lambda: None

    monkeypatch.setattr(board, "evictor", evictor)
    most = 10 << 20
    assert cold_caches(board, 0, None)[1] == 8 << 20
    most = 0
    with pytest.raises(MemoryError):
        cold_caches(board, 0, None)
