"""The masked depthwise kernels of a whole supernet, computed together, with the weight of every choice.

[V] A branch of a superblock has one depthwise kernel W of k_max x k_max x C. Its shells are m_0, the centre of 3 x 3,
m_1, what 5 x 5 adds to it, and so on; its channel groups c_0, c_1, ... are slices of step * Cin channels (2 Cin in the
paper's supernets). With ind(x) = 1 where x >= 0, else 0, differentiated as if it were the sigmoid:

    u_j = ind(||W * m_j|| - t_j),  u_0 = 1        W_k = u_0 (W m_0 + u_1 (W m_1 + u_2 W m_2))
    v_j = ind(||W_k * c_j|| - s_j)                the same nesting over the channel groups of W_k
    p_j = (u_0 ... u_j) (1 - u_{j+1})             the weight of ending at exactly j;  off = 1 - v_0

t and s are trainable and start at 0. [V] v_0 = 1 where the block may not vanish; for blocks of several branches that
is the branch of the largest kernel, all others may vanish.

Ours: the norms of all kernels of the supernet come from one table of cells (branch, channel group, shell), each the sum
of the squares of its weights, so that the masks cost some forty tensor operations for the whole network and not for
every block. ||W_k * c_j||^2 is then the sum over shells of cell * (u_0 ... u_shell)^2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from search.spaces.superblocks import Superblock

__all__ = ["BranchPlace", "Indicators", "SuperkernelBank", "branch_places", "conv_widths", "indicator"]

_TINY = 1e-24
"""Added under the root of a norm, whose slope at 0 is infinite otherwise; far below the square of any weight in use."""


@dataclass(frozen=True, slots=True)
class BranchPlace:
    """Where a branch stands in the depthwise convolutions of its block's largest form.

    Attributes:
        conv: which of the block's convolutions, which are in order of their kernels.
        first: its first channel there; branches of equal k_max share a convolution, in their order.
        group: channels in one of its groups.
        groups, shells: how many it has.
        required: it may not vanish.
    """

    conv: int
    first: int
    group: int
    groups: int
    shells: int
    required: bool


class Indicators(NamedTuple):
    """Products of indicators from the first on: kernel (..., branches, shells), group (..., branches, groups); 0 where
    a branch has no such shell or group."""

    kernel: Tensor
    group: Tensor


def conv_widths(superblock: Superblock) -> tuple[tuple[int, int], ...]:
    """(kernel, channels) of the depthwise convolutions of a block's largest form, in order."""
    kernels = sorted({branch.kernel for branch in superblock.branches})
    return tuple(
        (k, superblock.in_channels * sum(b.expansion for b in superblock.branches if b.kernel == k)) for k in kernels
    )


def branch_places(superblock: Superblock) -> tuple[BranchPlace, ...]:
    """Where every branch stands in those convolutions."""
    kernels = [kernel for kernel, _ in conv_widths(superblock)]
    used = dict.fromkeys(kernels, 0)
    found = []
    for index, branch in enumerate(superblock.branches):
        found.append(
            BranchPlace(
                kernels.index(branch.kernel),
                used[branch.kernel],
                superblock.step * superblock.in_channels,
                branch.expansion // superblock.step,
                (branch.kernel - 1) // 2,
                index == superblock.required_branch,
            )
        )
        used[branch.kernel] += branch.expansion * superblock.in_channels
    return tuple(found)


def indicator(x: Tensor) -> Tensor:
    """1 where x >= 0, else 0, exactly; its gradient is the sigmoid's (straight-through). [V]"""
    soft = torch.sigmoid(x)
    return (x >= 0).to(x.dtype) + (soft - soft.detach())


