"""The devices and budgets of a study: HW-NAS-Bench's tables, and targets of our own by the predictor of their table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgecost.stages.evrsnas.options import EvrsnasStudy
    from predictors.base import CostModel
    from predictors.energy import EnergyModel
    from profiler.measure.progress import Progress
    from profiler.tables.formats.hwnasbench_networks import NetworkTable, Quantity
    from search.evrsnas.costs import SpaceCosts
    from search.evrsnas.study import Cell
    from search.spaces.nasbench201 import NasBench201

__all__ = ["OwnTarget", "cells_of", "own_targets"]


@dataclass(frozen=True)
class OwnTarget:
    """A target of our own.

    Attributes:
        target: its id.
        model: fitted on its table.
        costs: of the whole space by the model.
    """

    target: str
    model: CostModel | EnergyModel
    costs: SpaceCosts


def cells_of(options: EvrsnasStudy, space: NasBench201, own: Sequence[OwnTarget]) -> list[Cell]:
    """Every budget on every device and data set.

    Raises:
        ConfigError: where a device, a data set or costs of them are not known, or a budget meets nothing.
    """
    from profiler.tables.formats.hwnasbench_networks import DATASETS, read_networks
    from search.evrsnas.study import cells_by_quantile

    cells: list[Cell] = []
    quantity: Quantity = "latency" if options.cost == "latency" else "energy"
    if options.devices or not own:
        for index, dataset in enumerate(options.datasets or DATASETS):
            table = read_networks(options.table or options.data, dataset)
            known = table.devices_with(quantity)
            # what is named must be there; of all data sets, those after the first where it is
            strict = bool(options.datasets) or index == 0
            for device in options.devices or known:
                if strict or device in known:
                    cells += _of_device(options, space, table, device, quantity)
    for one in own:
        cells += cells_by_quantile(one.costs, _first(options))
    return cells


def _first(options: EvrsnasStudy) -> str:
    return options.datasets[0] if options.datasets else "cifar10"


def _of_device(
    options: EvrsnasStudy, space: NasBench201, table: NetworkTable, device: str, quantity: Quantity
) -> list[Cell]:
    from search.evrsnas.costs import costs_of_table, jointly
    from search.evrsnas.published import HELP_BUDGETS_MS
    from search.evrsnas.study import PAPER_BUDGETS_MS, QUANTILES, Cell, cells_by_quantile

    costs = costs_of_table(space, table, device, quantity)
    if options.cost == "both":
        latency = costs_of_table(space, table, device)
        pairs = [[(c, c.quantile(q)) for c in (latency, costs)] for q in QUANTILES]
        return [Cell(jointly(pair), 1.0, table.dataset) for pair in pairs]
    if options.cost == "energy":
        return cells_by_quantile(costs, table.dataset)
    if device == "fpga" and table.dataset != "ImageNet16-120":
        return [Cell(costs, budget, table.dataset) for budget in PAPER_BUDGETS_MS]
    published = HELP_BUDGETS_MS.get(device, ()) if table.dataset == "cifar100" else ()
    return [*cells_by_quantile(costs, table.dataset), *(Cell(costs, budget, table.dataset) for budget in published)]


def own_targets(options: EvrsnasStudy, space: NasBench201, progress: Progress | None = None) -> list[OwnTarget]:
    """Targets of our own, by the predictor fitted on their table.

    Raises:
        UnknownWorkload: where the table lacks a target.
        ArtefactError, StorageError: as of `space_costs`.
    """
    if not options.targets or options.results is None:
        return []
    from edgecost.stages.costs import load_table, resolve_target
    from edgecost.stages.energy_costs import fit_cost
    from edgecost.stages.evrsnas.pricing import space_costs
    from search.evrsnas.arrays import arrays_of
    from search.evrsnas.costs import SpaceCosts

    table, found = load_table(options.results), []
    latency = options.cost == "latency"
    for name in options.targets:
        target = resolve_target(table, name)
        model = fit_cost(table, target, "ms" if latency else "mj")
        values = space_costs(model, space, progress)
        costs = SpaceCosts(arrays_of(space), target, "ms" if latency else "mJ", values, str(options.results))
        found.append(OwnTarget(target, model, costs))
    return found
