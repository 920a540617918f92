"""A board of another architecture, emulated: up once for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from profiler.fleet.provisioning import Provisioned, provision
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import CommandResult
from profiler.fleet.transport.ssh import connect
from profiler.fleet.virtual.aarch64.board import Aarch64Board
from profiler.fleet.virtual.aarch64.root import cache_folder
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import ArtefactCache

WANTED = os.environ.get("EDGECOST_AARCH64", "") == "1"

Run = Callable[..., CommandResult]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not WANTED:
        here = Path(__file__).parent
        skip = pytest.mark.skip(reason="an emulated board takes minutes: `make test-aarch64` runs these")
        for item in items:
            if here in item.path.parents:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aarch64Board]:
    """The board; its system is built when it is not in the cache."""
    board = Aarch64Board(tmp_path_factory.mktemp("board"), say=print)
    with board:
        yield board


@pytest.fixture(scope="session")
def device(board: Aarch64Board) -> Device:
    return board.up()


@pytest.fixture
def run(device: Device) -> Iterator[Run]:
    """Runs a program on the board."""
    link = connect(device)

    def call(*words: str) -> CommandResult:
        return link.run(list(words), timeout_s=60)

    yield call
    link.close()


@pytest.fixture(scope="session")
def provisioned(device: Device) -> list[Provisioned]:
    """What came of provisioning the board; its wheels stay in the cache beside its system."""
    found = provision(device, cache=cache_folder() / "wheels", say=print)
    assert [p.error for p in found if p.state == "failed"] == []
    return found


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> ArtefactCache:
    return ArtefactCache(tmp_path_factory.mktemp("artefacts"))


@pytest.fixture(scope="session")
def quick() -> MeasureConfig:
    """As little as makes a figure: what is wanted is that it comes out right, not how long it took."""
    return MeasureConfig(
        rounds=1, min_batch_s=0.0005, warmup_runs=1, warmup_s=0.0, min_batches=3, target_half_width=0.5, cap_s=0.05,
        cool_s=0.0, sentinel_jobs=0, retries=0,
    )  # fmt: skip
