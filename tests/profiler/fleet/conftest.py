from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from profiler.fleet.targets import Device
from profiler.fleet.virtual.loopback import Fleet


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Six boards, up for the whole test run."""
    with Fleet(tmp_path_factory.mktemp("fleet")) as up:
        yield up


@pytest.fixture(scope="session")
def boards(fleet: Fleet) -> dict[str, Device]:
    return {device.id: device for device in fleet.devices()}


@pytest.fixture
def board(boards: dict[str, Device]) -> Device:
    return boards["ort-fp32-t1"]


@pytest.fixture
def fresh_board(board: Device, tmp_path: Path) -> Device:
    """A board whose workdir nobody else uses."""
    return replace(board, workdir=f"~/{tmp_path.name}")


@pytest.fixture
def devices_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "devices.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
