"""FBNet's layers as costs of a supernet's blocks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from profiler.errors import ConfigError
from profiler.tables.formats.hwnasbench import FbnetBlock, FbnetTable, fbnet_places, read_hwnasbench
from search.s3nas.costs.imported import absolute_blocks, coverage, imported_costs
from search.spaces.mixconv import MixConv
from search.spaces.network import places_of
from search.spaces.superblocks import Superblock
from search.spaces.supernet import BranchLimits, read_supernet


def layer(place: tuple[int, int, int, int], kernel: int, expansion: int, groups: int, ms: float) -> FbnetBlock:
    absolute = place[3] == 1 and place[0] == place[1]
    return FbnetBlock("toy", *place, kernel, expansion, ms, absolute, groups)


@pytest.fixture
def table() -> FbnetTable:
    """Every layer of FBNet on a made-up device: the n-th figure of the file is n ms."""
    places = dict.fromkeys((p.in_channels, p.out_channels, p.size, p.stride) for p in fbnet_places())
    shapes = [(p, k, e, g) for p in places for k in (3, 5) for e, g in ((1, 1), (1, 2), (3, 1), (6, 1))]
    return FbnetTable(tuple(layer(*shape, ms=n + 1.0) for n, shape in enumerate(shapes)), {"toy": 7.0}, "made up")


@pytest.fixture
def fbnet32() -> MixConv:
    return MixConv(read_supernet("fbnet32"))


def test_every_choice_of_fbnet32_has_its_figure(table: FbnetTable, fbnet32: MixConv) -> None:
    costs = imported_costs(table, "toy", fbnet32)
    assert (costs.space, costs.target, costs.unit) == (fbnet32.name, "toy", "ms")
    assert costs.fixed == 7.0
    assert len(costs.choices) == 22
    first = fbnet32.superblocks[0]
    assert first.choices == ((), ((3, 3),), ((5, 3),), ((3, 6),), ((5, 6),))
    np.testing.assert_array_equal(costs.choices[0], [0.0, 3.0, 7.0, 4.0, 8.0])
    for block, ms in zip(fbnet32.superblocks, costs.choices, strict=True):
        assert ms.shape == (len(block.choices),)
        assert (ms[0] == 0.0) == block.residual


def test_coverage_counts_distinct_blocks_and_names_what_lacks(table: FbnetTable, fbnet32: MixConv) -> None:
    assert coverage(fbnet32.superblocks, table.of("toy")) == (48, 48, ())
    none = coverage(MixConv(read_supernet("graded32")).superblocks, table.of("toy"))
    assert (none.n_covered, len(none.missing)) == (0, none.n_total)
    mixed = Superblock(16, 16, 32, 1, (BranchLimits(3, 3), BranchLimits(5, 3)), 3)
    found = coverage((mixed, mixed), table.of("toy"))
    assert found == (3, 4, ("k3,5 e3,3 at 16x32x32 -> 16 /1",))


def test_grouped_layers_are_not_taken_for_blocks(table: FbnetTable) -> None:
    grouped = [replace(x, groups=2) for x in table.of("toy")]
    block = Superblock(16, 16, 32, 1, (BranchLimits(5, 6),), 3)
    assert coverage([block], grouped).n_covered == 0


def test_choices_that_the_table_lacks_are_named(table: FbnetTable, fbnet32: MixConv) -> None:
    lacking = replace(table, rows=tuple(x for x in table.rows if (x.size, x.kernel, x.expansion) != (4, 5, 6)))
    with pytest.raises(
        ConfigError,
        match=r"lacks 2 of the 48 blocks of fbnet32 on toy: k5 e6 at 184x4x4 -> 184 /1; k5 e6 at 184x4x4 -> 352",
    ):
        imported_costs(lacking, "toy", fbnet32)
    with pytest.raises(ConfigError, match=r"lacks 150 of the 150 .* and 145 more; search the supernet fbnet32"):
        imported_costs(table, "toy", MixConv(read_supernet("graded32")))
    with pytest.raises(ConfigError, match="no device 'pixel3'"):
        imported_costs(table, "pixel3", fbnet32)


def test_relative_figures_need_each_of_their_places_once(table: FbnetTable, fbnet32: MixConv) -> None:
    stages = fbnet32.supernet.stages
    without_last = MixConv(replace(fbnet32.supernet, stages=stages[:-1]))
    with pytest.raises(ConfigError, match="at 184x4x4 -> 352 /1 relative to a constant"):
        imported_costs(table, "toy", without_last)
    shorter = MixConv(replace(fbnet32.supernet, stages=(stages[0], replace(stages[1], blocks=2), *stages[2:])))
    assert len(imported_costs(table, "toy", shorter).choices) == 20


def test_absolute_blocks_are_the_supernets_own_workloads(table: FbnetTable, fbnet32: MixConv) -> None:
    workloads, ms = absolute_blocks(table, "toy")
    assert len(workloads) == len(ms) == 36
    figures = {w.key: x for w, x in zip(workloads, ms, strict=True)}
    assert len(figures) == 36
    network = fbnet32.network(fbnet32.maximal)
    place = places_of(network)[0]
    assert place.residual
    assert figures[place.workload.key] == imported_costs(table, "toy", fbnet32).choices[0][-1] == 8.0


def test_sums_of_random_networks_are_those_of_the_public_table(data_dir: Path, fbnet32: MixConv) -> None:
    table = read_hwnasbench(data_dir)
    codes = {(): 8, ((3, 3),): 2, ((3, 6),): 3, ((5, 3),): 6, ((5, 6),): 7}
    rng = np.random.default_rng(0)
    for device in table.devices:
        costs = imported_costs(table, device, fbnet32)
        archs = [fbnet32.sample(rng) for _ in range(50)]
        whole = [table.network_ms(device, [codes[k] for k in fbnet32.kernels_of(arch)]) for arch in archs]
        np.testing.assert_allclose(costs.costs(archs), whole, rtol=1e-12)
