"""Is the winner any good: it, a random architecture of the same budget and the reference, trained alike, side by side.

Brief training on little data says who learns faster under these conditions, not what accuracy they reach when
trained to the end; every answer carries the number of steps and the note on the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from profiler.errors import ConfigError
from profiler.workloads.graph import Workload
from search.data import ImageSet
from search.evrsnas.evolution import CostFunction
from search.evrsnas.records import null_if_not_finite
from search.evrsnas.reference import resnet20
from search.spaces.base import Architecture, SearchSpace
from search.training import train_classifier

__all__ = ["Finalist", "random_feasible", "train_finalists"]

_DRAWS = 500


@dataclass(frozen=True, slots=True)
class Finalist:
    """One network trained for comparison.

    Attributes:
        role: "winner", "random" (a random architecture within the budget) or "reference" (ResNet-20).
        name: how people write it.
        accuracy: the share of test images classified correctly; NaN where the training diverged.
        macs: multiply-accumulates of the network that was trained.
        cost_ms: Psi; NaN for the reference, which is no member of the space.
    """

    role: str
    name: str
    accuracy: float
    macs: int
    cost_ms: float

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form, in the units of its names."""
        return {
            "role": self.role,
            "name": self.name,
            "accuracy_pct": null_if_not_finite(100 * self.accuracy),
            "macs_m": self.macs / 1e6,
            "predicted_ms": null_if_not_finite(self.cost_ms),
        }


def random_feasible(
    space: SearchSpace,
    cost_fn: CostFunction,
    budget_ms: float | None,
    rng: np.random.Generator,
    other_than: Architecture | None = None,
) -> tuple[Architecture, float] | None:
    """A uniformly random architecture within the budget whose output depends on its input, and its cost in ms.

    Args:
        space, cost_fn, rng: where it is drawn from, what it costs, and the randomness.
        budget_ms: the most it may cost; None for any known cost.
        other_than: an architecture that it must not be, nor an isomorph of.

    Returns:
        None where 500 draws find none.
    """
    avoid = None if other_than is None else space.canonical(other_than)
    drawn = [space.sample(rng) for _ in range(_DRAWS)]
    for arch, cost_ms in zip(drawn, cost_fn(drawn).tolist(), strict=True):
        within = np.isfinite(cost_ms) and (budget_ms is None or cost_ms <= budget_ms)
        if within and space.connected(arch) and space.canonical(arch) != avoid:
            return arch, float(cost_ms)
    return None


def train_finalists(
    space: SearchSpace,
    winner: Architecture,
    cost_fn: CostFunction,
    budget_ms: float | None,
    images: ImageSet,
    steps: int,
    seed: int,
    *,
    macro: dict[str, int] | None = None,
    threads: int | None = 1,
    advance: Callable[[str], None] = lambda label: None,
) -> tuple[Finalist, ...]:
    """Train the winner, a random architecture within the budget (where one is found) and ResNet-20, all alike.

    Args:
        space, winner, cost_fn, budget_ms: the search's.
        images: the task.
        steps: batches of 64 for each of the networks.
        seed: of weights, batches and the random architecture.
        macro: macro parameters of the trained networks other than the space's defaults; the number of classes is
            that of the images.
        threads: how many torch may use; see `search.threads`.
        advance: is told of every network trained.

    Raises:
        ConfigError: where the winner has no cost.
    """
    from profiler.workloads.builders.torch import build_module

    sizes = {**(macro or {}), "num_classes": images.num_classes}
    winner_ms = float(cost_fn([winner])[0])
    if not np.isfinite(winner_ms):
        raise ConfigError(f"{space.describe(winner)} has no cost on this target: check the cost table")
    runners: list[tuple[str, str, Workload, float]] = [
        ("winner", space.describe(winner), space.workload(winner, **sizes), winner_ms)
    ]
    drawn = random_feasible(space, cost_fn, budget_ms, np.random.default_rng([seed, 1]), winner)
    if drawn is not None:
        runners.append(("random", space.describe(drawn[0]), space.workload(drawn[0], **sizes), drawn[1]))
    image_size = runners[0][2].shapes[runners[0][2].inputs[0]][0][-1]
    runners.append(("reference", "ResNet-20", resnet20(images.num_classes, image_size)[0], float("nan")))
    finalists: list[Finalist] = []
    for role, name, workload, cost_ms in runners:
        reached = train_classifier(build_module(workload), images, steps, seed, image_size=image_size, threads=threads)
        finalists.append(Finalist(role, name, reached, workload.macs, cost_ms))
        advance(f"{role}: " + ("diverged" if math.isnan(reached) else f"{100 * reached:.1f} %"))
    return tuple(finalists)
