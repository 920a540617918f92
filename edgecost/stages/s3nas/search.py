"""The search of a supernet as a stage: budgets, prices and images to network.yaml, result.json and search.json."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.s3nas.costs import Pricing, supernet_costs
from edgecost.stages.s3nas.demand import Budgets
from edgecost.stages.s3nas.files import folder_name, network_facts, write_stage
from edgecost.stages.s3nas.train import TrainOptions
from edgecost.stages.spaces import mixconv_of
from profiler.errors import ConfigError

if TYPE_CHECKING:
    from profiler.measure.progress import Progress
    from search.s3nas.config import S3nasConfig
    from search.s3nas.running.result import SupernetResult

__all__ = ["SUPERNET", "SearchOptions", "first_process", "run_folder", "search_supernet"]

SUPERNET = "graded32"
STAIR = 0.24
"""Of the whole schedule lies between two stairs of the learning rate, as published (2.4 of 10 epochs)."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """One search.

    Attributes:
        budgets: of the search, which are less than those of the final network.
        pricing: where costs come from.
        supernet: a bundled name or a YAML file.
        training: its data, seed, device and threads; its schedule is that of final trainings.
        preset: how it is searched: "reduced" or "published".
        steps: of phase 1 and of phase 2, instead of the preset's.
        changes: other settings of the search by name, see `search.s3nas.config`.
    """

    budgets: Budgets
    pricing: Pricing
    supernet: str = SUPERNET
    training: TrainOptions = field(default_factory=TrainOptions)
    preset: str = "reduced"
    steps: tuple[int, int] | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> S3nasConfig:
        """The settings of the search.

        Raises:
            ConfigError: for an unknown preset or a setting that cannot be.
        """
        from search.s3nas.config import search_preset

        changes = dict(self.changes)
        if self.steps is not None:
            first, second = self.steps
            whole = first + second
            lengths = {"unit": "steps", "phase1": first, "phase2": second, "decay_every": max(1.0, STAIR * whole)}
            changes = {**lengths, **changes}
        return search_preset(self.preset, **changes)


def run_folder(results: Path, options: SearchOptions, final: Budgets) -> Path:
    """Where a search's files go by default: RESULTS/s3nas/SUPERNET-TARGETS-BUDGETS-sSEED."""
    name = mixconv_of(options.supernet).supernet.name
    if results.is_file():
        raise ConfigError(f"--results {results} is a table and no folder; say with --out where the search goes")
    return results / "s3nas" / folder_name(name, final.targets, final.values, final.unit, options.training.seed)


def first_process() -> bool:
    """Whether this process is the one of several under torchrun that writes files."""
    return os.environ.get("RANK", "0") == "0"


def search_supernet(options: SearchOptions, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Search a supernet; writes network.yaml, result.json (with the course) and search.json to a folder.

    A complete search of the same kind there is returned as it is; an interrupted one is continued, from a checkpoint
    that is removed when the search is complete.

    Raises:
        ConfigError: where the supernet cannot be, blocks have no cost, the budget is none that any or not every network
            meets, the images do not fit, or the folder holds another search.
        TrainingDiverged: where the loss or a weight is no longer finite; the last good checkpoint stays.
    """
    from search.s3nas.running.result import CHECKPOINT
    from search.s3nas.trainer import run_s3nas

    space = mixconv_of(options.supernet)
    config, training = options.config, options.training
    task = training.task()
    tables, facts = [], {}
    for target in options.budgets.targets:
        table, found = supernet_costs(space, options.pricing, target, task.num_classes)
        tables.append(table)
        facts[table.target] = {"source": table.source, "smallest": table.smallest, "largest": table.largest, **found}
    result = run_s3nas(
        space, task, tables, options.budgets.values, config, training.seed, folder,
        progress=progress, device=training.device, threads=training.threads,
    )  # fmt: skip
    answer = _answer(result, facts, space.definition)
    if not first_process():
        return answer
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return write_stage("search", folder, result.identity, answer)


def _answer(result: SupernetResult, facts: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sentence": result.sentence(),
        "feasible": result.feasible,
        "space": result.space,
        "definition": dict(definition),
        "choices": list(result.architecture.choices),
        "targets": [
            {"target": t.target, "unit": t.unit, "budget": t.budget, "predicted": t.t_hat, "measured": None}
            for t in result.targets
        ],
        "t_hat": [t.t_hat for t in result.targets],
        "costs": dict(facts),
        "supernet_accuracy": result.accuracy,
        "preset": result.config.name,
        "seed": result.seed,
        "data": result.facts.get("task", ""),
        "note": result.facts.get("note", ""),
        "steps": result.steps,
        "seconds": round(result.seconds, 2),
        **network_facts(result.network),
    }
