"""The MixConv space: architectures are networks and back, equal networks are one class, and evolution stays inside."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.spaces import find_space
from search.spaces.mixconv import MixConv
from search.spaces.network import network_workload, parts_of, read_network, write_network
from search.spaces.supernet import BranchLimits, StageLimits, bundled_supernets, read_supernet

NET_M = Path(__file__).parents[2] / "data" / "s3nas_m.yaml"


@pytest.fixture(scope="module")
def tiny() -> MixConv:
    return MixConv(read_supernet("tiny"))


@pytest.fixture(params=bundled_supernets())
def bundled(request: pytest.FixtureRequest) -> MixConv:
    return MixConv(read_supernet(request.param))


def drawn(space: MixConv, n: int = 30, seed: int = 0):
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(n)]


# -------------------------------------------------------------------- names and sizes


def test_names_lead_back_to_the_space():
    assert find_space("mixconv").name == "mixconv"
    assert find_space("mixconv").supernet == read_supernet("graded32")
    for name in ("tiny", "flat32"):
        assert find_space(f"mixconv:{name}").name == f"mixconv:{name}"
    with pytest.raises(ConfigError, match="no supernet 'grated'"):
        find_space("mixconv:grated")


def test_the_definition_tells_supernets_of_one_name_apart(tiny: MixConv):
    other = MixConv(replace(tiny.supernet, num_classes=7))
    assert other.name == tiny.name
    assert other.definition != tiny.definition
    assert MixConv(replace(tiny.supernet, description="else")).definition == tiny.definition


def test_the_number_of_architectures_is_the_product_of_the_choices(tiny: MixConv):
    assert [tiny.ops_of(e) for e in range(tiny.n_edges)] == [16, 15, 16, 15, 16]
    assert tiny.size == 16 * 15 * 16 * 15 * 16
    assert tiny.n_ops == 16


def test_blocks_stand_where_the_supernet_says(bundled: MixConv):
    stages = bundled.supernet.stages
    assert bundled.n_edges == sum(s.blocks for s in stages)
    assert Counter(bundled.stage_of) == {i: s.blocks for i, s in enumerate(stages)}
    network = bundled.network(bundled.maximal)
    for block, part in zip(bundled.superblocks, parts_of(network)[1:-1], strict=True):
        assert part.shapes[part.inputs[0]][0] == (1, block.in_channels, block.size, block.size)
        assert part.shape(part.outputs[0])[1] == block.out_channels
        assert (part.ops[part.outputs[0][0]].kind == "add") == block.residual


# -------------------------------------------------------------------- architectures and networks


def test_a_network_leads_back_to_its_architecture(bundled: MixConv, tmp_path: Path):
    for arch in (*drawn(bundled, 5), bundled.maximal, bundled.minimal):
        network = bundled.network(arch)
        back = bundled.architecture_of(network)
        assert bundled.network(back) == network
        assert back == bundled.representative(arch)
        write_network(network, tmp_path / "net.yaml")
        assert bundled.architecture_of(read_network(tmp_path / "net.yaml")) == back


def test_the_ends_of_the_space(bundled: MixConv):
    low, high = (bundled.workload(a).macs for a in (bundled.minimal, bundled.maximal))
    assert all(low <= bundled.workload(a).macs <= high for a in drawn(bundled, 10))
    assert sum(len(s.blocks) for s in bundled.network(bundled.maximal).stages) == bundled.n_edges


def test_the_smallest_network_is_the_smallest_of_all():
    space = MixConv(replace(read_supernet("tiny"), stages=(StageLimits(8, 1, 1), StageLimits(16, 2, 2))))
    every = {space.workload(a).params for a in space.all()}
    assert space.workload(space.minimal).params == min(every)


def test_net_m_is_an_architecture_of_the_graded_supernet():
    space = MixConv(read_supernet("graded"))
    network = read_network(NET_M)
    assert space.network(space.architecture_of(network)) == network


def test_networks_of_other_supernets_are_refused(tiny: MixConv):
    network = tiny.network(tiny.maximal)
    first, *rest = network.stages
    with pytest.raises(ConfigError, match="tiny has 3 stages, not 2"):
        tiny.architecture_of(replace(network, stages=tuple(rest)))
    with pytest.raises(ConfigError, match="stage 1 of tiny has 1 blocks, not 2"):
        tiny.architecture_of(replace(network, stages=(replace(first, blocks=first.blocks * 2), *rest)))
    wide = replace(first, blocks=(replace(first.blocks[0], kernels=((9, 2),)),))
    with pytest.raises(ConfigError, match=r"'k9 e2' is no choice of block 1 of tiny \(stage 1\)"):
        tiny.architecture_of(replace(network, stages=(wide, *rest)))


def test_skipped_blocks_leave_the_network_and_nothing_else():
    space = MixConv(read_supernet("flat32"))
    arch = drawn(space, 1)[0]
    kept = space.kernels_of(arch)
    assert [b.kernels for s in space.network(arch).stages for b in s.blocks] == [k for k in kept if k]
    assert space.architecture((0,) * space.n_edges) == space.minimal
    assert [len(s.blocks) for s in space.network(space.minimal).stages] == [1, 1, 1, 1, 1]  # what has no residual stays


# -------------------------------------------------------------------- classes


def test_equal_networks_are_exactly_one_class():
    """Against enumeration: all architectures of a small supernet, grouped by their Workload's key."""
    stages = (StageLimits(8, 2, 1), StageLimits(12, 3, 2))
    space = MixConv(replace(read_supernet("tiny"), stages=stages, branches=(BranchLimits(5, 2),)))
    assert space.size == 3 * 3 * 2 * 3 * 3
    classes: dict[str, set[str]] = {}
    for arch in space.all():
        classes.setdefault(space.canonical(arch), set()).add(space.workload(arch).key)
        representative = space.representative(arch)
        assert space.canonical(representative) == space.canonical(arch)
        assert space.representative(representative) == representative
    assert all(len(keys) == 1 for keys in classes.values())
    assert len({key for keys in classes.values() for key in keys}) == len(classes)
    assert len({space.representative(a) for a in space.all()}) == len(classes)
    # 1, 2 or 4 blocks of two kernels in the first stage, and so on: sequences, not subsets
    assert len(classes) == (1 + 2 + 4) * 2 * (1 + 2 + 4)


