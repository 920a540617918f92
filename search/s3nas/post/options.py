"""The options of post-processing: which activation, and how many blocks keep squeeze-and-excitation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.s3nas.budget import CostOf
from search.s3nas.post.gates import lowest
from search.s3nas.post.transforms import remove_se, with_activation, with_se
from search.spaces.network import Activation, Network, network_workload, without_se

__all__ = ["OPTIONS", "Option", "OptionCost", "all_options", "option_costs"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        activation: everywhere but inside squeeze-and-excitation.
        removed: the share of blocks without squeeze-and-excitation, from 0 (all blocks have it) to 1 (none); between
            them it is removed from the blocks whose gates vary least.

    Raises:
        ConfigError: on construction, for a share outside 0 to 1.
    """

    activation: Activation = "relu"
    removed: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.removed <= 1.0:
            raise ConfigError(f"the share of blocks that lose squeeze-and-excitation is 0 to 1, not {self.removed}")

    @property
    def name(self) -> str:
        """Such as "plain", "hswish", "se", "se -50% + hswish"."""
        se = "" if self.removed == 1.0 else "se" if self.removed == 0.0 else f"se -{100 * self.removed:g}%"
        return " + ".join(part for part in (se, "hswish" if self.activation == "hswish" else "") if part) or "plain"

    @property
    def pruned(self) -> bool:
        """Whether scores of the gates decide which blocks keep squeeze-and-excitation."""
        return 0.0 < self.removed < 1.0

    @property
    def plainness(self) -> tuple[float, bool]:
        """The plainer option has the larger: fewer gates first, then ReLU before h-swish."""
        return self.removed, self.activation == "relu"

    def applied(self, network: Network, scores: NDArray[np.float64] | None = None) -> Network:
        """The network with this option and nothing of another.

        Args:
            network: any; its own activation and squeeze-and-excitation are replaced.
            scores: of its blocks' gates (n_blocks,), NaN where unknown; what has no score keeps squeeze-and-excitation.

        Raises:
            ConfigError: where the option needs scores and there are none.
        """
        bare = with_activation(without_se(network), self.activation)
        if self.removed == 1.0:
            return bare
        if not self.pruned:
            return with_se(bare)
        if scores is None:
            raise ConfigError(f"{self.name!r} goes by the gates of a trained network, and there is none")
        known = int(np.isfinite(scores).sum())
        return remove_se(with_se(bare), lowest(scores, min(known, round(self.removed * len(scores)))))


def all_options(
    removed: Sequence[float] = (1.0, 0.5, 0.0), activations: Sequence[Activation] = ("relu", "hswish")
) -> tuple[Option, ...]:
    """Every combination, the plainest first. Shares between 0 and 1 need 0 beside them: its gates are judged."""
    found = {Option(activation, share) for activation in activations for share in removed}
    return tuple(sorted(found, key=lambda option: option.plainness, reverse=True))


OPTIONS = all_options()


@dataclass(frozen=True, slots=True)
class OptionCost:
    """What an option costs on a target where nothing else is changed.

    Attributes:
        option: the option.
        cost: of the network with it, in the unit of the costs; NaN where unknown.
        extra: relative to the plain network, 0.1 is a tenth more.
        params, macs: of the network with it.
    """

    option: Option
    cost: float
    extra: float
    params: int
    macs: int


def option_costs(
    network: Network, cost_of: CostOf, options: Sequence[Option] = all_options((1.0, 0.0))
) -> tuple[OptionCost, ...]:
    """A table of what h-swish and squeeze-and-excitation cost on one target, the plain network first.

    Args:
        network: of any size; it is not scaled.
        cost_of: prices networks; `measured_costs(measure)` measures them instead.
        options: without pruned ones, which need a trained network.
    """
    asked = (Option(), *(option for option in options if option != Option()))
    networks = [option.applied(network) for option in asked]
    costs = cost_of(networks)
    plain = float(costs[0])
    return tuple(
        OptionCost(option, float(cost), float(cost) / plain - 1.0, workload.params, workload.macs)
        for option, cost, workload in zip(asked, costs, map(network_workload, networks), strict=True)
    )
