"""The loads under which a sensor is calibrated: they draw differently, whatever the board."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from profiler.workloads.build import WorkloadBuilder
    from profiler.workloads.graph import Workload
    from profiler.workloads.op import Ref

__all__ = ["LEVELS", "loads"]

Make = Callable[["WorkloadBuilder", "Ref"], "Ref"]

# arithmetic, memory, and short runs between which much is dispatched: the most different ones first
_LOADS: dict[str, tuple[tuple[int, ...], Make]] = {
    "dense convolution": ((1, 64, 56, 56), lambda b, x: b.conv2d(x, 64, 3)),
    "short run": ((1, 8, 8, 8), lambda b, x: b.relu(x)),
    "memory": ((1, 64, 256, 256), lambda b, x: b.relu(x)),
    "depthwise convolution": ((1, 96, 56, 56), lambda b, x: b.conv2d(x, 96, 3, groups=96)),
    "pointwise convolution": ((1, 128, 56, 56), lambda b, x: b.conv2d(x, 128, 1)),
    "pooling": ((1, 64, 112, 112), lambda b, x: b.avg_pool(x, 3, stride=1, padding=1)),
}

LEVELS = len(_LOADS)


def loads(count: int) -> list[Workload]:
    """The first so many, at most LEVELS."""
    from profiler.workloads.build import WorkloadBuilder

    found = []
    for name, (shape, make) in list(_LOADS.items())[:count]:
        b = WorkloadBuilder(name)
        found.append(b.build(make(b, b.input(shape))))
    return found
