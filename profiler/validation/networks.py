"""What is measured in a proof: small networks of varied size, and stretches of kernels whose slope is wanted."""

from __future__ import annotations

from functools import cache

import numpy as np

from profiler.measure.jobs import Job, model_jobs
from profiler.measure.record import Role
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload

__all__ = ["KERNELS", "NETWORKS", "jobs_of", "kernel_names", "network_names"]

NETWORKS = 40
"""So many networks there are; boards get some of them each, so that few files have to be made."""

KERNELS = 8

_KERNEL_SHAPES = ((8, 16), (16, 16), (16, 32), (24, 16), (32, 16), (32, 32), (48, 16), (64, 8))
_STRETCH = 4


def network_names() -> tuple[str, ...]:
    """Of all networks."""
    return tuple(f"net{number}" for number in range(NETWORKS))


def kernel_names() -> tuple[str, ...]:
    """Of all kernels."""
    return tuple(f"kernel{number}" for number in range(KERNELS))


def jobs_of(names: tuple[str, ...]) -> list[Job]:
    """The jobs by which networks and kernels of these names are measured."""
    jobs: list[Job] = []
    for name in names:
        number = int(name.lstrip("netkrl"))
        jobs += _kernel_jobs(number) if name.startswith("kernel") else model_jobs([_network(number)])
    return jobs


@cache
def _network(number: int) -> Workload:
    """A network drawn by its number: convolutions, depthwise ones, pools, residual additions, a classifier."""
    rng = np.random.default_rng([7, number])
    b = WorkloadBuilder(f"net{number}", seed=number)
    size, channels = int(rng.choice([16, 24, 32])), int(rng.choice([8, 16, 24, 32]))
    x = b.relu(b.conv2d(b.input((1, 3, size, size)), channels, 3, bias=True))
    for layer in range(int(rng.integers(2, 12))):
        kind = rng.choice(["conv", "separable", "residual", "wider"])
        if kind == "conv":
            x = b.relu(b.conv2d(x, channels, 3, bias=True))
        elif kind == "separable":
            x = b.relu6(b.conv2d(x, channels, 3, groups=channels, bias=True))
            x = b.conv2d(x, channels, 1, bias=True)
        elif kind == "residual":
            x = b.relu(b.add(b.conv2d(x, channels, 3, bias=True), x))
        else:
            channels = min(96, channels + 8)
            x = b.hswish(b.conv2d(x, channels, 1, bias=True))
        if layer == 4:
            x = b.max_pool(x, 2, 2)
    return b.build(b.linear(b.flatten(b.global_avg_pool(x)), 10))


def _kernel_jobs(number: int) -> list[Job]:
    """Stretches of m and of 2m convolutions with a ReLU, behind each other."""
    channels, size = _KERNEL_SHAPES[number]
    subject = _chain(channels, size, 1)
    return [
        Job(_chain(channels, size, m), Role("kernel", subject.key, "chain", m), subject, subject.name)
        for m in (_STRETCH, 2 * _STRETCH)
    ]


@cache
def _chain(channels: int, size: int, m: int) -> Workload:
    b = WorkloadBuilder(f"conv-relu {channels}x{size}x{size} x{m}")
    x = b.input((1, channels, size, size))
    for _ in range(m):
        x = b.relu(b.conv2d(x, channels, 3, bias=True))
    return b.build(x)
