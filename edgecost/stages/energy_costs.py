"""Energy where latency is the usual cost: its predictor, fitted and saved, and what a command line says of budgets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgecost.stages.costs import fit_model, resolve_target
from profiler.errors import ConfigError
from profiler.tables.row import SIMULATED

if TYPE_CHECKING:
    from predictors.base import CostModel
    from predictors.energy import EnergyModel
    from profiler.tables.table import CostTable

__all__ = [
    "COSTS",
    "UNIT_TEXTS",
    "Unit",
    "budgets_of",
    "fit_and_save_energy",
    "fit_cost",
    "simulated_words",
    "unit_of",
]

Unit = Literal["ms", "mj"]

COSTS: dict[str, Unit] = {"latency": "ms", "energy": "mj"}
"""The costs that there are budgets and predictors of, and what each is counted in."""

UNIT_TEXTS: dict[Unit, str] = {"ms": "ms", "mj": "mJ"}


def unit_of(cost: str) -> Unit:
    """The unit of what `--cost` names.

    Raises:
        ConfigError: it names none.
    """
    if cost not in COSTS:
        raise ConfigError(f"--cost is {' or '.join(COSTS)}, not {cost!r}")
    return COSTS[cost]


def budgets_of(cost: str, in_ms: Sequence[float], in_mj: Sequence[float]) -> tuple[tuple[float, ...], Unit]:
    """The budgets that were given, one or more, and their unit.

    Raises:
        ConfigError: there is none, or one in another unit than the cost's.
    """
    unit = unit_of(cost)
    values, others = (in_ms, in_mj) if unit == "ms" else (in_mj, in_ms)
    if not values or others:
        raise ConfigError(f"a budget of {cost} is given by --budget-{unit}" + (" alone" if others else ""))
    return tuple(values), unit


def simulated_words(table: CostTable, target_id: str) -> str:
    """What a sentence about a target ends with where no board stood behind its rows; else ""."""
    simulated = any(row.emulation == SIMULATED for row in table.rows(target_id))
    return f" ({SIMULATED}: no figure here is one of any hardware)" if simulated else ""


def fit_cost(table: CostTable, target_id: str, unit: Unit) -> CostModel | EnergyModel:
    """The network-level predictor of a target's latency or energy.

    Raises:
        UnknownWorkload, ConfigError: as of `EnergyModel.fit`.
    """
    if unit == "ms":
        return fit_model(table, target_id)
    from predictors.energy import EnergyModel

    return EnergyModel().fit(table, target_id)


def fit_and_save_energy(table: CostTable, target: str, results: Path, out: Path | None) -> dict[str, Any]:
    """Fit and write the predictor of energy as JSON; returns what was fitted.

    Raises:
        UnknownWorkload, ConfigError: as of `EnergyModel.fit`.
    """
    from predictors.energy import EnergyModel, energies_of
    from predictors.storage import save_model

    target_id = resolve_target(table, target)
    model = EnergyModel().fit(table, target_id)
    points, scope = energies_of(table, target_id)
    path = out or results / "predictors" / f"{target_id.replace('/', '-')}-energy.json"
    save_model(model, path)
    return {
        "target": target_id,
        "cost": "energy",
        "unit": "mj",
        "scope": scope,
        "kernels": len(points.kernels),
        "models": len(points.models),
        "file": str(path),
        "sentence": f"{target_id}: energy from {len(points.kernels)} kernels and {len(points.models)} networks "
        f"({scope}); saved to {path}{simulated_words(table, target_id)}",
    }
