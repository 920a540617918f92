"""Costs of all architectures of a space on one device, whatever they come from: a table, a predictor, several at once.

A `SpaceCosts` is what `evolve` calls a cost function, and an array for searches that look at a whole space. NaN is a
cost that is not known: such an architecture is no candidate. An infinite cost is a device's refusal: it is known to
meet no budget. Neither is ever counted as zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from profiler.tables.formats.hwnasbench_networks import NetworkTable, Quantity
from search.evrsnas.arrays import SpaceArrays, arrays_of
from search.evrsnas.evolution import CostFunction
from search.spaces.base import Architecture, SearchSpace

__all__ = ["SpaceCosts", "costs_by_function", "costs_of_table", "jointly"]

Floats = NDArray[np.float64]
_UNITS: dict[Quantity, str] = {"latency": "ms", "energy": "mJ"}


@dataclass(frozen=True, eq=False)
class SpaceCosts:
    """Psi of every architecture of a space.

    Attributes:
        arrays: the space.
        device: what the costs are of.
        unit: "ms", "mJ", or "of its budget" where several constraints were joined.
        values: (n,) by position; NaN unknown, inf refused.
        source: where they come from, for people.
    """

    arrays: SpaceArrays
    device: str
    unit: str
    values: Floats
    source: str = ""

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.arrays),):
            raise ConfigError(f"{self.device}: {self.values.shape} costs for {len(self.arrays)} architectures")
        if (self.values <= 0).any():
            raise ConfigError(f"{self.device}: a cost of {np.nanmin(self.values):g} {self.unit}; costs are above zero")
        if not np.isfinite(self.values).any():
            raise ConfigError(f"{self.device} has no cost of any architecture of {self.arrays.space.name}")

    def __call__(self, architectures: Sequence[Architecture]) -> Floats:
        """(m,) costs of architectures, in the order given."""
        found: Floats = self.values[self.arrays.positions(architectures)]
        return found

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n,) whether there is a cost."""
        found: NDArray[np.bool_] = np.isfinite(self.values)
        return found

    @property
    def refused(self) -> NDArray[np.bool_]:
        """(n,) whether the device refuses it."""
        found: NDArray[np.bool_] = np.isinf(self.values)
        return found

    @property
    def identity(self) -> str:
        """A digest of the costs."""
        head = f"{self.arrays.space.name} {self.device} {self.unit}".encode()
        return hashlib.sha256(head + self.values.tobytes()).hexdigest()[:32]

    def within(self, budget: float) -> NDArray[np.bool_]:
        """(n,) whether there is a cost and it meets a budget."""
        found: NDArray[np.bool_] = self.known & (self.values <= budget)
        return found

    def check_budget(self, budget: float) -> None:
        """Raise ConfigError where not even the cheapest architecture meets a budget."""
        usable = self.values[self.known & self.arrays.connected]
        if not len(usable):
            raise ConfigError(f"{self.device} has costs of disconnected networks of {self.arrays.space.name} only")
        cheapest = float(usable.min())
        if not budget >= cheapest:
            raise ConfigError(
                f"the budget of {budget:g} {self.unit} lies below the cheapest network of {self.arrays.space.name} on "
                f"{self.device}, {cheapest:.4g} {self.unit}: raise it"
            )

    def quantile(self, share: float) -> float:
        """The cost that a share of the architectures with a known cost does not exceed."""
        return float(np.quantile(self.values[self.known], share))


def costs_of_table(space: SearchSpace, table: NetworkTable, device: str, quantity: Quantity = "latency") -> SpaceCosts:
    """A device's costs from a table of whole networks.

    Raises:
        ConfigError: where the table lacks the device or its costs, or is of another space.
    """
    arrays = arrays_of(space)
    values, refused = table.of(device, quantity)
    try:
        positions = arrays.positions([space.parse(name) for name in table.names])  # type: ignore[attr-defined]
    except (AttributeError, ConfigError) as error:
        raise ConfigError(f"{table.source} is a table of another space than {space.name}: {error}") from None
    placed = np.full(len(arrays), np.nan)
    placed[positions] = np.where(refused, np.inf, values)
    return SpaceCosts(arrays, device, _UNITS[quantity], placed, table.source)


def costs_by_function(
    space: SearchSpace, function: CostFunction, device: str, unit: str = "ms", source: str = ""
) -> SpaceCosts:
    """Costs by any function of architectures, such as a predictor or a fitted table of our own; called once."""
    arrays = arrays_of(space)
    values = np.asarray(function([space.at(i) for i in range(len(arrays))]), dtype=np.float64)
    return SpaceCosts(arrays, device, unit, values, source)


def jointly(constraints: Sequence[tuple[SpaceCosts, float]]) -> SpaceCosts:
    """Several budgets as one: the cost that takes the largest share of its budget; all are met up to a budget of 1.

    What any of them does not know is unknown, and what any of them refuses is refused. This form is ours.

    Args:
        constraints: costs and their budgets, such as the latency and the energy of a device, or several devices.

    Raises:
        ConfigError: for none, different spaces, or a budget that nothing meets.
    """
    if len({costs.arrays.space.name for costs, _ in constraints}) != 1:
        raise ConfigError("constraints to be met together are at least one, and all of one space")
    for costs, budget in constraints:
        costs.check_budget(budget)
    shares = np.stack([costs.values / budget for costs, budget in constraints])
    worst = np.where(np.isinf(shares).any(axis=0), np.inf, shares.max(axis=0))
    first = constraints[0][0]
    device = " and ".join(f"{c.device} {b:g} {c.unit}" for c, b in constraints)
    return SpaceCosts(first.arrays, device, "of its budget", worst, first.source)
