"""Tables of block costs: their sums, their bounds, what is missing, and budgets that make no sense."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from predictors.additive import AdditiveModel, Overhead
from predictors.intervals import Residuals
from predictors.lookup import KernelCosts
from profiler.errors import ConfigError
from profiler.workloads.fusion import cut
from profiler.workloads.graph import Workload
from search.s3nas.costs.blockcosts import BlockCosts, block_costs, block_costs_of_model, check_budgets
from search.spaces.mixconv import MixConv
from search.spaces.network import head_workload, places_of, stem_workload
from search.spaces.supernet import parse_supernet, read_supernet

MINI = """
name: mini
resolution: 8
num_classes: 3
stem: {filters: 4, kernel: 3, stride: 1}
head: {filters: 8}
branches: [{kernel: 5, expansion: 2}, {kernel: 3, expansion: 2}]
stages: [{filters: 4, blocks: 1, stride: 1}, {filters: 8, blocks: 2, stride: 2}]
"""


@pytest.fixture(scope="module")
def space() -> MixConv:
    return MixConv(parse_supernet(MINI, "test"))


def kilo_macs(workloads: Sequence[Workload]) -> NDArray[np.float64]:
    return np.array([w.macs / 1e3 for w in workloads])


@pytest.fixture(scope="module")
def table(space: MixConv) -> BlockCosts:
    return block_costs(space, kilo_macs, "toy", source="MACs")


def test_a_network_costs_the_sum_of_its_parts(space: MixConv, table: BlockCosts) -> None:
    rng = np.random.default_rng(0)
    for arch in (space.sample(rng) for _ in range(10)):
        assert table.cost(arch) == pytest.approx(space.workload(arch).macs / 1e3, rel=1e-14)
    assert [table.choices[b][0] for b, block in enumerate(space.superblocks) if block.residual] == [0.0, 0.0]


def test_bounds_are_those_of_all_networks(space: MixConv, table: BlockCosts) -> None:
    costs = table.costs(list(space.all()))
    assert (table.smallest, table.largest) == (costs.min(), costs.max())


def test_sums_are_exact_in_any_order() -> None:
    rng = np.random.default_rng(1)
    table = BlockCosts("s", "t", 0.1, tuple(rng.exponential(0.3, 5) for _ in range(6)))
    parts = [float(c[2]) for c in table.choices]
    totals = {sum(order, table.fixed) for order in itertools.permutations(parts)}
    assert len(totals) == 1


def test_rounding_is_far_below_any_measurement() -> None:
    given = np.random.default_rng(2).exponential(0.3, 7)
    table = BlockCosts("s", "t", 1 / 3, (given,))
    assert np.abs(table.choices[0] - given).max() < 1e-14
    assert not table.choices[0].flags.writeable


@pytest.mark.parametrize(("fixed", "choices"), [(float("nan"), [1.0]), (0.0, [1.0, float("inf")]), (0.0, [])])
def test_figures_that_are_none_are_refused(fixed: float, choices: list[float]) -> None:
    with pytest.raises(ConfigError, match="costs of t are no table of s"):
        BlockCosts("s", "t", fixed, (np.array(choices),))


def test_blocks_without_a_cost_are_named_with_the_command(space: MixConv) -> None:
    def partly(workloads: Sequence[Workload]) -> NDArray[np.float64]:
        return np.array([np.nan if "k5 e2 " in w.name else 1.0 for w in workloads])

    with pytest.raises(ConfigError) as caught:
        block_costs(space, partly, "rpi5/ort")
    assert "3 of 14 blocks of mixconv:mini have no cost on rpi5/ort: block k5 e2 4x8x8 -> 4 relu;" in str(caught.value)
    assert "`edgecost profile --target rpi5/ort --space mixconv:mini --blocks`" in str(caught.value)


def test_the_identity_is_of_the_figures(space: MixConv, table: BlockCosts) -> None:
    again = block_costs(space, kilo_macs, "toy", source="called otherwise")
    other = block_costs(space, lambda ws: kilo_macs(ws) * (1 + 1e-9), "toy")
    energy = block_costs(space, kilo_macs, "toy", unit="mj")
    assert again.identity == table.identity
    assert len({table.identity, other.identity, energy.identity}) == 3


def test_other_spaces_have_no_cost(table: BlockCosts) -> None:
    tiny = MixConv(read_supernet("tiny"))
    with pytest.raises(ConfigError, match="has no cost in the table of 'mixconv:mini'"):
        table.cost(tiny.maximal)


def test_classes_and_overhead_are_part_of_what_is_fixed(space: MixConv, table: BlockCosts) -> None:
    more = block_costs(space, kilo_macs, "toy", fixed_extra=2.0, num_classes=103)
    assert more.fixed == pytest.approx(table.fixed + 2.0 + 8 * 100 / 1e3)


def fitted(space: MixConv, constant: float, dispatch: float, scale: float) -> AdditiveModel:
    """A model that knows every kernel of the space's blocks."""
    model = AdditiveModel()
    model._set_target("toy", "onnxruntime", "fp32")
    kernels = {k.key: k for w in space.block_workloads() for k in cut(w, "onnxruntime", "fp32")}
    model.costs_ = KernelCosts({key: (0.01 * (n + 1), 0.0) for n, key in enumerate(kernels)})
    model.overhead_ = Overhead("scaled", constant, dispatch, scale, Residuals((0.0,), 1))
    model.measurements_sha256_ = ""
    return model


def test_a_models_constant_counts_once(space: MixConv) -> None:
    free = block_costs_of_model(space, fitted(space, 0.0, 0.1, 1.5))
    model = fitted(space, 7.0, 0.1, 1.5)
    table = block_costs_of_model(space, model)
    network = space.network(space.maximal)
    parts = [stem_workload(network), *(p.workload for p in places_of(network)), head_workload(network)]
    assert table.cost(space.maximal) == pytest.approx(model.predict(parts).sum() - 7.0 * (len(parts) - 1))
    assert table.fixed == pytest.approx(free.fixed + 7.0)
    assert all((a == pytest.approx(b)) for a, b in zip(table.choices, free.choices, strict=True))


def test_budgets_within_the_space_pass(table: BlockCosts) -> None:
    check_budgets([table], [(table.smallest + table.largest) / 2])
    check_budgets([table], [table.smallest])
    check_budgets([table], [table.largest])


def test_budgets_that_nothing_or_everything_meets_are_refused(table: BlockCosts) -> None:
    bounds = "networks of mixconv:mini cost 12.18 ms to 60.95 ms"
    with pytest.raises(ConfigError, match=f"no network meets 10 ms on toy: {bounds}; raise the budget"):
        check_budgets([table], [10.0])
    with pytest.raises(ConfigError, match=f"every network meets 100 ms on toy, so .* nothing to search: {bounds}"):
        check_budgets([table], [100.0])


@pytest.mark.parametrize("budgets", [[], [20.0, 20.0], [float("nan")]])
def test_budgets_that_are_none_are_refused(table: BlockCosts, budgets: list[float]) -> None:
    with pytest.raises(ConfigError):
        check_budgets([table], budgets)


def test_a_target_stands_once(table: BlockCosts) -> None:
    with pytest.raises(ConfigError, match="a target stands twice in toy, toy"):
        check_budgets([table, table], [20.0, 30.0])
