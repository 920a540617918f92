"""T_hat: the cost of a supernet as a differentiable function of its indicators. This module imports torch.

[V]     T_hat = fixed layers + sum over blocks, sum over (k, e) of weight(k, e) * LUT(block(k, e)),  a skipped block 0

Several raw combinations of branches simplify to one block; each is given the cost of what it simplifies to, which is
the same sum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from profiler.errors import ConfigError
from search.s3nas.costs.blockcosts import BlockCosts, block_costs, block_costs_of_model, check_budgets
from search.spaces.mixconv import MixConv

__all__ = ["BlockCosts", "LatencyTerm", "block_costs", "block_costs_of_model", "check_budgets"]


class LatencyTerm(nn.Module):
    """T_hat on every target.

    Args:
        space: the supernet's space.
        costs: one table a target.

    Raises:
        ConfigError: where a table is of another space.
    """

    fixed: Tensor
    raw: Tensor

    def __init__(self, space: MixConv, costs: Sequence[BlockCosts]) -> None:
        super().__init__()
        widest = max(len(block.raw) for block in space.superblocks)
        raw = np.zeros((len(costs), len(space.superblocks), widest))
        for target, table in enumerate(costs):
            if [len(c) for c in table.choices] != [len(block.choices) for block in space.superblocks]:
                raise ConfigError(
                    f"the table of {table.target} is of {table.space} and not of {space.name}: its blocks have other "
                    "choices"
                )
            for index, (block, of_choice) in enumerate(zip(space.superblocks, table.choices, strict=True)):
                raw[target, index, : len(block.raw)] = of_choice[block.choice_of_raw]
        # float64: for hard indicators the sum is that of the table exactly, see BlockCosts
        self.register_buffer("raw", torch.from_numpy(raw), persistent=False)
        self.register_buffer("fixed", torch.tensor([table.fixed for table in costs], dtype=torch.float64), False)

    def forward(self, probabilities: Tensor) -> Tensor:
        """T_hat (n_targets,), float64, in the tables' units.

        Args:
            probabilities: (n_blocks, R) the weight of every raw combination of every superblock, padded with zeros.
        """
        return self.fixed + (self.raw * probabilities.double()).sum((1, 2))
