"""The largest phi whose network fits a budget, before it is measured and after.

[I] The paper bisects and then walks the plateaus of the roundings. Ours enumerates them: the scaled network changes at
known phi only, so that the answer is exact whatever the costs do in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.s3nas.scaling import PHI_HIGH, PHI_LOW, Plateau, Scaling, last_phi, plateaus
from search.spaces.network import Network

__all__ = ["Correction", "CostOf", "Measured", "Post", "Scaled", "correct_phi", "solve_budget"]

CostOf = Callable[[Sequence[Network]], NDArray[np.float64]]
"""Networks -> their costs (n,), NaN where unknown; one call prices many."""

Post = Callable[[Network], Network]
"""The post-processing to come, such as `with_se`."""

_PROBES = 16
"""Networks priced first, evenly spread, so that only those above the largest that fits need pricing."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """A network scaled to a budget.

    Attributes:
        phi: the largest that fits.
        network: the scaled network, before the post-processing.
        final: the same with the post-processing to come: what was priced and is to be trained.
        cost, budget: of `final`, in the unit of the costs.
        plateau: from where to where phi may go without changing the network.
        n_networks, n_priced: distinct networks between the limits of phi, and how many had to be priced.
    """

    phi: float
    network: Network
    final: Network
    cost: float
    budget: float
    plateau: tuple[float, float]
    n_networks: int
    n_priced: int


def solve_budget(
    network: Network,
    cost_of: CostOf,
    budget: float,
    scaling: Scaling | None = None,
    post: Post | None = None,
    low: float = PHI_LOW,
    high: float = PHI_HIGH,
    unit: str = "ms",
) -> Scaled:
    """The largest phi whose network, with the post-processing to come, fits a budget [I].

    Costs need not rise with phi: every distinct network above the answer has been priced and does not fit. All
    that are priced are so in two calls, of a few spread evenly and of those above the largest of these that fits.

    Args:
        network: the one to scale.
        cost_of: prices networks, such as `NetworkCosts`.
        budget: the most that the final network may cost, in the unit of the costs.
        scaling: the coefficients.
        post: what is added to the scaled network before it is priced.
        low, high: limits of phi.
        unit: of costs and budget, for errors.

    Raises:
        ConfigError: where no network between the limits fits, where the largest still leaves room, or where a cost
            is unknown that decides.
    """
    if not (math.isfinite(budget) and budget > 0):
        raise ConfigError(f"a budget must be a positive number of {unit}, not {budget}")
    steps = plateaus(network, scaling, low, high)
    finals = [post(step.network) if post else step.network for step in steps]
    costs, n_priced = _price_from_the_top(finals, cost_of, budget)
    fitting = np.flatnonzero(costs <= budget)
    best = int(fitting[-1]) if len(fitting) else -1
    _check_known(steps, costs, best, unit)
    if best < 0:
        cheapest = int(np.argmin(costs))
        raise ConfigError(
            f"no network fits {budget:g} {unit}: the cheapest between phi {low:g} and {high:g} costs "
            f"{costs[cheapest]:.4g} {unit} (phi {steps[cheapest].low:.3g}); raise the budget or lower the limit of phi"
        )
    if best == len(steps) - 1:
        raise ConfigError(
            f"the largest network, at the limit phi {high:g}, costs {costs[best]:.4g} {unit} and leaves room in the "
            f"budget of {budget:g} {unit}; raise the limit of phi or lower the budget"
        )
    chosen = steps[best]
    return Scaled(
        last_phi(network, chosen, scaling), chosen.network, finals[best], float(costs[best]), budget,
        (chosen.low, chosen.high), len(steps), n_priced,
    )  # fmt: skip


def _price_from_the_top(finals: Sequence[Network], cost_of: CostOf, budget: float) -> tuple[NDArray[np.float64], int]:
    """Costs (n,) of all networks above the largest of the probes that fits; infinite where none was asked for."""
    costs = np.full(len(finals), math.inf)
    probes = np.unique(np.linspace(0, len(finals) - 1, min(_PROBES, len(finals))).round().astype(np.int64))
    costs[probes] = cost_of([finals[i] for i in probes])
    fitting = probes[costs[probes] <= budget]
    first = int(fitting[-1]) + 1 if len(fitting) else 0
    rest = np.setdiff1d(np.arange(first, len(finals)), probes)
    if len(rest):
        costs[rest] = cost_of([finals[i] for i in rest])
    return costs, len(probes) + len(rest)


def _check_known(steps: Sequence[Plateau], costs: NDArray[np.float64], best: int, unit: str) -> None:
    """A network above the answer whose cost is unknown might be the answer."""
    unknown = best + 1 + np.flatnonzero(np.isnan(costs[best + 1 :]))
    if len(unknown):
        raise ConfigError(
            f"the cost in {unit} of {len(unknown)} networks between phi {steps[unknown[0]].low:.3g} and "
            f"{steps[unknown[-1]].high:.3g} is not known, such as {steps[unknown[0]].network.text}; measure their "
            f"blocks, or let a regressor price what was not measured"
        )


# ---------------------------------------------------------------- after measuring

LEAST_STEP = 0.5
"""A round asks for no less than this share of what the last network was predicted to cost: predictions are worst where
they reach farthest beyond a table, so that how far one was off says little of networks half its size."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A scaled network measured on the target.

    Attributes:
        scaled: the network; its `budget` is the one that its prediction had to fit.
        measured: what its final network cost, in the unit of the costs.
    """

    scaled: Scaled
    measured: float

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.scaled.cost / self.measured


@dataclass(frozen=True, slots=True)
class Correction:
    """What came of correcting phi by measurements.

    Attributes:
        budget: what the measured cost must not exceed.
        best: the measured network that fits with the largest phi; where none fits, the one that misses by least.
        rounds: all that were measured, in order.
    """

    budget: float
    best: Measured
    rounds: tuple[Measured, ...]

    @property
    def fits(self) -> bool:
        """Whether the best fits by its measurement."""
        return self.best.measured <= self.budget


def correct_phi(
    network: Network,
    cost_of: CostOf,
    measure: Callable[[Network], float],
    budget: float,
    scaling: Scaling | None = None,
    post: Post | None = None,
    *,
    tolerance: float = 0.03,
    rounds: int = 3,
    low: float = PHI_LOW,
    high: float = PHI_HIGH,
    unit: str = "ms",
) -> Correction:
    """`solve_budget`, measured, and solved again for budget x predicted / measured where the two disagree (ours).

    It ends when the measured cost fits and lies within the tolerance of the budget, when the next network is one that
    was measured already (networks grow in jumps, which may be wider than the tolerance), when no network is left for
    the corrected budget, or after the given rounds.

    Args:
        measure: a final network -> its measured cost, in the unit of the costs.
        tolerance: relative.
        rounds: most networks to measure.
        network, cost_of, budget, scaling, post, low, high, unit: as of `solve_budget`.

    Raises:
        ConfigError: as `solve_budget`, unless a network was measured before; for a measurement that is no positive
            number.
    """
    if rounds < 1 or not 0.0 <= tolerance < 1.0:
        raise ConfigError(f"one round at least and a tolerance from 0 to below 1 are needed, not {rounds}, {tolerance}")
    done: list[Measured] = []
    wanted = budget
    while len(done) < rounds:
        try:
            scaled = solve_budget(network, cost_of, wanted, scaling, post, low, high, unit)
        except ConfigError:
            if done:
                break
            raise
        if any(found.scaled.final == scaled.final for found in done):
            break
        done.append(Measured(scaled, _positive(measure(scaled.final), scaled.phi, unit)))
        if (1.0 - tolerance) * budget <= done[-1].measured <= budget:
            break
        wanted = max(budget * done[-1].ratio, LEAST_STEP * scaled.cost)
    return Correction(budget, _best(done, budget), tuple(done))


def _best(done: Sequence[Measured], budget: float) -> Measured:
    fitting = [found for found in done if found.measured <= budget]
    return max(fitting, key=lambda f: f.scaled.phi) if fitting else min(done, key=lambda f: f.measured)


def _positive(cost: float, phi: float, unit: str) -> float:
    if not (math.isfinite(cost) and cost > 0):
        raise ConfigError(f"measuring the network of phi {phi:.4g} gave {cost} {unit}; see its record on the target")
    return cost
