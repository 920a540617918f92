"""Operators of distinct shapes, as networks for small boards hold them; what several benchmarks measure."""

from __future__ import annotations

import itertools

import numpy as np

from profiler.measure.jobs import Job
from profiler.measure.record import Role
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload

SIZES = (32, 16, 8, 4)
CHANNELS = (8, 16, 24, 32, 48, 64, 96, 128)
KINDS = ("conv 3x3", "conv 1x1", "depthwise 3x3", "average pooling", "maximum pooling", "linear", "relu6", "add")


def operator(kind: str, channels: int, size: int) -> Workload:
    """One operator on (1, channels, size, size)."""
    b = WorkloadBuilder(f"{kind} {channels} {size}x{size}")
    x = b.input((1, channels, size, size))
    match kind:
        case "conv 3x3":
            y = b.relu(b.conv2d(x, channels, kernel=3, bias=True))
        case "conv 1x1":
            y = b.relu(b.conv2d(x, channels, kernel=1, bias=True))
        case "depthwise 3x3":
            y = b.relu(b.conv2d(x, channels, kernel=3, groups=channels, bias=True))
        case "average pooling":
            y = b.avg_pool(x, 3, 1, padding=1)
        case "maximum pooling":
            y = b.max_pool(x, 3, 1, padding=1)
        case "linear":
            y = b.linear(b.flatten(x), 10)
        case "relu6":
            y = b.relu6(x)
        case _:
            y = b.add(x, b.input((1, channels, size, size)))
    return b.build(y)


def operators(count: int, seed: int = 0) -> list[Job]:
    """So many jobs of one operator each, in random order."""
    every = list(itertools.product(KINDS, CHANNELS, SIZES))
    if count > len(every):
        raise SystemExit(f"there are only {len(every)} operators")
    chosen = np.random.default_rng(seed).permutation(len(every))[:count]
    works = [operator(*every[place]) for place in chosen]
    return [Job(work, Role("kernel", work.key, "whole", 1), work, work.name) for work in works]
