"""The agent's side of simulated boards, loaded as an agent would load it, without any agent."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from profiler.agent import leaf
from profiler.fleet.virtual.simulated.runtime import SPEC, graph_of
from profiler.fleet.virtual.simulated.spec import SimulatedSpec
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload
from tests.plugins.agent_side import agent_side


@pytest.fixture(scope="session")
def board() -> SimpleNamespace:
    """The modules of the agent's side by name."""
    name = agent_side(SPEC).__name__
    names = ("files", "graph", "heat", "leaf", "machine", "noise", "power", "roofline", "runtime", "store")
    return SimpleNamespace(**{each: importlib.import_module(f"{name}.{each}") for each in names})


@pytest.fixture
def machine(board: SimpleNamespace, tmp_path: Path) -> Callable[..., Any]:
    """Makes a board of a spec; `folder` is where it keeps what lasts."""

    def make(spec: SimulatedSpec, folder: str = "board") -> Any:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        return board.machine.Machine(json.loads(spec.to_json()), str(place))

    return make


@pytest.fixture
def cost(board: SimpleNamespace) -> Callable[..., Any]:
    """What a workload costs on a board of a spec."""

    def of(spec: SimulatedSpec, workload: Workload | None = None, precision: Any = "fp32") -> Any:
        graph = json.loads(json.dumps(graph_of(workload or conv_chain(4), precision)))
        return board.roofline.Cost(json.loads(spec.to_json()), graph)

    return of


@pytest.fixture
def as_leaf(board: SimpleNamespace, machine: Callable[..., Any]) -> Iterator[Callable[[SimulatedSpec], Any]]:
    """Makes a board the leaf of this process, for as long as a test runs."""
    before = leaf._leaf

    def make(spec: SimulatedSpec) -> Any:
        leaf._leaf = board.leaf.SimulatedLeaf(machine(spec))
        return leaf._leaf

    yield make
    leaf._leaf = before


def conv_chain(length: int, channels: int = 16, size: int = 16) -> Workload:
    """So many convolutions, each with a ReLU."""
    b = WorkloadBuilder(f"chain of {length}")
    x = b.input((1, channels, size, size))
    for _ in range(length):
        x = b.relu(b.conv2d(x, channels, 3))
    return b.build(x)
