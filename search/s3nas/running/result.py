"""What a supernet's search found, and the folder that holds it:

result.json      this, the course included; written last: where it is, the others are
network.yaml     the network found
checkpoint.pt    the supernet's last variables and their averages, see `checkpoint`
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from profiler.errors import ConfigError, StorageError
from search.files import write_text
from search.s3nas.config import S3nasConfig
from search.s3nas.costs.blockcosts import UNITS, CostUnit
from search.spaces.base import Architecture
from search.spaces.network import Network, parse_network, write_network

__all__ = [
    "CHECKPOINT",
    "NETWORK",
    "RESULT",
    "SEARCH_SCHEMA",
    "SearchPoint",
    "SupernetResult",
    "TargetBudget",
    "point_of",
    "read_result",
    "write_result",
]

SEARCH_SCHEMA = 1
RESULT, NETWORK, CHECKPOINT = "result.json", "network.yaml", "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class SearchPoint:
    """The supernet before one step.

    Attributes:
        step: from 0; the step that `loss` is of.
        phase: 1 or 2.
        loss: of the step, without weight decay: cross entropy and, in phase 2, the latency term.
        cross_entropy: its first part, with label smoothing.
        accuracy: the share of the step's images that were classified correctly, with what was dropped.
        t_hat: a target, the sum of the table for `architecture`.
        architecture: the blocks that would be read out at this step, as people write them.
        learning_rate: of the step.
    """

    step: int
    phase: int
    loss: float
    cross_entropy: float
    accuracy: float
    t_hat: tuple[float, ...]
    architecture: str
    learning_rate: float


def point_of(data: Mapping[str, Any]) -> SearchPoint:
    """A point from its plain values."""
    return SearchPoint(**{**data, "t_hat": tuple(data["t_hat"])})


@dataclass(frozen=True, slots=True)
class TargetBudget:
    """One target of a search: what may be spent there and what the network found costs by the table.

    Attributes:
        target, unit: where, and in what.
        budget, t_hat: in `unit`.
        source: where the table comes from, for people.
        identity: of the table.
    """

    target: str
    unit: CostUnit
    budget: float
    t_hat: float
    source: str
    identity: str

    @property
    def met(self) -> bool:
        """Whether the network found keeps to the budget."""
        return self.t_hat <= self.budget

    @property
    def text(self) -> str:
        """Such as "2.41 of 2.5 ms on rpi5"."""
        return f"{self.t_hat:.4g} of {self.budget:.4g} {UNITS[self.unit]} on {self.target}"


@dataclass(frozen=True)
class SupernetResult:
    """What a search found.

    Attributes:
        identity: a digest of supernet, settings, costs, budgets, images, seed and number of processes.
        space: the name of the search space.
        config, seed: how it was searched.
        architecture: the answer, read from the final variables (not from their averages) [V].
        network: the same as a network, with the task's classes.
        targets: costs and budgets.
        params, macs: of the network.
        accuracy: the share of test images that the supernet classifies correctly at its final choices, with the weights
            it shares among all of them; the network trained by itself is another matter.
        averaged_accuracy: the same of the moving averages, thresholds included.
        course: over the steps.
        steps: how many, overtime included.
        seconds: spent on them, in all parts where it was resumed.
        facts: for people and records: task, its note and digest, versions, threads, device.
    """

    identity: str
    space: str
    config: S3nasConfig
    seed: int
    architecture: Architecture
    network: Network
    targets: tuple[TargetBudget, ...]
    params: int
    macs: int
    accuracy: float
    averaged_accuracy: float
    course: tuple[SearchPoint, ...]
    steps: int
    seconds: float
    facts: Mapping[str, Any]

    @property
    def feasible(self) -> bool:
        """Whether the network keeps to every budget, by the table."""
        return all(target.met for target in self.targets)

    def sentence(self) -> str:
        """The outcome in one sentence."""
        costs = ", ".join(target.text for target in self.targets)
        size = f"{self.params / 1e6:.3g} M parameters, {self.macs / 1e6:.4g} M MACs"
        tail = f"after {self.steps} steps in {self.seconds:.0f} s"
        if self.feasible:
            return f"found a network of {costs} ({size}) {tail}"
        worst = max(100 * (t.t_hat / t.budget - 1) if t.budget > 0 else float("inf") for t in self.targets)
        return (
            f"INFEASIBLE: the network at the end costs {costs}, {worst:.1f} % over ({size}), {tail}; raise the budget, "
            "lengthen phase 2 or raise the weight"
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {
            "schema": SEARCH_SCHEMA,
            "kind": "s3nas",
            "identity": self.identity,
            "sentence": self.sentence(),
            "feasible": self.feasible,
            "space": self.space,
            "seed": self.seed,
            "architecture": list(self.architecture.choices),
            "network": self.network.to_dict(),
            "targets": [{**asdict(target), "met": target.met} for target in self.targets],
            "params": self.params,
            "macs": self.macs,
            "accuracy": self.accuracy,
            "averaged_accuracy": self.averaged_accuracy,
            "steps": self.steps,
            "seconds": round(self.seconds, 2),
            "config": self.config.to_dict(),
            "facts": dict(self.facts),
            "course": [asdict(point) for point in self.course],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SupernetResult:
        """Read what `to_dict` wrote.

        Raises:
            StorageError: where the data is not such a form, or of a newer version.
        """
        try:
            if data["schema"] > SEARCH_SCHEMA or data["kind"] != "s3nas":
                raise StorageError(
                    f"a {data['kind']} result of schema {data['schema']} is not one that this version reads: update "
                    "edgecost"
                )
            targets = ({k: v for k, v in target.items() if k != "met"} for target in data["targets"])
            return cls(
                str(data["identity"]),
                str(data["space"]),
                S3nasConfig.from_dict(data["config"]),
                int(data["seed"]),
                Architecture(str(data["space"]), tuple(int(c) for c in data["architecture"])),
                parse_network(data["network"], "in the result of a search"),
                tuple(TargetBudget(**target) for target in targets),
                int(data["params"]),
                int(data["macs"]),
                float(data["accuracy"]),
                float(data["averaged_accuracy"]),
                tuple(point_of(point) for point in data["course"]),
                int(data["steps"]),
                float(data["seconds"]),
                dict(data["facts"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError, ConfigError) as error:
            raise StorageError(f"not the result of a supernet's search: {error!r}") from None


def write_result(result: SupernetResult, folder: Path) -> None:
    """Write network.yaml and result.json.

    Raises:
        StorageError: where the folder cannot be written.
    """
    write_network(result.network, folder / NETWORK)
    write_text(folder / RESULT, json.dumps(result.to_dict(), indent=1, allow_nan=False) + "\n")


def read_result(folder: Path) -> SupernetResult:
    """Read a search from its folder.

    Raises:
        ConfigError: where none was completed there.
        StorageError: where the file cannot be read.
    """
    path = folder / RESULT
    if not path.is_file():
        raise ConfigError(f"there is no completed search in {folder}: it has no {RESULT}")
    try:
        return SupernetResult.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read ({error}): remove it and search again") from None