class SuperkernelBank(nn.Module):
    """Thresholds of a supernet, and the masks that they and the weights make.

    Branches are numbered through the blocks in order. The thresholds are tables padded to the most shells and groups;
    entries that no indicator belongs to stay 0 and have no gradient.

    Attributes:
        kernel_thresholds: t, (branches, shells - 1); column j is shell j + 1.
        group_thresholds: s, (branches, groups); column 0 of a required branch has no indicator.
    """

    cell: Tensor
    kernel_exists: Tensor
    group_exists: Tensor
    group_fixed: Tensor
    rates: Tensor
    shells: Tensor
    raw_columns: Tensor

    def __init__(self, superblocks: Sequence[Superblock]) -> None:
        super().__init__()
        places = [place for superblock in superblocks for place in branch_places(superblock)]
        self._branches = len(superblocks[0].branches)
        self._groups, self._shells = max(p.groups for p in places), max(p.shells for p in places)
        convs = [conv for superblock in superblocks for conv in conv_widths(superblock)]
        self._shapes = tuple((width, 1, kernel, kernel) for kernel, width in convs)
        self._choices = tuple(len(superblocks[0].branch_choices(b)) for b in range(self._branches))
        self._sizes = tuple((places[b].groups, places[b].shells) for b in range(self._branches))
        self.kernel_thresholds = nn.Parameter(torch.zeros(len(places), self._shells - 1))
        self.group_thresholds = nn.Parameter(torch.zeros(len(places), self._groups))
        for name, array in {
            "cell": _cells(superblocks, self._groups, self._shells),
            "shells": np.array([p.shells for p in places], np.int64),
            "raw_columns": _raw_columns(superblocks, self._choices),
        }.items():
            self.register_buffer(name, torch.from_numpy(array), persistent=False)
        self._register_indicators(places)

    def _register_indicators(self, places: Sequence[BranchPlace]) -> None:
        shells, groups = torch.arange(1, self._shells), torch.arange(self._groups)
        required = torch.tensor([[float(p.required)] for p in places])
        kernel = (shells < torch.tensor([[p.shells] for p in places])).float()
        fixed = required * (groups == 0)
        group = (groups < torch.tensor([[p.groups] for p in places])).float() - fixed
        # [V] of n indicators in a chain the i-th, from 0, is dropped with rate 1 / (n + 1 - i): then all n + 1 places
        # at which the chain can end are equally likely
        rates = torch.cat([_rates(kernel), _rates(group)], 1)
        for name, tensor in {"kernel_exists": kernel, "group_exists": group, "group_fixed": fixed}.items():
            self.register_buffer(name, tensor, persistent=False)
        self.register_buffer("rates", rates, persistent=False)

    @property
    def shapes(self) -> tuple[tuple[int, int, int, int], ...]:
        """Shapes of the weights that `forward` takes: the depthwise convolutions of all blocks in order."""
        return self._shapes

    def forward(self, weights: Sequence[Tensor], drop: bool = False) -> tuple[tuple[Tensor, ...], Tensor]:
        """Mask the kernels. In float32 also under autocast, which leaves all of these operations alone.

        Args:
            weights: as `shapes` says, unmasked.
            drop: apply equal-choice dropout [V]: indicators are dropped at random and the others scaled by
                1 / (1 - rate). Random numbers come from torch's generator of the device.

        Returns:
            the masked kernels, and the probabilities (blocks, most raw combinations) of `Superblock.raw`, padded with
            zeros. With `drop` the latter are those of the indicators that were kept, without their scale.
        """
        flat = _flat(weights)
        scaled, plain = self._indicators(self._sums(flat), self._kept() if drop else None)
        mask = scaled.group[:, :, None] * scaled.kernel[:, None, :]
        masked = flat * mask.reshape(-1).index_select(0, self.cell)
        parts = torch.split(masked, [prod(shape) for shape in self._shapes])
        kernels = tuple(part.view(shape) for part, shape in zip(parts, self._shapes, strict=True))
        return kernels, self._probabilities(plain)

    def indicators(self, weights: Sequence[Tensor]) -> Indicators:
        """The present indicators without dropout."""
        return self._indicators(self._sums(_flat(weights)), None)[1]

    def probabilities(self, weights: Sequence[Tensor]) -> Tensor:
        """The probabilities that `forward` returns, without dropout."""
        return self._probabilities(self.indicators(weights))

    @torch.no_grad()
    def choices(self, weights: Sequence[Tensor], draws: int | None = None) -> Tensor:
        """What every branch becomes, (blocks, branches) as indices into `Superblock.branch_choices`.

        Args:
            weights: as `forward` takes them.
            draws: so many random ones by equal-choice dropout, (draws, blocks, branches), instead of the present one.
        """
        sums = self._sums(_flat(weights))
        kernel, group = self._indicators(sums, None if draws is None else self._kept(draws))[1]
        place = kernel.sum(-1).long() - 1
        groups = group.sum(-1).long()
        choice = torch.where(groups > 0, 1 + (groups - 1) * self.shells + place, 0)
        return choice.view(*choice.shape[:-1], -1, self._branches)

    def _sums(self, flat: Tensor) -> Tensor:
        """(branches, groups, shells): the sum of the squares of every cell's weights."""
        count = len(self.shells) * self._groups * self._shells
        sums = flat.new_zeros(count).index_add(0, self.cell, flat.square())
        return sums.view(-1, self._groups, self._shells)

    def _kept(self, *draws: int) -> Tensor:
        """1 for every indicator that is kept, else 0: (*draws, branches, shells - 1 + groups)."""
        random = torch.rand(*draws, *self.rates.shape, device=self.rates.device)
        return (random >= self.rates).to(self.kernel_thresholds.dtype)

    def _indicators(self, sums: Tensor, kept: Tensor | None) -> tuple[Indicators, Indicators]:
        """Products of indicators, scaled by dropout (for the weights) and not (for the probabilities)."""
        split = [self._shells - 1, self._groups]
        u = indicator((sums.sum(1)[:, 1:] + _TINY).sqrt() - self.kernel_thresholds) * self.kernel_exists
        if kept is None:
            kernel = _nested(u, first=True)
            group = _nested(self._group_indicators(sums, kernel), first=False)
            return Indicators(kernel, group), Indicators(kernel, group)
        keep_u, keep_v = torch.split(kept, split, -1)
        scale_u, scale_v = torch.split(1.0 / (1.0 - self.rates), split, -1)
        kernel = _nested(u * keep_u * scale_u, first=True)
        v = self._group_indicators(sums, kernel) * keep_v
        plain = Indicators(_nested(u * keep_u, first=True), _nested(v, first=False))
        return Indicators(kernel, _nested(v * scale_v, first=False)), plain

    def _group_indicators(self, sums: Tensor, kernel: Tensor) -> Tensor:
        """v from the norms of the groups of the kernels as they are masked already, (..., branches, groups)."""
        norms = ((sums * kernel.square().unsqueeze(-2)).sum(-1) + _TINY).sqrt()
        return indicator(norms - self.group_thresholds) * self.group_exists + self.group_fixed

    def _probabilities(self, indicators: Indicators) -> Tensor:
        kernel, group = (nested - _shifted(nested) for nested in indicators)  # p_j = (u_0 .. u_j) (1 - u_{j+1})
        off = 1.0 - indicators.group[:, :1]
        taken = (group[:, :, None] * kernel[:, None, :]).view(-1, self._branches, self._groups, self._shells)
        off = off.view(-1, self._branches)
        every: Tensor | None = None
        for branch, (groups, shells) in enumerate(self._sizes):
            own = torch.cat([off[:, branch, None], taken[:, branch, :groups, :shells].flatten(1)], 1)
            every = own if every is None else (every[:, :, None] * own[:, None, :]).flatten(1)
        assert every is not None
        return torch.cat([every, every.new_zeros(len(every), 1)], 1).gather(1, self.raw_columns)


