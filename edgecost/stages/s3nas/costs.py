"""What blocks and networks of a supernet cost on a target: from measured blocks, a fitted model, or a public table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgecost.stages.costs import finite, fit_model, load_table, resolve_target
from edgecost.stages.places import data_folder
from profiler.errors import ConfigError, StorageError, UnknownWorkload
from profiler.workloads.identity import digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from profiler.tables.row import Row, RowKind
    from profiler.tables.table import CostTable
    from profiler.workloads.graph import Workload
    from search.s3nas.budget import CostOf
    from search.s3nas.costs.blockcosts import BlockCosts, CostUnit
    from search.s3nas.costs.networks import NetworkCosts
    from search.spaces.mixconv import MixConv
    from search.spaces.network import Network

__all__ = [
    "CostSource",
    "NetworkPricing",
    "Pricing",
    "checked_networks",
    "measured_networks",
    "network_costs",
    "supernet_costs",
]

CostSource = Literal["table", "model", "hwnasbench"]
SOURCES: tuple[CostSource, ...] = ("table", "model", "hwnasbench")

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Pricing:
    """Where costs come from.

    Attributes:
        results: folder whose runs make up the table.
        source: "table" (measured blocks), "model" (kernels, by the fitted network-level predictor) or "hwnasbench"
            (the public table of FBNet's layers in $EDGECOST_DATA).
        unit: "ms", or "mj" for energy.
        supernet: as the user named it, for the command that measures what is missing.
    """

    results: Path
    source: CostSource = "table"
    unit: CostUnit = "ms"
    supernet: str = ""

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ConfigError(f"--costs is {', '.join(SOURCES)}, not {self.source!r}")
        if self.unit == "mj" and self.source != "table":
            raise ConfigError(f"energy is known of measured blocks only; leave out --costs {self.source}")

    def command(self, target: str, scaled: int = 0) -> str:
        """The command that measures the blocks of the supernet, and so many of scaled networks."""
        named = f" --supernet {self.supernet}" if self.supernet else ""
        more = f" --scaled {scaled}" if scaled else ""
        folder = "" if self.results == Path("results") else f" --results {self.results}"
        energy = " --energy" if self.unit == "mj" else ""
        return f"`edgecost profile --target {target} --space mixconv{named} --blocks{more}{energy}{folder}`"


@dataclass(frozen=True, slots=True)
class NetworkPricing:
    """Costs of networks on one target.

    Attributes:
        cost_of: networks -> costs, NaN where a part has none.
        target: the target's id.
        identity: a digest of the rows that they are made of.
    """

    cost_of: CostOf
    target: str
    identity: str


def supernet_costs(
    space: MixConv, pricing: Pricing, target: str, num_classes: int | None = None
) -> tuple[BlockCosts, dict[str, Any]]:
    """What every choice of every block costs on a target, and how far the sums are from measured networks.

    Args:
        space: the supernet's.
        pricing: where the costs come from.
        target: a target or device id; for "hwnasbench" one of its devices.
        num_classes: size of the classifier where it is not the supernet's.

    Raises:
        ConfigError: where blocks have no cost: they are named, with the command that measures them.
    """
    from search.s3nas.costs.blockcosts import block_costs_of_model

    if pricing.source == "hwnasbench":
        return _public(space, target), {}
    table, target_id = _table(pricing, target)
    if pricing.source == "model":
        return block_costs_of_model(space, fit_model(table, target_id), num_classes), {}
    costs = _network_costs(table, target_id, pricing, space.network(space.maximal))
    facts = _facts(costs, table, space.network(space.maximal))
    return _summed(space, costs, pricing, num_classes), facts


def network_costs(network: Network, pricing: Pricing, target: str) -> NetworkPricing:
    """What any network costs on a target, such as scaled ones of this one.

    Raises:
        ConfigError: where no block was measured on the target, or the source knows blocks of one supernet only.
    """
    from search.s3nas.costs.models import ModelCosts

    if pricing.source == "hwnasbench":
        raise ConfigError("the public table knows blocks of fbnet32 only; networks of other sizes need --costs table")
    table, target_id = _table(pricing, target)
    if pricing.source == "model":
        return NetworkPricing(ModelCosts(fit_model(table, target_id)), target_id, _digest(table, target_id, "kernel"))
    costs = _network_costs(table, target_id, pricing, network)
    return NetworkPricing(costs, target_id, _digest(table, target_id, "block"))


def _digest(table: CostTable, target_id: str, kind: RowKind) -> str:
    """Stands for the rows of parts that costs are made of: measuring another whole network does not change it."""
    rows = sorted((row.key, row.latency_ns, row.energy_mj) for row in table.rows(target_id=target_id, kind=kind))
    return digest(kind, [[key, repr(ns), repr(mj)] for key, ns, mj in rows])[:32]


# -------------------------------------------------------------------- measured blocks


def _table(pricing: Pricing, target: str) -> tuple[CostTable, str]:
    """The table, and the target's id in it.

    Raises:
        ConfigError: where nothing was measured there; it says by which command it is.
    """
    try:
        table = load_table(pricing.results)
        return table, resolve_target(table, target)
    except (StorageError, UnknownWorkload) as error:
        if isinstance(error, StorageError) and any(pricing.results.glob("*/*/run.json")):
            raise
        raise ConfigError(
            f"nothing was measured on {target} in {pricing.results}; measure with {pricing.command(target)}"
        ) from None


def _network_costs(table: CostTable, target_id: str, pricing: Pricing, like: Network) -> NetworkCosts:
    """Costs of networks from block rows, fitted to the whole networks that were measured beside them.

    Raises:
        ConfigError: where there is no such row.
    """
    from predictors.blocks import BlockRegressor
    from search.s3nas.costs.networks import MIN_NETWORKS, NetworkCosts

    rows = _block_rows(table, target_id, pricing)
    learn = [key for key, cost in rows.items() if cost > 0.0 and key in table.workloads]
    try:
        regressor = BlockRegressor().fit([table.workloads[key] for key in learn], [rows[key] for key in learn])
    except ConfigError:  # too few rows to learn from: what was not measured stays missing
        regressor = None
    costs = NetworkCosts(rows, regressor, unit=pricing.unit, target=target_id)
    networks, measured = measured_networks(table, target_id, like, "fit", pricing.unit)
    if len(networks) < MIN_NETWORKS:
        return costs
    try:
        return costs.calibrated(networks, measured)
    except ConfigError:  # parts missing, or no slope to be seen: the sums stay as they are, and the facts say so
        return costs


def _block_rows(table: CostTable, target_id: str, pricing: Pricing) -> dict[str, float]:
    found = {row.key: _cost(row, pricing.unit) for row in table.rows(target_id=target_id, kind="block")}
    rows = {key: max(cost, 0.0) for key, cost in found.items() if math.isfinite(cost)}
    if not rows:
        what = "energy of blocks" if pricing.unit == "mj" else "block"
        raise ConfigError(
            f"no {what} was measured on {target_id} in {pricing.results}; measure with {pricing.command(target_id)}"
            + (" on a board with a power sensor" if pricing.unit == "mj" else "")
        )
    return rows


def _cost(row: Row, unit: CostUnit) -> float:
    if unit == "mj":
        return math.nan if row.energy_mj is None else row.energy_mj
    return row.latency_ns / 1e6


def checked_networks(pricing: Pricing, target: str, like: Network) -> list[tuple[Network, float]]:
    """The held-out networks of a target's table and what they cost then, in ms; see `measured_networks`.

    Raises:
        ConfigError: where nothing was measured on the target.
    """
    table, target_id = _table(pricing, target)
    return list(zip(*measured_networks(table, target_id, like, "held_out"), strict=True))


def measured_networks(
    table: CostTable, target_id: str, like: Network, split: str, unit: CostUnit = "ms"
) -> tuple[list[Network], list[float]]:
    """The measured whole networks of a split that differ from a network in blocks, classes, activation and resolution
    only; and their costs.

    They are known by their label, and each is held against its key: a label alone proves nothing.
    """
    from search.spaces.network import network_of_text, network_workload

    networks, costs = [], []
    for row in table.rows(target_id=target_id, kind="model"):
        work, cost = table.workloads.get(row.key), _cost(row, unit)
        if work is None or row.split != split or not math.isfinite(cost) or cost <= 0.0:
            continue
        try:
            found = network_of_text(work.name, replace(like, num_classes=work.shape(work.outputs[0])[-1]))
        except ConfigError:
            continue
        if network_workload(found).key == row.key:
            networks.append(found)
            costs.append(cost)
    return networks, costs


def _facts(costs: NetworkCosts, table: CostTable, like: Network) -> dict[str, Any]:
    """How sums of blocks became networks, and what that is worth on networks that were held out."""
    import numpy as np

    from predictors.evaluate import score

    facts: dict[str, Any] = {"calibration": {k: finite(v) for k, v in asdict(costs.calibration).items()}}
    networks, measured = measured_networks(table, costs.target, like, "held_out", costs.unit)
    if networks:
        found = score(costs(networks), np.array(measured))
        facts["held_out"] = {k: finite(v) for k, v in asdict(found).items()}
    return facts


def _summed(space: MixConv, costs: NetworkCosts, pricing: Pricing, num_classes: int | None) -> BlockCosts:
    """The table of a supernet, every block of it measured; a head of other classes may be estimated."""
    import numpy as np

    from search.s3nas.costs.blockcosts import block_costs

    fixed = {w.key for w in space.fixed_workloads(num_classes)} - {w.key for w in space.fixed_workloads()}

    def price(workloads: Sequence[Workload]) -> NDArray[np.float64]:
        found = np.array([costs.rows.get(w.key, np.nan) for w in workloads], dtype=np.float64)
        other = [i for i, w in enumerate(workloads) if w.key in fixed and np.isnan(found[i])]
        if other and costs.regressor is not None:
            found[other] = costs.regressor.predict([workloads[i] for i in other])
        _refuse_missing([w.name for w, cost in zip(workloads, found, strict=True) if np.isnan(cost)], len(workloads))
        return costs.calibration.scale * found

    def _refuse_missing(missing: Sequence[str], total: int) -> None:
        if missing:
            more = f" and {len(missing) - _NAMED} others" if len(missing) > _NAMED else ""
            raise ConfigError(
                f"{len(missing)} of {total} blocks of {space.supernet.name} have no cost on {costs.target}: "
                f"{'; '.join(missing[:_NAMED])}{more}; measure them with {pricing.command(costs.target)}"
            )

    fitted = costs.calibration.n_networks
    source = f"measured blocks, fitted to {fitted} whole networks" if fitted else "measured blocks, summed"
    return block_costs(
        space, price, costs.target, unit=costs.unit, source=source,
        fixed_extra=costs.calibration.constant, num_classes=num_classes,
    )  # fmt: skip


# -------------------------------------------------------------------- the public table


def _public(space: MixConv, device: str) -> BlockCosts:
    from profiler.tables.formats.hwnasbench import FILE_NAME, read_hwnasbench
    from search.s3nas.costs.imported import imported_costs

    folder = data_folder()
    if folder is None:
        raise ConfigError(f"--costs hwnasbench reads {FILE_NAME} from the folder that EDGECOST_DATA names; set it")
    return imported_costs(read_hwnasbench(folder / FILE_NAME), device, space)
