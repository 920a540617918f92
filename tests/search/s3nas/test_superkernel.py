"""Masked kernels: against the formulas written out branch by branch, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from search.s3nas import superkernel
from search.s3nas.superkernel import SuperkernelBank, branch_places, conv_widths, indicator
from search.spaces.superblocks import Superblock
from search.spaces.supernet import BranchLimits

MIXCONV = (BranchLimits(5, 2), BranchLimits(5, 2), BranchLimits(7, 2))
MBCONV = (BranchLimits(5, 6),)
ODD = (BranchLimits(7, 4), BranchLimits(3, 4), BranchLimits(7, 6))
EVERY = pytest.mark.parametrize("branches", [MIXCONV, MBCONV, ODD], ids=["mixconv", "mbconv", "odd"])


def blocks(branches: Sequence[BranchLimits], channels: int = 3) -> tuple[Superblock, ...]:
    """One that changes the channels and so may not vanish, one with a residual."""
    return (
        Superblock(channels, channels + 1, 8, 1, tuple(branches), 2),
        Superblock(channels + 1, channels + 1, 8, 1, tuple(branches), 2),
    )


def random_weights(bank: SuperkernelBank, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).mul(0.3).requires_grad_() for shape in bank.shapes
    ]


def random_thresholds(bank: SuperkernelBank, seed: int) -> None:
    """Around the norms, so that indicators fall both ways."""
    generator = torch.Generator().manual_seed(seed)
    for threshold in (bank.kernel_thresholds, bank.group_thresholds):
        threshold.data = 4.0 * torch.rand(threshold.shape, generator=generator, dtype=torch.float64)


def published(superblock: Superblock, index: int, weights: Sequence[Tensor], bank: SuperkernelBank):
    """The paper's formulas, one branch after another: masked kernels by branch, and the weights of `raw`."""

    def ind(x: Tensor) -> Tensor:
        soft = torch.sigmoid(x)
        return ((x >= 0).double() - soft).detach() + soft

    masked, probabilities = [], []
    one = torch.ones((), dtype=torch.float64)
    kernels = sorted({b.kernel for b in superblock.branches})
    offset = dict.fromkeys(kernels, 0)
    for b, branch in enumerate(superblock.branches):
        row = index * len(superblock.branches) + b
        width = branch.expansion * superblock.in_channels
        whole = weights[kernels.index(branch.kernel)][offset[branch.kernel] : offset[branch.kernel] + width]
        offset[branch.kernel] += width
        rim = branch.kernel // 2
        shells = []
        for j in range(rim):
            inside = torch.zeros(branch.kernel, branch.kernel, dtype=torch.float64)
            inside[rim - j - 1 : rim + j + 2, rim - j - 1 : rim + j + 2] = 1
            if j:
                inside[rim - j : rim + j + 1, rim - j : rim + j + 1] = 0
            shells.append(inside)
        u = [one, *(ind((whole * m).norm() - bank.kernel_thresholds[row, j]) for j, m in enumerate(shells[1:]))]
        nested = torch.zeros_like(whole)
        for j in reversed(range(len(shells))):
            nested = u[j] * (whole * shells[j] + nested)
        step = superblock.step * superblock.in_channels
        groups = nested.split(step)
        v = [ind(c.norm() - bank.group_thresholds[row, j]) for j, c in enumerate(groups)]
        if b == superblock.required_branch:
            v[0] = one
        masked.append(torch.cat([math.prod(v[: j + 1]) * c for j, c in enumerate(groups)]))
        p_k = [math.prod(u[: j + 1]) * (1 - u[j + 1] if j + 1 < len(u) else 1) for j in range(len(u))]
        p_e = [math.prod(v[: j + 1]) * (1 - v[j + 1] if j + 1 < len(v) else 1) for j in range(len(v))]
        probabilities.append([1 - v[0], *(e * k for e in p_e for k in p_k)])
    raw = torch.stack([math.prod(probabilities[b][c] for b, c in enumerate(raw)) * one for raw in superblock.raw])
    convs = [torch.cat([m for m, b in zip(masked, superblock.branches, strict=True) if b.kernel == k]) for k in kernels]
    return convs, raw