def _flat(weights: Sequence[Tensor]) -> Tensor:
    return torch.cat([weight.reshape(-1) for weight in weights])


def _cells(superblocks: Sequence[Superblock], groups: int, shells: int) -> NDArray[np.int64]:
    """For every weight of all kernels, flat and in order, its cell: (branch * groups + group) * shells + shell."""
    found: list[NDArray[np.int64]] = []
    for index, superblock in enumerate(superblocks):
        parts = [np.zeros((width, kernel, kernel), np.int64) for kernel, width in conv_widths(superblock)]
        for branch, place in enumerate(branch_places(superblock), start=index * len(superblock.branches)):
            part = parts[place.conv]
            away = np.abs(np.arange(part.shape[1]) - part.shape[1] // 2)
            shell = np.maximum(np.maximum.outer(away, away) - 1, 0)
            for group in range(place.groups):
                first = place.first + group * place.group
                part[first : first + place.group] = (branch * groups + group) * shells + shell
        found.extend(part.reshape(-1) for part in parts)
    return np.concatenate(found)


def _raw_columns(superblocks: Sequence[Superblock], choices: Sequence[int]) -> NDArray[np.int64]:
    """(blocks, most raw combinations): where a block's combinations stand among all products of branch choices; the
    place behind the last, which holds 0, where it has fewer."""
    columns = np.full((len(superblocks), max(len(s.raw) for s in superblocks)), int(np.prod(choices)), np.int64)
    for row, superblock in zip(columns, superblocks, strict=True):
        row[: len(superblock.raw)] = np.ravel_multi_index(np.array(superblock.raw).T, tuple(choices))
    return columns


def _rates(exists: Tensor) -> Tensor:
    """Dropout rates of chains of indicators, given as rows with 1 where there is one: 1 / (n + 1 - i), else 0."""
    place = exists.cumsum(1) - 1
    return exists / (exists.sum(1, keepdim=True) + 1 - place)


def _nested(indicators: Tensor, *, first: bool) -> Tensor:
    """Products of indicators from the first on; with `first` behind one that is always 1. (A product over so few is
    cheaper than torch.cumprod, whose gradient looks for zeros.)"""
    parts = list(indicators.unbind(-1))
    if first:
        parts.insert(0, indicators.new_ones(indicators.shape[:-1]))
    for place in range(1, len(parts)):
        parts[place] = parts[place - 1] * parts[place]
    return torch.stack(parts, -1)


def _shifted(nested: Tensor) -> Tensor:
    """The product that goes one indicator further, 0 at the end."""
    return torch.cat([nested[..., 1:], torch.zeros_like(nested[..., :1])], -1)
