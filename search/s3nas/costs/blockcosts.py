"""What every choice of every block of a supernet costs on one target: the table that a search's latency term adds up.

[V] T_hat sums the entries of the fixed layers and of the blocks; a skipped block costs nothing. Theirs come from a
cycle-level simulator of an NPU, one a block; ours from measured blocks (`block_costs`), from a cost model
(`block_costs_of_model`), or from arrays of anybody's (`BlockCosts` itself).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from predictors.additive import AdditiveModel
from predictors.base import CostModel
from predictors.chosen import ChosenCutModel
from profiler.errors import ConfigError
from profiler.workloads.graph import Workload
from search.spaces.base import Architecture
from search.spaces.mixconv import MixConv

__all__ = ["UNITS", "BlockCosts", "CostOf", "CostUnit", "block_costs", "block_costs_of_model", "check_budgets"]

CostUnit = Literal["ms", "mj"]
CostOf = Callable[[Sequence[Workload]], NDArray[np.float64]]
"""Workloads -> (n,) costs, NaN where there is none."""

UNITS: dict[CostUnit, str] = {"ms": "ms", "mj": "mJ"}
"""How people write the units: milliseconds and millijoules a run."""

_NAMED = 5
"""So many missing blocks are named; the rest is counted."""

_SIGNIFICANT_BITS = 50


@dataclass(frozen=True)
class BlockCosts:
    """The costs of one target.

    Figures are rounded to a grid of 2^-50 of the dearest network (relative 1e-15), so that a sum of them is exact in
    float64 in any order: what the latency term computes on any machine is the sum of the table, bit for bit.

    Attributes:
        space: name of the search space.
        target: id of the target.
        fixed: what every network has: stem, head, overhead of a run.
        choices: for every superblock (n_choices,), in the order of `Superblock.choices`; a skipped block 0.0.
        unit: "ms" a run, or "mj" (energy as the constrained cost).
        source: where the figures come from, for people.
    """

    space: str
    target: str
    fixed: float
    choices: tuple[NDArray[np.float64], ...]
    unit: CostUnit = "ms"
    source: str = ""

    def __post_init__(self) -> None:
        arrays = tuple(np.asarray(c, dtype=np.float64) for c in self.choices)
        if not math.isfinite(self.fixed) or not all(c.ndim == 1 and len(c) and np.isfinite(c).all() for c in arrays):
            raise ConfigError(
                f"the costs of {self.target} are no table of {self.space}: every block needs a list of finite figures"
            )
        most = abs(self.fixed) + sum(float(np.abs(c).max()) for c in arrays)
        grid = 2.0 ** (math.frexp(most)[1] - _SIGNIFICANT_BITS)
        rounded = tuple(np.round(c / grid) * grid for c in arrays)
        for array in rounded:
            array.setflags(write=False)
        object.__setattr__(self, "fixed", round(self.fixed / grid) * grid)
        object.__setattr__(self, "choices", rounded)

    def cost(self, arch: Architecture) -> float:
        """The sum of an architecture's entries, in `unit`.

        Raises:
            ConfigError: for an architecture of another space.
        """
        return float(self.costs([arch])[0])

    def costs(self, archs: Sequence[Architecture]) -> NDArray[np.float64]:
        """(n,) sums of the entries of architectures, in `unit`.

        Raises:
            ConfigError: for architectures of another space.
        """
        for arch in archs:
            if arch.space != self.space or len(arch.choices) != len(self.choices):
                raise ConfigError(f"an architecture of {arch.space!r} has no cost in the table of {self.space!r}")
        taken = np.array([a.choices for a in archs], dtype=np.int64).reshape(len(archs), len(self.choices))
        total = np.full(len(archs), self.fixed)
        for block, costs in enumerate(self.choices):
            total += costs[taken[:, block]]
        return total

    @property
    def smallest(self) -> float:
        """The cost of the cheapest network of the space."""
        return self.fixed + sum(float(c.min()) for c in self.choices)

    @property
    def largest(self) -> float:
        """The cost of the dearest network of the space."""
        return self.fixed + sum(float(c.max()) for c in self.choices)

    @cached_property
    def identity(self) -> str:
        """32 hex digits that stand for target, unit and all figures."""
        parts = [self.space, self.target, self.unit, self.fixed, [c.tolist() for c in self.choices]]
        return hashlib.sha256(json.dumps(parts, allow_nan=False).encode()).hexdigest()[:32]

    def text(self, value: float) -> str:
        """A cost as people write it: "2.47 ms"."""
        return f"{value:.4g} {UNITS[self.unit]}"


def block_costs(
    space: MixConv,
    cost_of: CostOf,
    target: str,
    *,
    unit: CostUnit = "ms",
    source: str = "",
    fixed_extra: float = 0.0,
    num_classes: int | None = None,
) -> BlockCosts:
    """The table of a space out of the costs of its blocks as Workloads.

    Args:
        space: the supernet's space.
        cost_of: the cost of each of a sequence of Workloads in `unit`, NaN where it is not known.
        target: id of the target.
        unit: of the figures.
        source: where they come from, for people.
        fixed_extra: what a run costs besides its parts, once a network (such as the overhead of a call).
        num_classes: size of the classifier in the head; None: the supernet's.

    Raises:
        ConfigError: where blocks have no cost; it names them and the command that measures them.
    """
    workloads = space.block_workloads(num_classes)
    values = np.asarray(cost_of(workloads), dtype=np.float64)
    if values.shape != (len(workloads),):
        raise ConfigError(f"{len(workloads)} blocks were asked for and costs of shape {values.shape} came")
    missing = [w.name or w.key for w, known in zip(workloads, np.isfinite(values), strict=True) if not known]
    if missing:
        more = f" and {len(missing) - _NAMED} others" if len(missing) > _NAMED else ""
        raise ConfigError(
            f"{len(missing)} of {len(workloads)} blocks of {space.name} have no cost on {target}: "
            f"{'; '.join(missing[:_NAMED])}{more}; measure them with `edgecost profile --target {target} "
            f"--space {space.name} --blocks`"
        )
    by_key = dict(zip((w.key for w in workloads), values.tolist(), strict=True))
    fixed = fixed_extra + math.fsum(by_key[w.key] for w in space.fixed_workloads(num_classes))
    choices = tuple(
        np.array([by_key[space.choice_workload(b, c).key] if kernels else 0.0 for c, kernels in enumerate(sb.choices)])
        for b, sb in enumerate(space.superblocks)
    )
    return BlockCosts(space.name, target, fixed, choices, unit, source)


def block_costs_of_model(space: MixConv, model: CostModel, num_classes: int | None = None) -> BlockCosts:
    """The table that a fitted cost model of latency predicts, block by block.

    Of an `AdditiveModel` the constant of its overhead counts once a network; its scale and its cost of a dispatch
    belong to the blocks. Under a chosen cut it is the usual model within it, since its constant has to be one and the
    same for all blocks. What other models predict for a block is taken as it is: one with a constant counts it in
    every block.

    Raises:
        ConfigError: where the model has no cost for a block, or is not fitted.
    """
    constant_ms = 0.0
    if isinstance(model, ChosenCutModel) and model.fitted:
        model = model.usual_

    def predict(workloads: Sequence[Workload]) -> NDArray[np.float64]:
        return model.predict(workloads) - constant_ms

    if isinstance(model, AdditiveModel) and model.fitted:
        constant_ms = model.overhead_.constant_ms
    return block_costs(
        space,
        predict,
        getattr(model, "target_id_", ""),
        source=f"predicted by the {model.name} model",
        fixed_extra=constant_ms,
        num_classes=num_classes,
    )


def check_budgets(costs: Sequence[BlockCosts], budgets: Sequence[float]) -> None:
    """Refuse budgets that no network meets or every network does, before anything is trained.

    Raises:
        ConfigError: naming the budget and the cheapest and dearest network; also where numbers or targets do not match.
    """
    if not costs or len(costs) != len(budgets):
        raise ConfigError(f"{len(costs)} targets and {len(budgets)} budgets were given: every target needs one budget")
    names = [c.target for c in costs]
    if len({(c.target, c.unit) for c in costs}) < len(costs):
        raise ConfigError(f"a target stands twice in {', '.join(names)}: give each once, with one budget")
    for table, budget in zip(costs, budgets, strict=True):
        if not math.isfinite(budget):
            raise ConfigError(f"the budget on {table.target} is {budget}: give a finite number of {UNITS[table.unit]}")
        bounds = f"networks of {table.space} cost {table.text(table.smallest)} to {table.text(table.largest)}"
        if budget < table.smallest:
            raise ConfigError(f"no network meets {table.text(budget)} on {table.target}: {bounds}; raise the budget")
        if budget > table.largest:
            raise ConfigError(
                f"every network meets {table.text(budget)} on {table.target}, so there is nothing to search: {bounds}; "
                "lower the budget"
            )
