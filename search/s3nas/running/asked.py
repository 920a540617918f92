"""What a search is known by, whether it was done before, and what came out. This module imports torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from profiler.errors import ConfigError, StorageError
from search.s3nas.config import S3nasConfig
from search.s3nas.costs.blockcosts import BlockCosts
from search.s3nas.final.evaluation import accuracy_of, recalibrate
from search.s3nas.running.distributed import Ranks
from search.s3nas.running.result import RESULT, SearchPoint, SupernetResult, TargetBudget, read_result
from search.s3nas.supernet import SupernetModule
from search.spaces.base import Architecture
from search.spaces.mixconv import MixConv
from search.spaces.network import network_workload
from search.spaces.supernet import supernet_dict
from search.tasks import Task

__all__ = ["Asked", "accuracies", "result_of", "stored"]

_RECALIBRATED = 1024
"""Training images from which the batch norms' statistics are taken for the evaluation."""

_RECIPE = 1
"""Part of the identity: raised whenever the same settings would search otherwise."""


@dataclass(frozen=True)
class Asked:
    """What a search was asked for.

    Attributes:
        space, task, costs, budgets, config, seed: see `trainer.run_s3nas`; the task in the supernet's resolution.
        processes: how many share the work: their batch norms see as many images less.
    """

    space: MixConv
    task: Task
    costs: Sequence[BlockCosts]
    budgets: Sequence[float]
    config: S3nasConfig
    seed: int
    processes: int = 1

    @property
    def parts(self) -> dict[str, str]:
        """Digests of everything that the network found depends on, by the names that errors give them."""
        supernet = {k: v for k, v in supernet_dict(self.space.supernet).items() if k != "description"}
        return {
            "supernet": _digest(supernet),
            "settings": _digest([_RECIPE, self.config.essence]),
            "costs": _digest([table.identity for table in self.costs]),
            "budgets": _digest([float(budget) for budget in self.budgets]),
            "images": _digest(self.task.digest),
            "seed": str(self.seed),
            "number of processes": str(self.processes),
        }

    @property
    def identity(self) -> str:
        """One digest of all parts."""
        return _digest(self.parts)

    def met(self, architecture: Architecture) -> bool:
        """Whether an architecture keeps to every budget."""
        return all(table.cost(architecture) <= b for table, b in zip(self.costs, self.budgets, strict=True))


def stored(asked: Asked, folder: Path) -> SupernetResult | None:
    """The result of the same search in a folder, None where there is none.

    Raises:
        ConfigError: where the folder holds the result of another search.
    """
    if not (folder / RESULT).is_file():
        return None
    try:
        found = read_result(folder)
    except StorageError:
        return None  # damaged: it is written again, from the checkpoint where that is whole
    if found.identity != asked.identity:
        raise ConfigError(
            f"{folder} holds another search (other supernet, settings, costs, budgets, images or seed): name another "
            "folder, or remove that one"
        )
    return found


def accuracies(supernet: SupernetModule, averages: Mapping[str, Tensor], task: Task, ranks: Ranks) -> list[float]:
    """The shares of test images that the supernet classifies correctly, with its last variables and with their
    averages, batch norms' statistics taken anew from training images; computed by the first process."""
    if not ranks.first:
        return ranks.of_first([0.0, 0.0])
    averaged = deepcopy(supernet)
    averaged.load_state_dict(dict(averages), strict=False)  # counts of batch norms have no average
    found = []
    for classifier in (_Logits(deepcopy(supernet)), _Logits(averaged)):
        recalibrate(classifier, task.train, _RECALIBRATED, device=ranks.device)
        found.append(accuracy_of(classifier, task.test, ranks.device))
    return ranks.of_first(found)


def result_of(
    asked: Asked,
    architecture: Architecture,
    reached: Sequence[float],
    course: tuple[SearchPoint, ...],
    steps: int,
    seconds: float,
    device: torch.device,
) -> SupernetResult:
    """What came out.

    Raises:
        ConfigError: where every block was skipped, which is no network.
    """
    network = asked.space.network(architecture, num_classes=asked.task.num_classes)
    if not any(stage.blocks for stage in network.stages):
        raise ConfigError(f"the search skipped every block of {asked.space.name}: raise the budget")
    workload = network_workload(network)
    targets = tuple(
        TargetBudget(t.target, t.unit, float(budget), t.cost(architecture), t.source, t.identity)
        for t, budget in zip(asked.costs, asked.budgets, strict=True)
    )
    return SupernetResult(
        asked.identity, asked.space.name, asked.config, asked.seed, architecture, network, targets, workload.params,
        workload.macs, reached[0], reached[1], course, steps, seconds, _facts(asked, device),
    )  # fmt: skip


def _facts(asked: Asked, device: torch.device) -> dict[str, Any]:
    return {
        "task": asked.task.name,
        "note": asked.task.note,
        "task_digest": asked.task.digest,
        "supernet": supernet_dict(asked.space.supernet),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "processes": asked.processes,
    }


class _Logits(nn.Module):
    """A supernet as a classifier."""

    def __init__(self, supernet: SupernetModule) -> None:
        super().__init__()
        self.supernet = supernet

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.supernet(images.contiguous(memory_format=torch.channels_last))[0]
        return logits


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()[:32]