@EVERY
@pytest.mark.parametrize("seed", range(6))
def test_masks_probabilities_and_gradients_are_those_of_the_formulas(branches: tuple[BranchLimits, ...], seed: int):
    superblocks = blocks(branches)
    bank = SuperkernelBank(superblocks).double()
    random_thresholds(bank, seed)
    weights = random_weights(bank, seed)
    masked, probabilities = bank(weights)
    leaves = [*weights, bank.kernel_thresholds, bank.group_thresholds]
    per_block = len(conv_widths(superblocks[0]))
    expected, rows = [], []
    for index, superblock in enumerate(superblocks):
        convs, raw = published(superblock, index, weights[index * per_block : (index + 1) * per_block], bank)
        expected.extend(convs)
        rows.append(raw)
        torch.testing.assert_close(probabilities[index, : len(raw)], raw, rtol=0, atol=1e-15)
        assert not probabilities[index, len(raw) :].any()
    for got, want in zip(masked, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-14)

    generator = torch.Generator().manual_seed(99)
    pulls = [torch.randn(m.shape, generator=generator, dtype=torch.float64) for m in (*masked, *rows)]
    rows_got = [probabilities[index, : len(row)] for index, row in enumerate(rows)]

    def gradients(outputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        total = torch.stack([(pull * output).sum() for pull, output in zip(pulls, outputs, strict=True)]).sum()
        return torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)

    for got, want in zip(gradients([*masked, *rows_got]), gradients([*expected, *rows]), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)


def test_random_thresholds_reach_both_sides_of_every_indicator():
    """Otherwise the comparison with the formulas would compare little."""
    taken = set()
    for seed in range(6):
        bank = SuperkernelBank(blocks(MIXCONV)).double()
        random_thresholds(bank, seed)
        taken |= {tuple(row) for row in bank.choices(random_weights(bank, seed)).tolist()}
    assert len(taken) >= 6


@EVERY
def test_probabilities_sum_to_one_and_are_one_hot(branches: tuple[BranchLimits, ...]):
    superblocks = blocks(branches)
    bank = SuperkernelBank(superblocks)
    for seed in range(10):
        random_thresholds(bank, seed)
        bank.float()
        _, probabilities = bank([w.detach().float() for w in random_weights(bank, seed)])
        assert probabilities.dtype == torch.float32
        assert (probabilities.sum(1) == 1).all()
        assert ((probabilities == 0) | (probabilities == 1)).all()


def test_indicator_is_hard_forward_and_a_sigmoid_backward():
    x = torch.tensor([-3.0, -1e-6, 0.0, 1e-6, 0.7, 30.0], requires_grad=True)
    y = indicator(x)
    assert y.tolist() == [0, 0, 1, 1, 1, 1]
    y.sum().backward()
    soft = torch.sigmoid(x.detach())
    torch.testing.assert_close(x.grad, soft * (1 - soft))


# ---------------------------------------------------------------- gradients against finite differences


