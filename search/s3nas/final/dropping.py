"""Dropping parts of a network while it trains: whole blocks image by image, and features before the classifier.

[V] Drop-connect of a rate that grows with depth, and dropout before the classifier; [I] block i of n, from 0, is
dropped at i / n of the rate, and what is kept is scaled up, so that means stay. This module imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from profiler.workloads.builders.torch import WorkloadModule
from search.spaces.network import Places

__all__ = ["Dropping", "drop_rates"]

_STREAM = 2
"""Keeps the draws apart from those of the batches, which are named by the same seed and step."""


class Dropping:
    """Hooks on a network's module that act while it trains, fed by random numbers of their own.

    What a step drops is a function of seed and step alone, on one kind of device.

    Args:
        module: computes the network.
        places: where its residual additions and its classifier are.
        drop_connect: see `drop_rates`.
        dropout: share of the classifier's inputs that are dropped.
        device: of the module.
    """

    def __init__(
        self, module: WorkloadModule, places: Places, drop_connect: float, dropout: float, device: torch.device
    ) -> None:
        self._generator = torch.Generator(device)
        for addition, rate in zip(places.additions, drop_rates(places.additions, drop_connect), strict=True):
            if rate > 0:
                self._before(module.parts[str(addition)], rate, whole=True)
        if dropout > 0:
            self._before(module.parts[str(places.classifier)], dropout, whole=False)

    def at(self, seed: int, step: int) -> None:
        """Draw what follows for this step."""
        state = np.random.SeedSequence((seed, _STREAM, step)).generate_state(1, np.uint64)
        self._generator.manual_seed(int(state[0] >> np.uint64(1)))

    def _before(self, part: nn.Module, rate: float, whole: bool) -> None:
        def drop(part: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if not part.training:
                return None
            body, *others = inputs
            return (self._dropped(body, rate, whole), *others)

        part.register_forward_pre_hook(drop)

    def _dropped(self, x: Tensor, rate: float, whole: bool) -> Tensor:
        """Values or, with `whole`, images of `x` zeroed at `rate`, the rest scaled up."""
        shape = (len(x), *(1 for _ in x.shape[1:])) if whole else x.shape
        kept = torch.rand(shape, generator=self._generator, device=x.device) >= rate
        return x * kept.to(x.dtype).div_(1.0 - rate)


def drop_rates(additions: Sequence[int | None], drop_connect: float) -> tuple[float, ...]:
    """The rate of every block: 0 without a residual, else drop_connect * i / n for block i of n, from 0."""
    return tuple(0.0 if addition is None else drop_connect * i / len(additions) for i, addition in enumerate(additions))
