"""The folder of a trained network, and checkpoints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from profiler.errors import StorageError
from profiler.workloads.weights import seeded_weights
from search.s3nas.final.checkpoint import FinalState, read_state, write_state
from search.s3nas.final.trained import CoursePoint, Trained, read_trained, write_trained
from search.spaces.mixconv import MixConv
from search.spaces.network import Network, network_workload
from search.spaces.supernet import read_supernet


@pytest.fixture(scope="module")
def network() -> Network:
    space = MixConv(read_supernet("tiny"))
    return space.network(space.minimal)


@pytest.fixture
def trained(network: Network) -> Trained:
    weights = seeded_weights(network_workload(network))
    course = (CoursePoint(2, 1.5, 0.1), CoursePoint(4, 1.25, 0.05))
    return Trained(network, weights, 0.75, 0.5, course, 12.5, 4, "ab" * 16, {"task": "toy", "seed": 3})


def test_what_is_written_is_read(trained: Trained, tmp_path: Path) -> None:
    assert read_trained(tmp_path) is None
    write_trained(trained, tmp_path / "new")
    found = read_trained(tmp_path / "new")
    assert found is not None
    assert found.to_dict() == trained.to_dict()
    assert found.network == trained.network
    assert found.weights.keys() == trained.weights.keys()
    for index, group in trained.weights.items():
        for name, array in group.items():
            np.testing.assert_array_equal(found.weights[index][name], array)


@pytest.mark.parametrize("damage", ["cut", "words", "schema", "weights", "other"])
def test_a_damaged_folder_is_named(damage: str, trained: Trained, tmp_path: Path) -> None:
    write_trained(trained, tmp_path)
    training, weights = tmp_path / "training.json", tmp_path / "weights.npz"
    if damage == "cut":
        training.write_text(training.read_text()[:100])
    elif damage == "words":
        training.write_text("[]")
    elif damage == "schema":
        training.write_text('{"schema": 99}')
    elif damage == "weights":
        weights.write_bytes(weights.read_bytes()[:500])
    else:
        wider = replace(trained, network=replace(trained.network, num_classes=11))
        training.write_text(json.dumps(wider.to_dict()))
    with pytest.raises(StorageError, match="newer version" if damage == "schema" else f"{tmp_path} holds no trained"):
        read_trained(tmp_path)


# ---------------------------------------------------------------- checkpoints


def state() -> FinalState:
    return FinalState(
        "cd" * 16, 7, 1.5, {"w": torch.ones(2, 3)}, {"w": torch.zeros(2, 3)},
        {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        [1.0, 2.0], [(5, 1.5, 0.1)],
    )  # fmt: skip


def test_a_checkpoint_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    assert read_state(path) is None
    write_state(path, state())
    found = read_state(path)
    assert found is not None
    assert (found.identity, found.step, found.losses, found.course) == ("cd" * 16, 7, [1.0, 2.0], [(5, 1.5, 0.1)])
    assert torch.equal(found.module["w"], torch.ones(2, 3))
    assert found.optimiser["param_groups"] == [{"lr": 0.1, "params": [0]}]


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    write_state(path, state())
    data = path.read_bytes()
    for damaged in (data[:-9], data[:300] + b"?" + data[301:], b"", b"PK\x03\x04 no such file"):
        path.write_bytes(damaged)
        with pytest.raises(StorageError, match=r"checkpoint\.pt is damaged or of another version: delete it"):
            read_state(path)


def test_a_checkpoint_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read the checkpoint"):
        read_state(tmp_path)
