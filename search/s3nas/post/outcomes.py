"""What post-processing keeps on disk, so that it can be interrupted: one small file a network filled to the budget, and
one a training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError, StorageError
from profiler.workloads.identity import digest
from search.evrsnas.records import null_if_not_finite
from search.files import write_text
from search.spaces.network import Network, network_workload, parse_network

__all__ = ["Filled", "Outcome", "Outcomes"]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of training one network once.

    Attributes:
        accuracy: the share of test images classified correctly.
        gates: scores of the blocks' gates (n_blocks,), NaN where a block has none; None where they were not judged.
    """

    accuracy: float
    gates: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Filled:
    """A network scaled so as to fill the budget.

    Attributes:
        phi: its scaling.
        network: with the option applied.
        predicted: its cost as predicted.
        measured: as measured; None where nothing was measured.
    """

    phi: float
    network: Network
    predicted: float
    measured: float | None = None


class Outcomes:
    """The files of one folder; None keeps everything in memory only.

    Trainings are known by the network's Workload, the schedule's identity and the seed; fillings by a text of the
    caller's that names all that they depend on.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._memory: dict[str, dict[str, Any]] = {}

    def training(self, network: Network, schedule: str, seed: int) -> Outcome | None:
        """What was kept of a training.

        Raises:
            StorageError: where the file is not one that was written here.
        """
        name = self._training(network, schedule, seed)
        data = self._read(name)
        if data is None:
            return None
        try:
            gates = data["gates"]
            found = None if gates is None else np.array([np.nan if g is None else float(g) for g in gates])
            return Outcome(float(data["accuracy"]), found)
        except (KeyError, TypeError, ValueError):
            raise self._broken(name) from None

    def keep_training(self, network: Network, schedule: str, seed: int, outcome: Outcome) -> None:
        """Keep a training.

        Raises:
            StorageError: where the folder cannot be written.
        """
        gates = None if outcome.gates is None else [null_if_not_finite(float(g)) for g in outcome.gates]
        data = {"schedule": schedule, "seed": seed, "network": network.to_dict()}
        self._write(
            self._training(network, schedule, seed), {**data, "accuracy": float(outcome.accuracy), "gates": gates}
        )

    def filling(self, identity: str) -> Filled | None:
        """What was kept of a network filled to the budget.

        Raises:
            StorageError: where the file is not one that was written here.
        """
        name = f"filled-{digest(identity)[:32]}"
        data = self._read(name)
        if data is None:
            return None
        try:
            measured = data["measured"]
            return Filled(
                float(data["phi"]), parse_network(data["network"], name), float(data["predicted"]),
                None if measured is None else float(measured),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, ConfigError):
            raise self._broken(name) from None

    def keep_filling(self, identity: str, filled: Filled) -> None:
        """Keep a network filled to the budget.

        Raises:
            StorageError: where the folder cannot be written.
        """
        data = {"phi": filled.phi, "predicted": filled.predicted, "measured": filled.measured}
        self._write(f"filled-{digest(identity)[:32]}", {**data, "network": filled.network.to_dict()})

    # ---------------------------------------------------------------- files

    def _training(self, network: Network, schedule: str, seed: int) -> str:
        return f"trained-{digest(network_workload(network).key, schedule, seed)[:32]}"

    def _read(self, name: str) -> dict[str, Any] | None:
        if self.folder is None:
            return self._memory.get(name)
        try:
            data = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise self._broken(name) from None
        if not isinstance(data, Mapping):
            raise self._broken(name)
        return dict(data)

    def _write(self, name: str, data: dict[str, Any]) -> None:
        if self.folder is None:
            self._memory[name] = data
        else:
            write_text(self.folder / f"{name}.json", json.dumps(data, indent=1, allow_nan=False) + "\n")

    def _broken(self, name: str) -> StorageError:
        path = (self.folder or Path()) / f"{name}.json"
        return StorageError(f"{path} cannot be read as what it should hold; delete it, and its part is done again")
