from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from board_trees import grow

from profiler.fleet.checks.probe import Probe, ask
from profiler.fleet.inventory.entries import DeviceEntry
from profiler.fleet.transport.local import LocalTransport

Look = Callable[..., Probe]
Declare = Callable[..., DeviceEntry]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """What a board of board_trees.py says to the real probe."""

    def make(name: str) -> Probe:
        return ask(LocalTransport(tmp_path), **grow(tmp_path / name, name))

    return make


@pytest.fixture
def declare() -> Declare:
    """An entry of devices.yaml, as its text would be read."""

    def make(**fields: Any) -> DeviceEntry:
        required = {
            "id": "here",
            "host": "h",
            "user": "u",
            "targets": [{"runtime": "onnxruntime", "precision": "fp32"}],
        }
        return DeviceEntry.model_validate({**required, **fields})

    return make
