"""Energy where latency is the usual cost: its predictor, fitted and saved, and what a command line says of budgets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import SIMULATED_WORDS, fit_model, is_simulated, predictor_file, resolve_target
from profiler.errors import ConfigError
from search.units import TEXTS as UNIT_TEXTS
from search.units import CostUnit as Unit

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

COSTS: dict[str, Unit] = {"latency": "ms", "energy": "mj"}
"""The costs that there are budgets and predictors of, and what each is counted in."""


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
    return SIMULATED_WORDS if is_simulated(table, target_id) else ""


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
        UnknownWorkload, ConfigError: as of `EnergyModel.fit`; ConfigError where nobody says where it goes.
        StorageError: the file cannot be written.
    """
    from predictors.energy import EnergyModel, energies_of
    from predictors.storage import save_model

    target_id = resolve_target(table, target)
    path = predictor_file(target_id, results, out, "-energy")
    model = EnergyModel().fit(table, target_id)
    points, scope = energies_of(table, target_id)
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
