"""A made-up space of sums: 4 edges with 5 operators each, whose latencies on every device are sums of a table."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from predictors.transfer.features import population_features
from predictors.transfer.pool import Pool
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload

OPERATORS = (None, (8, 1), (16, 1), (8, 3), (16, 3))  # hidden channels and window of what an edge does


def network(choices: tuple[int, ...]) -> Workload:
    b = WorkloadBuilder("toy")
    x = b.input((1, 8, 8, 8))
    for choice in choices:
        operator = OPERATORS[choice]
        if operator is not None:
            x = b.add(b.conv2d(b.relu(b.conv2d(x, operator[0], operator[1])), 8), x)
    return b.build(b.linear(b.flatten(b.global_avg_pool(x)), 10))


@pytest.fixture(scope="session")
def pool() -> Pool:
    choices = np.array(list(product(range(5), repeat=4)), dtype=np.int64)
    names = tuple(" ".join(map(str, c)) for c in choices)
    classes = tuple(" ".join(str(c) for c in sorted(row)) for row in choices)
    features = population_features(network(tuple(int(c) for c in row)) for row in choices)
    return Pool("toy", names, classes, choices, (0, 0, 0, 0), features)


@pytest.fixture(scope="session")
def devices(pool) -> dict[str, np.ndarray]:
    """Latencies in ms by device: a kin of the target, two others, the target."""
    counts = pool.parts()
    tables = {
        "kin": np.array([0.1, 4.0, 1.0, 2.5, 3.1]),
        "odd": np.array([2.0, 0.1, 3.0, 0.2, 1.5]),
        "flat": np.array([1.0, 1.2, 1.4, 1.6, 1.8]),
        "target": np.array([0.05, 2.1, 0.5, 1.3, 1.5]),
    }
    return {name: 2.0 + counts @ costs for name, costs in tables.items()}
