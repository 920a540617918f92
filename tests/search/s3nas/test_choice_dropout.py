"""Equal-choice dropout of the supernet's indicators: every choice equally likely, what is kept scaled."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from search.s3nas.superkernel import SuperkernelBank
from search.spaces.superblocks import Superblock
from search.spaces.supernet import BranchLimits

MIXCONV = (BranchLimits(5, 2), BranchLimits(5, 2), BranchLimits(7, 2))
MBCONV = (BranchLimits(5, 6),)
ODD = (BranchLimits(7, 4), BranchLimits(3, 4), BranchLimits(7, 6))
EVERY = pytest.mark.parametrize("branches", [MIXCONV, MBCONV, ODD], ids=["mixconv", "mbconv", "odd"])


def blocks(branches: Sequence[BranchLimits]) -> tuple[Superblock, ...]:
    """One that changes the channels and so may not vanish, one with a residual."""
    return (Superblock(3, 4, 8, 1, tuple(branches), 2), Superblock(4, 4, 8, 1, tuple(branches), 2))


def some_weights(bank: SuperkernelBank) -> list[Tensor]:
    return [torch.full(shape, 0.3) for shape in bank.shapes]


DRAWS = 20_000


@EVERY
def test_dropout_makes_every_choice_equally_likely(branches: tuple[BranchLimits, ...]):
    superblocks = blocks(branches)
    bank = SuperkernelBank(superblocks)
    weights = some_weights(bank)
    torch.manual_seed(7)
    drawn = bank.choices(weights, DRAWS)
    assert drawn.shape == (DRAWS, 2, len(branches))
    for index, superblock in enumerate(superblocks):
        for branch, limits in enumerate(branches):
            kernels, groups = (limits.kernel - 1) // 2, limits.expansion // 2
            counts = torch.bincount(drawn[:, index, branch], minlength=1 + groups * kernels).double()
            by_kernel, by_group = counts[1:].view(groups, kernels).sum(0), counts[1:].view(groups, kernels).sum(1)
            if branch == superblock.required_branch:
                assert counts[0] == 0
            else:
                by_group = torch.cat([counts[:1], by_group])
            for table in (by_kernel, by_group):  # uniform
                assert table.numel() == 1 or chisquare(table.numpy()).pvalue > 1e-3
            inside = counts[1:].view(groups, kernels) / counts[1:].sum()  # and independent of each other
            assert (inside - inside.sum(0) * inside.sum(1, keepdim=True)).abs().max() < 0.01


def test_branches_are_drawn_independently():
    superblock = blocks(MIXCONV)[1]
    bank = SuperkernelBank([superblock])
    torch.manual_seed(8)
    drawn = bank.choices(some_weights(bank), DRAWS)[:, 0]
    chances = torch.tensor(
        [math.prod(0.5 if c == 0 else 0.5 / (len(superblock.branch_choices(b)) - 1) for b, c in enumerate(raw))
         for raw in superblock.raw],
        dtype=torch.float64,
    )  # fmt: skip
    place = {raw: index for index, raw in enumerate(superblock.raw)}
    counts = torch.bincount(torch.tensor([place[tuple(row)] for row in drawn.tolist()]), minlength=len(chances))
    assert chances.sum() == pytest.approx(1)
    assert chisquare(counts.numpy(), (chances * DRAWS).numpy()).pvalue > 1e-3


def test_dropped_indicators_mask_and_kept_ones_are_scaled_by_their_rates():
    superblock = Superblock(2, 3, 8, 1, (BranchLimits(5, 6), BranchLimits(7, 4)), 2)  # the second is required
    bank = SuperkernelBank([superblock])
    weights = [torch.full(shape, 0.5) for shape in bank.shapes]
    torch.manual_seed(3)
    seen = set()
    for _ in range(60):
        masked, probabilities = bank(weights, drop=True)
        assert ((probabilities == 0) | (probabilities == 1)).all()
        assert probabilities.sum() == 1
        raw = superblock.raw[int(probabilities.argmax())]
        seen.add(raw)
        for branch, scales_k, scales_g in ((0, [1, 2], [4 / 3, 1.5, 2]), (1, [1, 1.5, 2], [1, 2])):
            expected = torch.zeros_like(weights[branch])
            option = superblock.branch_choices(branch)[raw[branch]]
            if option is not None:
                size = expected.shape[-1]
                for group in range(option[1] // 2):
                    for shell in reversed(range((option[0] - 1) // 2)):
                        rim = size // 2 - shell - 1
                        expected[4 * group : 4 * group + 4, :, rim : size - rim, rim : size - rim] = (
                            0.5 * math.prod(scales_k[: shell + 1]) * math.prod(scales_g[: group + 1])
                        )
            torch.testing.assert_close(masked[branch], expected)
    assert len(seen) > 15


def test_only_dropout_takes_random_numbers_and_they_are_torchs():
    bank = SuperkernelBank(blocks(MIXCONV))
    weights = some_weights(bank)
    torch.manual_seed(1)
    first = bank(weights, drop=True)[1]
    state = torch.get_rng_state()
    bank(weights)
    bank.probabilities(weights)
    bank.choices(weights)
    assert torch.equal(torch.get_rng_state(), state)
    assert not all(torch.equal(bank(weights, drop=True)[1], first) for _ in range(5))
    torch.manual_seed(1)
    assert torch.equal(bank(weights, drop=True)[1], first)
