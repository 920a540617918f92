"""The supernet: the largest network of a space whose depthwise kernels are masked while it trains.

[V] Only depthwise kernels are masked; the 1x1 convolutions and batch norms stay at full width, so one set of weights
serves every choice and a step costs about what one of the largest network costs. Branches of equal k_max stand in one
depthwise convolution, as they do in the largest network (ours: the same function as parallel layers, with fewer calls).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from profiler.workloads.builders.torch import build_module, reset
from search.s3nas.superkernel import SuperkernelBank
from search.spaces.base import Architecture
from search.spaces.mixconv import MixConv
from search.spaces.network import assemble

__all__ = ["SupernetModule"]


class SupernetModule(nn.Module):
    """All networks of a space in one.

    Its state is the weights and batch-norm statistics of the largest network (`module`) and the thresholds (`bank`).

    Args:
        space: the space.
        num_classes, resolution: other than the supernet's.
        bn_momentum: [V] the paper's 0.99 is torch's 0.01; short schedules need more.
        dropout: [V] before the classifier while training.

    Attributes:
        space: the space.
        network: its largest network; `module` computes it, `places` says where in it the blocks are.
        bank: thresholds and masks.
        choice_dropout: [V] equal-choice dropout of the indicators, phase 1 of a search; acts only while training.
            Random numbers come from torch's global generator of the device.
    """

    def __init__(
        self,
        space: MixConv,
        num_classes: int | None = None,
        resolution: int | None = None,
        *,
        bn_momentum: float = 0.01,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.space = space
        self.network = space.network(space.maximal, resolution, num_classes)
        workload, self.places = assemble(self.network)
        self.module = build_module(workload)
        self.bank = SuperkernelBank(space.superblocks)
        self.choice_dropout = False
        self._names = tuple(f"parts.{index}.weight" for block in self.places.depthwise for index in block)
        for part in self.module.parts.values():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = bn_momentum
        self.module.parts[str(self.places.classifier)].register_forward_pre_hook(partial(_drop, dropout))

    def reset(self, generator: torch.Generator) -> None:
        """Give it fresh weights to train from (see `builders.torch.reset`), and thresholds of 0 [V].

        Ours: the fan-out of a depthwise convolution counts all of its channels, so that the norms of shells and groups
        start between 0.7 and 1.5 whatever the width, where the sigmoid still has a slope of 0.15 and more. Counted a
        channel alone, norms would grow with the root of the width, to 33 in the published supernet, and the slope at
        a threshold of 0 would vanish in float32. Batch norm makes the scale of these weights immaterial otherwise.
        """
        reset(self.module, generator)
        for threshold in self.thresholds:
            nn.init.zeros_(threshold)

    @property
    def thresholds(self) -> tuple[nn.Parameter, nn.Parameter]:
        """The trainable thresholds of kernels and of channel groups, see `SuperkernelBank`."""
        return self.bank.kernel_thresholds, self.bank.group_thresholds

    @property
    def depthwise(self) -> tuple[nn.Parameter, ...]:
        """The depthwise kernels, unmasked, through the blocks in order."""
        return tuple(self.module.get_parameter(name) for name in self._names)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run the supernet at its present choices.

        Args:
            x: images (N, 3, resolution, resolution).

        Returns:
            logits (N, classes), and the weight of every choice (blocks, most raw combinations): row b belongs to
            `space.superblocks[b].raw`, padded with 0, and sums to 1. Its values are 0 and 1, its gradient is that of
            the sigmoids; float32 also under autocast. With choice dropout it is the choice that was drawn.
        """
        drop = self.choice_dropout and self.training
        kernels, probabilities = self.bank(self.depthwise, drop)
        logits = functional_call(self.module, dict(zip(self._names, kernels, strict=True)), (x,))
        return logits, probabilities

    def probabilities(self) -> Tensor:
        """The weights of the choices alone, without dropout."""
        return self.bank.probabilities(self.depthwise)

    def draw(self, count: int) -> Tensor:
        """So many random choices as equal-choice dropout makes them, (count, blocks, branches), as indices into
        `Superblock.branch_choices`."""
        return self.bank.choices(self.depthwise, count)

    def branch_choices(self) -> Tensor:
        """The present choice of every branch, (blocks, branches), without dropout."""
        return self.bank.choices(self.depthwise)

    def architecture(self) -> Architecture:
        """[V] The hard read-out: of every branch the kernels and groups before the first indicator that is 0."""
        taken = self.branch_choices().tolist()
        return self.space.architecture(
            tuple(
                int(superblock.choice_of_raw[superblock.raw.index(tuple(raw))])
                for superblock, raw in zip(self.space.superblocks, taken, strict=True)
            )
        )


def _drop(rate: float, part: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Dropout before a layer while it trains."""
    return (functional.dropout(inputs[0], rate, part.training), *inputs[1:])
