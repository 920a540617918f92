"""Choices of a superblock: merged, skipped and counted as the specification says, against enumeration from scratch."""

from __future__ import annotations

from itertools import product

import pytest

from profiler.errors import ConfigError
from search.spaces.superblocks import Superblock, kernels_text, merge, parse_kernels
from search.spaces.supernet import BranchLimits

MIXCONV = ((5, 2), (5, 2), (7, 2))
LIMITS = [
    (MIXCONV, 2),
    (((5, 6),), 2),
    (((5, 6),), 3),
    (((7, 2), (7, 2), (3, 4)), 2),
    (((3, 2),), 2),
    (((9, 4), (5, 2)), 1),
]


def block(limits, step: int = 2, residual: bool = True, stride: int = 1) -> Superblock:
    return Superblock(8, 8 if residual else 16, 16, stride, tuple(BranchLimits(*each) for each in limits), step)


def enumerated(limits, step: int, residual: bool) -> set[tuple[tuple[int, int], ...]]:
    """All distinct blocks, from the specification's words alone: a dict of kernel to expansion for each draw."""
    widest = max(k for k, _ in limits)
    required = None if residual else max(i for i, (k, _) in enumerate(limits) if k == widest)
    options = []
    for place, (k_max, e_max) in enumerate(limits):
        mine = [(k, e) for k in range(3, k_max + 1) if k % 2 for e in range(1, e_max + 1) if e % step == 0]
        options.append(mine if place == required else [*mine, None])
    found = set()
    for drawn in product(*options):
        total: dict[int, int] = {}
        for each in drawn:
            if each:
                total[each[0]] = total.get(each[0], 0) + each[1]
        found.add(tuple(sorted(total.items())))
    return found


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(("limits", "step"), LIMITS)
def test_the_choices_are_those_that_enumeration_finds(limits, step: int, residual: bool):
    place = block(limits, step, residual)
    expected = enumerated(limits, step, residual)
    assert len(place.choices) == len(expected)
    assert set(place.choices) == expected
    assert (() in place.choices) == residual


def test_the_published_blocks_have_so_many_choices():
    assert (len(block(MIXCONV).choices), len(block(MIXCONV).raw)) == (16, 36)
    assert (len(block(MIXCONV, residual=False).choices), len(block(MIXCONV, residual=False).raw)) == (15, 27)
    assert len(block([(5, 6)]).choices) == 7  # k 3 or 5, e 2, 4 or 6, and skip
    assert len(block([(5, 6)], residual=False).choices) == 6


def test_a_stride_is_no_residual():
    assert block(MIXCONV, stride=2).required_branch == 2
    assert block(MIXCONV).required_branch is None
    assert block([(7, 2), (7, 2), (3, 4)], residual=False).required_branch == 1  # the last of the largest


def test_a_required_branch_is_never_off():
    place = block(MIXCONV, residual=False)
    assert all(raw[2] > 0 for raw in place.raw)
    assert {raw[0] for raw in place.raw} == {0, 1, 2}


def test_branch_choices_are_off_then_by_expansion_and_kernel():
    assert block([(7, 4)]).branch_choices(0) == (None, (3, 2), (5, 2), (7, 2), (3, 4), (5, 4), (7, 4))


def test_equal_kernels_merge():
    assert merge([(3, 2), (3, 2)]) == ((3, 4),)
    assert merge([(7, 2), (3, 2), (7, 2)]) == ((3, 2), (7, 4))
    assert merge([]) == ()
    place = block(MIXCONV)
    assert place.simplified((1, 1, 0)) == ((3, 4),)
    assert place.simplified((1, 1, 1)) == ((3, 6),)  # one kernel left: a plain MBConv
    assert place.simplified((0, 0, 0)) == ()


@pytest.mark.parametrize("residual", [True, False])
def test_every_combination_knows_its_choice(residual: bool):
    place = block(MIXCONV, residual=residual)
    assert place.choice_of_raw.shape == (len(place.raw),)
    for raw, choice in zip(place.raw, place.choice_of_raw, strict=True):
        assert place.choices[choice] == place.simplified(raw)
    assert set(place.choice_of_raw.tolist()) == set(range(len(place.choices)))


def test_skip_comes_first_then_the_small():
    totals = [sum(e for _, e in kernels) for kernels in block(MIXCONV).choices]
    assert totals == sorted(totals)
    assert totals[0] == 0


def test_texts_round_trip():
    for kernels in block(((9, 4), (5, 2)), 1).choices:
        assert parse_kernels(kernels_text(kernels)) == kernels
    assert kernels_text(((3, 4), (5, 2))) == "k3,5 e4,2"
    assert parse_kernels("k5,3 e2,4") == ((3, 4), (5, 2))  # people need not sort
    assert parse_kernels("skip") == ()


@pytest.mark.parametrize(
    "text",
    ["", "k3", "k3 e", "k3 e2,2", "k3,3 e2,2", "k4 e2", "k3 e0", "k3  e2", "K3 e2", "k3 e2 se", "k3 e-2", "k3e2",
     "k3.0 e2", "k" + "9" * 5000 + " e2", "k３ e2"],
)  # fmt: skip
def test_what_is_no_block_is_refused(text: str):
    with pytest.raises(ConfigError, match="is no block: write kernels"):
        parse_kernels(text)
