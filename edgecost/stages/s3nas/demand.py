"""What a network must not exceed: one budget on each of one or several targets, predicted and measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.measuring import measure_workload
from edgecost.stages.s3nas.costs import NetworkPricing, Pricing, network_costs
from profiler.errors import ConfigError, MeasurementError
from profiler.fleet.targets import Device

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from profiler.measure.progress import Progress
    from profiler.tables.row import Row
    from search.s3nas.costs.blockcosts import CostUnit
    from search.spaces.network import Network

__all__ = ["Budgets", "Demand", "Gauge", "Measure", "measure_on"]

Measure = Callable[[str, "Network"], "Row"]
"""(target id, network) -> the row of its measurement on that target."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """Targets as a user names them, and a budget for each, in ms or mJ a run.

    Raises:
        ConfigError: on construction, where they do not match or a budget is no positive number.
    """

    targets: tuple[str, ...]
    values: tuple[float, ...]
    unit: CostUnit = "ms"

    def __post_init__(self) -> None:
        option = "--budget-ms" if self.unit == "ms" else "--budget-mj"
        if not self.targets or len(self.targets) != len(self.values):
            raise ConfigError(
                f"{len(self.targets)} targets and {len(self.values)} budgets were given: every --target needs one "
                f"{option}, in the same order"
            )
        if len(set(self.targets)) < len(self.targets):
            raise ConfigError(f"a target stands twice in {', '.join(self.targets)}; name each once, with one {option}")
        for value in self.values:
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{option} must be a positive number, not {value:g}")

    def times(self, share: float) -> Budgets:
        """A share of every budget."""
        return Budgets(self.targets, tuple(share * value for value in self.values), self.unit)

    @property
    def text(self) -> str:
        """As people write them: "2.5 ms on pixel"."""
        unit = "ms" if self.unit == "ms" else "mJ"
        return " and ".join(f"{v:.4g} {unit} on {t}" for t, v in zip(self.targets, self.values, strict=True))


@dataclass(frozen=True)
class Demand:
    """Budgets with prices.

    With one target, costs are in its unit; with several they are shares of the budgets, of which the largest counts, so
    that a network which costs at most 1 meets all of them.

    Attributes:
        pricings, budgets: one a target, in one order.
    """

    pricings: tuple[NetworkPricing, ...]
    budgets: Budgets

    @classmethod
    def of(cls, network: Network, pricing: Pricing, budgets: Budgets) -> Demand:
        """The prices of all targets.

        Raises:
            ConfigError: where one has none.
        """
        return cls(tuple(network_costs(network, pricing, target) for target in budgets.targets), budgets)

    @property
    def budget(self) -> float:
        """What `costs` and measurements must not exceed."""
        return self.budgets.values[0] if len(self.pricings) == 1 else 1.0

    @property
    def unit(self) -> str:
        """Of `costs`, for people."""
        if len(self.pricings) > 1:
            return "times the tightest budget"
        return "ms" if self.budgets.unit == "ms" else "mJ"

    @property
    def identity(self) -> list[list[Any]]:
        """Targets, budgets and what the prices are made of, as JSON holds them."""
        each = zip(self.pricings, self.budgets.values, strict=True)
        return [[p.target, p.identity, value, self.budgets.unit] for p, value in each]

    def costs(self, networks: Sequence[Network]) -> NDArray[np.float64]:
        """(n,) predicted; NaN where a part of a network has no cost."""
        import numpy as np

        found = np.stack([p.cost_of(networks) for p in self.pricings])
        if len(found) > 1:
            found = found / np.array(self.budgets.values)[:, None]
        dearest: NDArray[np.float64] = found.max(axis=0)
        return dearest

    def combined(self, each: Sequence[float]) -> float:
        """One figure of costs on every target, as `costs` gives it."""
        if len(each) == 1:
            return each[0]
        return max(cost / value for cost, value in zip(each, self.budgets.values, strict=True))

    def rows(self, network: Network, gauge: Gauge | None = None) -> list[dict[str, Any]]:
        """A network on every target as JSON files hold it; measured figures are null where nothing was measured."""
        found = []
        for pricing, budget in zip(self.pricings, self.budgets.values, strict=True):
            row: dict[str, Any] = {
                "target": pricing.target,
                "unit": self.budgets.unit,
                "budget": budget,
                "predicted": float(pricing.cost_of([network])[0]),
                "measured": None,
            }
            if gauge is not None:
                measured = gauge.row(pricing.target, network)
                row |= {"measured": gauge.cost(pricing.target, network), "issues": list(measured.issues)}
                if self.budgets.unit == "ms":
                    row |= {"low": measured.low_ns / 1e6, "high": measured.high_ns / 1e6}
            found.append(row)
        return found


@dataclass
class Gauge:
    """Measures networks on the targets of a demand, each once.

    Attributes:
        demand: whose targets.
        measure: measures one network on one target.
    """

    demand: Demand
    measure: Measure
    _known: dict[tuple[str, str], Row] = field(default_factory=dict)

    def __call__(self, network: Network) -> float:
        """What `Demand.costs` predicts, measured.

        Raises:
            DeviceError, MeasurementError: where a board or a measurement fails.
        """
        return self.demand.combined([self.cost(p.target, network) for p in self.demand.pricings])

    def cost(self, target: str, network: Network) -> float:
        """The cost on one target, in the unit of the budgets."""
        return _cost(self.row(target, network), self.demand.budgets.unit)

    def row(self, target: str, network: Network) -> Row:
        """The measurement on one target."""
        from search.spaces.network import network_workload

        key = (target, network_workload(network).key)
        if key not in self._known:
            self._known[key] = self.measure(target, network)
        return self._known[key]


def measure_on(
    devices: Sequence[Device],
    effort: str,
    results: Path,
    progress: Progress | None = None,
    purpose: str = "s3nas",
    energy: bool = False,
) -> Measure:
    """Measuring on boards, for a budget of energy with energies."""
    from search.spaces.network import network_workload

    def measure(target: str, network: Network) -> Row:
        work = network_workload(network)
        return measure_workload(devices, target, work, effort, results, progress, purpose, energy)

    return measure


def _cost(row: Row, unit: CostUnit) -> float:
    if unit == "ms":
        return row.latency_ns / 1e6
    if row.energy_mj is None:
        codes = ", ".join(code for code in row.issues if code.startswith(("energy_", "sensor_")))
        why = codes or f"{row.target_id} has no power sensor that could be read"
        raise MeasurementError(f"the energy of a network on {row.target_id} could not be measured: {why}")
    return row.energy_mj
