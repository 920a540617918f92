"""Energy by the same models as latency: what kernels draw inside a network, added up, with an overhead a run.

    model = EnergyModel()                            # by default an AdditiveModel
    model.fit(table, "orin/onnxruntime-fp32-t1")     # rows that have an energy, all of one scope
    model.predict(workloads)                         # (n,) float64 in mJ, net of idle power; NaN where a part has none
    model.estimate(workload)                         # one EnergyPrediction
    save_model(model, path); load_energy_model(path)  # predictors.storage

A model of cost adds parts up and fits an overhead, and none of that asks what the cost is. Here it is handed
millijoules where it would be handed milliseconds, and what it answers is named anew: nothing of it leaves this module
under a name in ms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from predictors.measured import Measurements
from predictors.wrapped import WrappedModel
from profiler.errors import ConfigError, UnknownWorkload
from profiler.workloads.graph import Workload

if TYPE_CHECKING:
    from profiler.tables.row import Row, RowKind
    from profiler.tables.table import CostTable

__all__ = ["EnergyModel", "EnergyPrediction", "energies_of"]

COVERAGE = 2.0
"""Of the uncertainties of a table's energies, in standard errors."""

UNKNOWN_SHARE = 0.1
"""Standard error, relative, of an energy of which the table does not say how uncertain it is."""


@dataclass(frozen=True, slots=True)
class EnergyPrediction:
    """An energy a run, the board's idle power taken off, with its interval.

    Attributes:
        energy_mj: expected; where `missing` is not empty a lower bound, as of `Prediction`.
        low_mj, high_mj: the interval at `level`.
        scope: what the figure includes; never to be compared with one of another scope.
        missing: labels of the parts without any energy.
        level: nominal coverage of the interval.
    """

    energy_mj: float
    low_mj: float
    high_mj: float
    scope: str
    missing: tuple[str, ...]
    level: float

    @property
    def complete(self) -> bool:
        """Whether every part has an energy."""
        return not self.missing


class EnergyModel(WrappedModel):
    """A model of the energy of workloads on one target; `predict` gives mJ a run, (n,), NaN where a part has none.

    Args:
        model: what adds the energies up; None for an `AdditiveModel`.

    Attributes:
        scope_: of the energies that it was fitted on; "" where it was fitted on networks that say none.
    """

    name = "energy"
    scope_: str = ""

    def _read(self, table: CostTable, target_id: str) -> Measurements:
        """The kernels and the models of split "fit" that have an energy.

        Raises:
            UnknownWorkload: the table lacks the target, or energies.
            ConfigError: its energies are of several scopes.
        """
        energies, self.scope_ = energies_of(table, target_id)
        return energies

    def state(self) -> dict[str, Any]:
        """See `Predictor`."""
        return {**super().state(), "scope": self.scope_}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Predictor`."""
        super().restore(state)
        if not isinstance(state["scope"], str):
            raise ConfigError(f"not a saved model of energy: its scope is {state['scope']!r}")
        self.scope_ = state["scope"]

    def estimate(self, workload: Workload) -> EnergyPrediction:
        """One workload's energy with its interval and what is missing. ConfigError before `fit`."""
        self._check_fitted()
        found = self._inner.estimate(workload)
        return EnergyPrediction(
            energy_mj=found.latency_ms,
            low_mj=found.low_ms,
            high_mj=found.high_ms,
            scope=self.scope_,
            missing=found.missing,
            level=found.level,
        )


def energies_of(table: CostTable, target_id: str) -> tuple[Measurements, str]:
    """One target's energies as a model of cost takes them, in mJ where it says ms, and their scope.

    Raises:
        UnknownWorkload: there is no energy of any kernel of the target.
        ConfigError: energies of several scopes.
    """
    whole = Measurements.from_table(table, target_id)
    of_kernels, of_models = _rows(table, target_id, "kernel"), _rows(table, target_id, "model")
    if not of_kernels:
        raise UnknownWorkload(
            f"the table has no energy of any kernel on {target_id}; measure with `edgecost profile --energy` on a "
            "board with a power sensor"
        )
    scopes = sorted({row.energy_scope for found in (of_kernels, of_models) for row in found.values()})
    if len(scopes) > 1:
        raise ConfigError(
            f"the energies of {target_id} are of several scopes ({', '.join(scopes)}), which are never put together; "
            "choose one with `energy_scope`"
        )
    kernels, models = [], []
    for kernel in (kernel for kernel in whole.kernels if kernel.key in of_kernels):
        energy_mj, sd_mj = _energy(of_kernels[kernel.key])
        # a slope below zero is below what could be resolved, as of latencies
        sd_mj = max(sd_mj, -energy_mj)
        kernels.append(replace(kernel, latency_ms=max(energy_mj, 0.0), sd_ms=sd_mj, isolated_ms=None))
    for model in (model for model in whole.models if model.key in of_models):
        energy_mj, sd_mj = _energy(of_models[model.key])
        if energy_mj > 0:
            models.append(replace(model, latency_ms=energy_mj, sd_ms=sd_mj))
    return replace(whole, kernels=tuple(kernels), models=tuple(models)), scopes[0]


def _rows(table: CostTable, target_id: str, kind: RowKind) -> dict[str, Row]:
    return {row.key: row for row in table.rows(target_id, kind) if row.energy_mj is not None}


def _energy(row: Row) -> tuple[float, float]:
    """A row's energy in mJ and its standard error."""
    energy_mj = row.energy_mj or 0.0
    if row.energy_u_mj is None:
        return energy_mj, UNKNOWN_SHARE * abs(energy_mj)
    return energy_mj, row.energy_u_mj / COVERAGE
