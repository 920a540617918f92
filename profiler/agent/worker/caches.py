"""Cold caches: how much has to be overwritten for nothing of a workload to be left in them."""

from __future__ import annotations

import re
from typing import Callable, Optional, Tuple

from ..leaf import Leaf

INDEX = "/sys/devices/system/cpu/cpu%d/cache/index*/%s"
USUAL_BYTES = 32 << 20
"""Of a last-level cache, where the kernel does not tell."""

TIMES = 2
SHARE_OF_MEMORY = 4
"""At most a fourth of the memory is taken."""

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def last_level_bytes(board: Leaf, cpu: int) -> int:
    """The size of the largest cache that a core has, which is the last one."""
    sizes = []
    for path in board.glob(INDEX % (cpu, "size")):
        match = re.match(r"([0-9]+)([KMG]?)$", board.read(path) or "")
        if match:
            sizes.append(int(match.group(1)) * UNITS[match.group(2)])
    return max(sizes, default=0) or USUAL_BYTES


def cold_caches(board: Leaf, cpu: int, memory_mb: Optional[int]) -> Tuple[Callable[[], None], int]:
    """What makes the caches cold when it is called, and how many bytes it overwrites: TIMES the last-level cache.

    Raises:
        MemoryError: not even a small part of that can be had.
    """
    size = TIMES * last_level_bytes(board, cpu)
    if memory_mb is not None:
        size = min(size, max(1, memory_mb << 20) // SHARE_OF_MEMORY)
    while True:
        try:
            return board.evictor(size), size
        except MemoryError:
            if size < 2 << 20:
                raise
            size //= 2
