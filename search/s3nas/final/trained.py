"""A final network with its trained weights, and the folder that holds it:

    network.yaml     the network
    weights.npz      "<op index>.<parameter>": float32, of the ops of `network_workload(network)`, in torch's layouts
    training.json    accuracy, course and everything that the training depended on

training.json is written last: where it is, the others are.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ArtefactError, ConfigError, StorageError
from profiler.workloads.weights import Weights, check_weights
from search.files import write_bytes, write_text
from search.spaces.network import Network, network_workload, parse_network, write_network

__all__ = ["TRAINED_SCHEMA", "CoursePoint", "Trained", "read_trained", "write_trained"]

TRAINED_SCHEMA = 1
_NETWORK, _WEIGHTS, _TRAINING = "network.yaml", "weights.npz", "training.json"


@dataclass(frozen=True, slots=True)
class CoursePoint:
    """How far a training was.

    Attributes:
        step: steps done.
        loss: mean over the steps since the last point.
        learning_rate: of the last of them.
    """

    step: int
    loss: float
    learning_rate: float


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A network trained from scratch.

    Attributes:
        network: what was trained.
        weights: of `network_workload(network)`: the moving averages, whatever the test images say of them.
        accuracy: the share of test images that these classify correctly.
        last_accuracy: the same of the weights of the last step, for comparison only.
        course: the loss over the steps.
        seconds: spent training, in all its parts where it was resumed; evaluation is not counted.
        steps: how many.
        identity: a digest of network, task, schedule and seed.
        facts: for people and records: task, its note, seed, schedule, device.
    """

    network: Network
    weights: Weights
    accuracy: float
    last_accuracy: float
    course: tuple[CoursePoint, ...]
    seconds: float
    steps: int
    identity: str
    facts: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form without the weights."""
        return {
            "schema": TRAINED_SCHEMA,
            "identity": self.identity,
            "accuracy": self.accuracy,
            "last_accuracy": self.last_accuracy,
            "steps": self.steps,
            "seconds": round(self.seconds, 2),
            "facts": dict(self.facts),
            "network": self.network.to_dict(),
            "course": [asdict(point) for point in self.course],
        }


def write_trained(trained: Trained, folder: Path) -> None:
    """Write the three files.

    Raises:
        StorageError: where the folder cannot be written.
    """
    arrays = {f"{index}.{name}": array for index, group in trained.weights.items() for name, array in group.items()}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_network(trained.network, folder / _NETWORK)
    write_bytes(folder / _WEIGHTS, buffer.getvalue())
    write_text(folder / _TRAINING, json.dumps(trained.to_dict(), indent=1))


def read_trained(folder: Path) -> Trained | None:
    """What `write_trained` wrote; None where no training was completed there.

    Raises:
        StorageError: where the files cannot be read, are no such files, or belong to different trainings.
    """
    path = folder / _TRAINING
    try:
        if not path.exists():
            return None
        raw = json.loads(path.read_text(encoding="utf-8"))
        schema = int(raw["schema"])
        if schema > TRAINED_SCHEMA:
            raise StorageError(f"{path} is of a newer version (schema {schema}): update edgecost")
        network = parse_network(raw["network"], str(path))
        return Trained(
            network, _read_weights(folder / _WEIGHTS, network), float(raw["accuracy"]), float(raw["last_accuracy"]),
            tuple(CoursePoint(int(p["step"]), float(p["loss"]), float(p["learning_rate"])) for p in raw["course"]),
            float(raw["seconds"]), int(raw["steps"]), str(raw["identity"]), dict(raw["facts"]),
        )  # fmt: skip
    except (OSError, EOFError, ValueError, KeyError, TypeError, ArtefactError, ConfigError, BadZipFile) as error:
        raise StorageError(
            f"{folder} holds no trained network that can be read ({error}): train it again into another folder"
        ) from None


def _read_weights(path: Path, network: Network) -> Weights:
    weights: dict[int, dict[str, NDArray[np.float32]]] = {}
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
        for key in arrays.files:
            index, name = key.split(".")
            weights.setdefault(int(index), {})[name] = arrays[key].astype(np.float32)
    check_weights(network_workload(network), weights)
    return weights