# -------------------------------------------------------------------- variation


def test_offspring_is_legal_and_inherits(bundled: MixConv):
    rng = np.random.default_rng(3)
    a, b = drawn(bundled, 2)
    for _ in range(30):
        child = bundled.crossover(a, b, rng)
        assert all(c in (x, y) for c, x, y in zip(child.choices, a.choices, b.choices, strict=True))
        mutant = bundled.mutate(child, rng, 0.3)
        assert bundled.architecture(mutant.choices) == mutant
        assert network_workload(bundled.network(mutant)).macs > 0


def test_a_random_architecture_is_uniform_over_distinct_blocks(tiny: MixConv):
    counts = np.zeros((tiny.n_edges, tiny.n_ops))
    n = 20_000
    for arch in drawn(tiny, n, seed=5):
        counts[np.arange(tiny.n_edges), arch.choices] += 1
    for edge in range(tiny.n_edges):
        seen = counts[edge, : tiny.ops_of(edge)]
        expected = n / tiny.ops_of(edge)
        assert counts[edge].sum() == seen.sum()
        assert ((seen - expected) ** 2 / expected).sum() < 45  # chi-square with 15 degrees of freedom: p = 1e-4


# -------------------------------------------------------------------- Workloads


def test_macro_parameters_change_input_and_classes_only(tiny: MixConv):
    arch = tiny.maximal
    work = tiny.workload(arch, resolution=48, num_classes=3)
    assert work.shapes[work.inputs[0]][0] == (1, 3, 48, 48)
    assert work.shape(work.outputs[0]) == (1, 3)
    assert tiny.workload(arch, image_size=48, num_classes=3).key == work.key
    assert tiny.workload(arch, **tiny.reduced(8, 1, 48, 3)).key == work.key
    with pytest.raises(ConfigError, match="no macro parameter 'channels'; it knows resolution and num_classes"):
        tiny.workload(arch, channels=8)


def test_taps_follow_the_stages(bundled: MixConv):
    for arch in (bundled.minimal, bundled.maximal, *drawn(bundled, 3)):
        work, (first, second, last) = bundled.assemble(arch)
        assert first[0] <= second[0] < last[0]
        assert work.shape(last)[1] == bundled.supernet.head.filters


def test_taps_of_a_space_of_one_stage_are_behind_it():
    space = MixConv(replace(read_supernet("tiny"), stages=(StageLimits(16, 2, 2),)))
    work, taps = space.assemble(space.maximal)
    assert taps[0] == taps[1]
    assert work.shape(taps[0]) == (1, 16, 8, 8)


def test_what_is_to_be_measured_are_the_parts_of_all_networks(tiny: MixConv):
    keys = {w.key for w in tiny.block_workloads()}
    assert len(keys) == len(tiny.block_workloads())
    used = {part.key for arch in drawn(tiny, 300) for part in parts_of(tiny.network(arch))}
    assert used <= keys
    each = {tiny.choice_workload(b, c).key for b, p in enumerate(tiny.superblocks) for c in range(len(p.choices))
            if p.choices[c]}  # fmt: skip
    assert keys == each | {w.key for w in tiny.fixed_workloads()}


def test_blocks_that_stand_alike_are_measured_once():
    space = MixConv(read_supernet("graded32"))
    places = {(b.in_channels, b.out_channels, b.size, b.stride): b for b in space.superblocks}
    expected = sum(len([c for c in b.choices if c]) for b in places.values())
    assert len(space.block_workloads()) == expected + 2
    other = space.block_workloads(num_classes=7)
    assert len({w.key for w in (*other, *space.block_workloads())}) == expected + 3  # another classifier


def test_a_skipped_choice_is_no_workload(tiny: MixConv):
    with pytest.raises(ConfigError, match="nothing to measure"):
        tiny.choice_workload(0, 0)
