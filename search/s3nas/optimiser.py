"""RMSProp, learning rate, weight decay and averaging as the published schedules have them. This module imports torch.

[V] RMSProp with decay 0.9, momentum 0.9 and epsilon 1e-3; a learning rate that falls by 0.97 every 2.4 epochs [I: in
stairs]; L2 1e-5 on everything but batch norms, thresholds included [I: half the square of a weight, as TensorFlow's
l2_loss]; an exponential moving average of decay 0.9999.

Differences, ours: TensorFlow's epsilon stands under the root, g / sqrt(mean + eps), and torch's outside,
g / (sqrt(mean) + eps'); with eps' = sqrt(eps) the two agree for small and for large gradients and differ by at most
sqrt(2) between. The decay is added to the gradient by the optimiser, so behind the clipping of the norm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

__all__ = ["Average", "decayed", "parameter_groups", "rmsprop", "set_rate", "staircase"]


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """The parameters of a module in two groups: with weight decay, and those of batch norms without."""
    plain = {id(p) for part in module.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)
             for p in part.parameters(recurse=False)}  # fmt: skip
    parameters = list(module.parameters())
    return [
        {"params": [p for p in parameters if id(p) not in plain], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) in plain], "weight_decay": 0.0},
    ]


def rmsprop(
    groups: Iterable[Mapping[str, object]],
    rate: float,
    decay: float = 0.9,
    momentum: float = 0.9,
    epsilon: float = 1e-3,
) -> torch.optim.RMSprop:
    """The papers' RMSProp; `epsilon` is TensorFlow's, under the root.

    [I] The running mean of squares starts at 1, as TensorFlow's does, which makes the first steps short.
    """
    optimiser = torch.optim.RMSprop(
        [dict(group) for group in groups], rate, decay, math.sqrt(epsilon), momentum=momentum, foreach=True
    )
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            optimiser.state[parameter] = {
                "step": torch.zeros(()),
                "square_avg": torch.ones_like(parameter, memory_format=torch.preserve_format),
                "momentum_buffer": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            }
    return optimiser


def staircase(step: int, rate: float, decay_steps: float, factor: float = 0.97) -> float:
    """The learning rate of a step: `rate`, times `factor` after every `decay_steps` steps."""
    return float(rate * factor ** math.floor(step / decay_steps))


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the learning rate, times its own "rate_factor" where it has one."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("rate_factor", 1.0)


def decayed(decay: float, step: int) -> float:
    """The decay of an average at a step: the lesser of `decay` and (1 + step) / (10 + step).

    Ours (as an option TensorFlow's too): with 0.9999 alone a run of a few hundred steps would average little but its
    random beginning.
    """
    return min(decay, (1.0 + step) / (10.0 + step))


class Average:
    """An exponential moving average of a module's parameters and of its batch norms' statistics.

    Attributes:
        values: the averages by the names of the state dict; integers (the counts of batch norms) are left out.
    """

    def __init__(self, module: nn.Module, decay: float = 0.9999) -> None:
        self.decay = decay
        self._sources = {n: t for n, t in module.state_dict().items() if t.is_floating_point()}
        self.values: dict[str, Tensor] = {name: tensor.clone() for name, tensor in self._sources.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the module's present values; `step` counts from 0."""
        weight = 1.0 - decayed(self.decay, step)
        torch._foreach_lerp_(list(self.values.values()), list(self._sources.values()), weight)

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Set averages that were stored."""
        for name, tensor in self.values.items():
            tensor.copy_(values[name])