def test_the_graph_with_soft_indicators_has_the_gradient_of_finite_differences(monkeypatch: pytest.MonkeyPatch):
    """With the sigmoid in place of the hard indicator everything is smooth, and the whole graph can be checked."""
    monkeypatch.setattr(superkernel, "indicator", torch.sigmoid)
    bank = SuperkernelBank(blocks((BranchLimits(5, 2), BranchLimits(7, 4)), channels=1)).double()
    random_thresholds(bank, 1)

    def run(t: Tensor, s: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        masked, probabilities = functional_call(bank, {"kernel_thresholds": t, "group_thresholds": s}, (list(weights),))
        return *(m.sum((2, 3)) for m in masked), probabilities

    inputs = (bank.kernel_thresholds, bank.group_thresholds, *random_weights(bank, 1))
    assert torch.autograd.gradcheck(run, inputs, eps=1e-6, atol=1e-7)


@EVERY
@pytest.mark.parametrize("others_on", [1.0, 0.6])
def test_straight_through_gradient_is_the_surrogates_where_that_is_defined(
    branches: tuple[BranchLimits, ...], others_on: float, monkeypatch: pytest.MonkeyPatch
):
    """Masks and probabilities are linear in every single indicator. So where all others are saturated, soft = hard,
    the straight-through gradient in one's threshold is the slope of the soft surrogate, here a finite difference."""
    bank = SuperkernelBank(blocks(branches)).double()
    weights = [w.detach() for w in random_weights(bank, 3)]
    sums = bank._sums(torch.cat([w.reshape(-1) for w in weights]))
    generator = torch.Generator().manual_seed(5)
    pulls = [torch.randn(w.shape, dtype=torch.float64, generator=generator) for w in weights]
    pulls.append(torch.randn(bank.raw_columns.shape, dtype=torch.float64, generator=generator))
    signs = torch.where(torch.rand(bank.rates.shape, generator=generator) < others_on, -60.0, 60.0).double()
    moved = 0

    def total() -> Tensor:
        masked, probabilities = bank(weights)
        outputs = (*masked, probabilities)
        return torch.stack([(pull * output).sum() for pull, output in zip(pulls, outputs, strict=True)]).sum()

    def surrogate(table: Tensor, at: tuple[int, int], value: float) -> Tensor:
        with monkeypatch.context() as patch, torch.no_grad():
            patch.setattr(superkernel, "indicator", torch.sigmoid)
            table[at] = value
            return total()

    for kind, exists in enumerate((bank.kernel_exists, bank.group_exists)):
        table = (bank.kernel_thresholds, bank.group_thresholds)[kind]
        for row, column in exists.nonzero().tolist():
            with torch.no_grad():
                for t, sign in zip(
                    bank.parameters(),
                    signs.split([e.shape[1] for e in (bank.kernel_exists, bank.group_exists)], 1),
                    strict=True,
                ):
                    t.copy_(sign)
                kernel = bank.indicators(weights).kernel[row]
                cells = sums[row].sum(0)[column + 1] if kind == 0 else (sums[row, column] * kernel**2).sum()
                middle = float(cells.sqrt()) - 0.4
                table[row, column] = middle
            (gradient,) = torch.autograd.grad(total(), table)
            above, below = (surrogate(table, (row, column), middle + step) for step in (1e-5, -1e-5))
            assert float(gradient[row, column]) == pytest.approx(float(above - below) / 2e-5, rel=1e-6, abs=1e-8)
            moved += bool(gradient[row, column])
    assert moved >= (2 if others_on < 1 else exists.sum() + bank.kernel_exists.sum())


def test_weights_of_zero_and_thresholds_without_meaning_have_finite_and_no_gradients():
    bank = SuperkernelBank(blocks(ODD))
    weights = [torch.zeros(shape, requires_grad=True) for shape in bank.shapes]
    masked, probabilities = bank(weights)
    (sum(m.sum() for m in masked) + (probabilities * torch.arange(float(probabilities.shape[1]))).sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in (*weights, *bank.parameters()))
    assert not bank.kernel_thresholds.grad[bank.kernel_exists == 0].any()
    assert not bank.group_thresholds.grad[bank.group_exists == 0].any()
    assert bank.kernel_thresholds.grad[bank.kernel_exists == 1].any()
    # block 1 may not vanish: the first group of its last 7 x 7 branch has no indicator
    assert bank.group_exists[:, 0].tolist() == [1, 1, 0, 1, 1, 1]


# ---------------------------------------------------------------- shells and groups nest


@pytest.mark.parametrize(
    ("kernel", "group", "taken"),
    [
        ([-9, -9], [-9, -9, -9], (7, 6)),
        ([-9, 9], [-9, -9, -9], (5, 6)),
        ([9, -9], [-9, -9, -9], (3, 6)),  # the outermost shell does not come without the one inside it
        ([9, 9], [-9, -9, 9], (3, 4)),
        ([-9, 9], [-9, 9, -9], (5, 2)),
        ([-9, -9], [9, -9, -9], None),
    ],
)
def test_shells_and_groups_nest(kernel: list[float], group: list[float], taken: tuple[int, int] | None):
    superblock = Superblock(2, 2, 8, 1, (BranchLimits(7, 6),), 2)
    bank = SuperkernelBank([superblock])
    weights = [torch.full(shape, 0.1) for shape in bank.shapes]
    with torch.no_grad():
        bank.kernel_thresholds.copy_(torch.tensor([kernel]))
        bank.group_thresholds.copy_(torch.tensor([group]))
    (masked,), probabilities = bank(weights)
    choice = superblock.branch_choices(0).index(taken)
    assert bank.choices(weights).tolist() == [[choice]]
    assert superblock.raw[int(probabilities[0].argmax())] == (choice,)
    expected = torch.zeros(12, 1, 7, 7)
    if taken is not None:
        rim = (7 - taken[0]) // 2
        expected[: 2 * taken[1], :, rim : 7 - rim, rim : 7 - rim] = 0.1
    torch.testing.assert_close(masked, expected)


def test_a_groups_norm_is_that_of_its_masked_kernel():
    """A threshold between the norm of the centre and that of the whole kernel: the group goes with the shell."""
    superblock = Superblock(1, 1, 8, 1, (BranchLimits(5, 2),), 2)
    bank = SuperkernelBank([superblock])
    weights = [torch.ones(2, 1, 5, 5)]  # norms: centre sqrt(18), all sqrt(50)
    with torch.no_grad():
        bank.group_thresholds.fill_(5.0)
    assert bank.choices(weights).tolist() == [[2]]
    with torch.no_grad():
        bank.kernel_thresholds.fill_(99.0)
    assert bank.choices(weights).tolist() == [[0]]


def test_branches_of_one_kernel_are_consecutive_in_one_convolution():
    superblock = Superblock(3, 3, 8, 1, ODD, 2)
    assert conv_widths(superblock) == ((3, 12), (7, 30))
    assert [(p.conv, p.first, p.group, p.groups, p.shells) for p in branch_places(superblock)] == [
        (1, 0, 6, 2, 3), (0, 0, 6, 2, 1), (1, 12, 6, 3, 3),
    ]  # fmt: skip
