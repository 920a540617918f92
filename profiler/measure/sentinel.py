"""The sentinel: one small workload, the same on every target, that tells whether a board is still what it was."""

from __future__ import annotations

from functools import cache

from profiler.measure.jobs import Job
from profiler.measure.record import Role
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload

__all__ = ["sentinel_job", "sentinel_workload"]


@cache
def sentinel_workload() -> Workload:
    """A convolutional network of 2.5 million MACs, of operators that every runtime has in every precision.

    It computes for long enough that clock and caches show in it, and for so short a time (0.1 ms on a desktop core,
    some ms on a small board) that a batch holds several runs. Whoever changes it makes journals of before and after
    incomparable, and raises PROTOCOL_VERSION.
    """
    b = WorkloadBuilder("sentinel", seed=1)
    x = b.relu(b.conv2d(b.input((1, 3, 32, 32)), 16, kernel=3, bias=True))
    x = b.relu(b.conv2d(x, 32, kernel=3, stride=2, bias=True))
    x = b.relu(b.conv2d(x, 32, kernel=1, bias=True))
    x = b.relu(b.conv2d(x, 32, kernel=3, stride=2, bias=True))
    return b.build(b.linear(b.flatten(b.global_avg_pool(x)), 10))


def sentinel_job() -> Job:
    """The sentinel as a job; its role keeps it out of every table."""
    workload = sentinel_workload()
    return Job(workload, Role("sentinel", workload.key), workload, workload.name)
