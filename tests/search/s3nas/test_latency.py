"""T_hat: exactly the table's sum for hard choices, and a gradient that says what each choice costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from profiler.errors import ConfigError
from search.s3nas.costs.blockcosts import BlockCosts
from search.s3nas.latency import LatencyTerm
from search.s3nas.supernet import SupernetModule
from search.spaces.base import Architecture
from search.spaces.mixconv import MixConv
from search.spaces.supernet import read_supernet


@pytest.fixture(scope="module")
def space() -> MixConv:
    return MixConv(read_supernet("graded32"))


def awkward(space: MixConv, seed: int, target: str = "toy") -> BlockCosts:
    """Costs that no float adds up exactly without care."""
    rng = np.random.default_rng(seed)
    choices = tuple(rng.lognormal(-2, 2, len(b.choices)) * [bool(c) for c in b.choices] for b in space.superblocks)
    return BlockCosts(space.name, target, float(rng.exponential(0.1)), choices)


def one_hot(space: MixConv, arch: Architecture, rng: np.random.Generator) -> torch.Tensor:
    """Probabilities of one raw combination that simplifies to each choice."""
    probabilities = torch.zeros(len(space.superblocks), max(len(b.raw) for b in space.superblocks))
    for index, (block, choice) in enumerate(zip(space.superblocks, arch.choices, strict=True)):
        probabilities[index, rng.choice(np.flatnonzero(block.choice_of_raw == choice))] = 1.0
    return probabilities


def test_hard_choices_cost_the_tables_sum_exactly(space: MixConv) -> None:
    rng = np.random.default_rng(0)
    tables = [awkward(space, 1), awkward(space, 2, "other")]
    term = LatencyTerm(space, tables)
    for arch in (space.sample(rng) for _ in range(50)):
        assert term(one_hot(space, arch, rng)).tolist() == [table.cost(arch) for table in tables]


def test_the_gradient_is_the_cost(space: MixConv) -> None:
    table = awkward(space, 3)
    probabilities = torch.rand(len(space.superblocks), 36, requires_grad=True)
    LatencyTerm(space, [table])(probabilities).sum().backward()
    assert probabilities.grad is not None
    for index, (block, costs) in enumerate(zip(space.superblocks, table.choices, strict=True)):
        got = probabilities.grad[index].numpy()
        np.testing.assert_allclose(got[: len(block.raw)], costs[block.choice_of_raw], rtol=1e-6)
        assert (got[len(block.raw) :] == 0).all()


def test_a_supernets_t_hat_is_that_of_its_read_out() -> None:
    space = MixConv(read_supernet("tiny"))
    supernet = SupernetModule(space).eval()
    supernet.reset(torch.Generator().manual_seed(0))
    table = awkward(space, 4)
    term = LatencyTerm(space, [table])
    generator = torch.Generator().manual_seed(1)
    seen = set()
    for _ in range(20):
        with torch.no_grad():
            for thresholds in supernet.thresholds:  # about half of the norms lie below
                thresholds.copy_(torch.rand(thresholds.shape, generator=generator) * 2)
        t_hat = term(supernet.probabilities())
        assert t_hat.item() == table.cost(supernet.architecture())
        seen.add(t_hat.item())
    t_hat.sum().backward()
    assert len(seen) > 10
    assert all(t.grad is not None and t.grad.abs().sum() > 0 for t in (*supernet.thresholds, *supernet.depthwise))


def test_a_table_of_another_supernet_is_refused(space: MixConv) -> None:
    with pytest.raises(ConfigError, match="is of mixconv:tiny and not of mixconv"):
        LatencyTerm(space, [awkward(MixConv(read_supernet("tiny")), 0)])
