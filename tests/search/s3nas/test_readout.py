"""The network that is read out computes what the supernet computes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from profiler.workloads.builders.torch import build_module
from profiler.workloads.weights import check_weights
from search.s3nas.readout import read_out
from search.s3nas.supernet import SupernetModule
from search.spaces.mixconv import MixConv
from search.spaces.network import network_workload
from search.spaces.supernet import parse_supernet, read_supernet

ENDS = """
name: {name}
resolution: 16
num_classes: 4
stem: {{filters: 4, kernel: 3, stride: 1}}
head: {{filters: 16}}
"""
# stride 1 first; the third stage may vanish as a whole, in the middle of the residual stream of the second
STREAM = (
    ENDS.format(name="stream")
    + """
branches: [{kernel: 5, expansion: 2}, {kernel: 5, expansion: 2}, {kernel: 7, expansion: 2}]
stages: [{filters: 4, blocks: 3, stride: 1}, {filters: 6, blocks: 3, stride: 2}, {filters: 6, blocks: 2, stride: 1}]
"""
)
MBCONV = (
    ENDS.format(name="small-mbconv")
    + """
branches: [{kernel: 5, expansion: 6}]
stages: [{filters: 4, blocks: 2, stride: 1}, {filters: 8, blocks: 4, stride: 2}]
"""
)
SHUFFLED = (
    ENDS.format(name="shuffled")
    + """
branches: [{kernel: 7, expansion: 2}, {kernel: 3, expansion: 1}, {kernel: 7, expansion: 3}]
expansion_step: 1
stages: [{filters: 4, blocks: 1, stride: 1}, {filters: 5, blocks: 2, stride: 2}]
"""
)
TEXTS = {"stream": STREAM, "mbconv": MBCONV, "shuffled": SHUFFLED}


def supernet(kind: str, seed: int = 0, **more: float) -> SupernetModule:
    """With weights, norms and statistics all random, so that every constant shows."""
    space = MixConv(parse_supernet(TEXTS[kind], "test") if kind in TEXTS else read_supernet(kind))
    module = SupernetModule(space, resolution=16, **more)
    generator = torch.Generator().manual_seed(seed)
    module.reset(generator)
    for part in module.module.parts.values():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.3, generator=generator)
            for tensor in (part.bias, part.running_mean):
                nn.init.normal_(tensor, 0.0, 0.5, generator=generator)
            nn.init.uniform_(part.running_var, 0.3, 1.5, generator=generator)
    return module


def choose(module: SupernetModule, seed: int, skipped: frozenset[int] | None = None) -> None:
    """Random choices; with `skipped`, exactly these blocks skipped."""
    rng = np.random.default_rng(seed)
    row = 0
    with torch.no_grad():
        for index, block in enumerate(module.space.superblocks):
            raw = block.raw[rng.integers(len(block.raw))]
            if skipped is not None:
                off = (0,) * len(block.branches)
                raw = off if index in skipped else [r for r in block.raw if any(r)][rng.integers(len(block.raw) - 1)]
            for branch, choice in enumerate(raw):
                option = block.branch_choices(branch)[choice]
                shells, groups = (0, 0) if option is None else ((option[0] - 3) // 2, option[1] // block.step)
                for table, ones in zip(module.thresholds, (shells, groups), strict=True):
                    table[row] = 1e4
                    table[row, :ones] = -1e4
                row += 1


def difference(module: SupernetModule, train: bool = False) -> float:
    """The largest, relative to the logits' scale."""
    x = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    network, weights = read_out(module)
    workload = network_workload(network)
    check_weights(workload, weights)
    plain = build_module(workload, weights)
    with torch.no_grad():
        expected = module.train(train)(x)[0]
        got = plain.train(train)(x)
    return float((got - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("kind", ["tiny", "stream", "mbconv", "shuffled"])
@pytest.mark.parametrize("seed", range(8))
def test_the_network_computes_what_the_supernet_computes(kind: str, seed: int):
    module = supernet(kind, seed)
    choose(module, seed)
    assert difference(module) < 1e-5


@pytest.mark.parametrize(
    "skipped",
    [{0}, {0, 1, 2}, {1}, {4}, {4, 5}, {5, 6}, {7}, {6, 7}, {4, 5, 6, 7}, {0, 1, 2, 4, 5, 6, 7}, {2, 4, 7}],
    ids=str,
)
def test_skipped_blocks_anywhere(skipped: set[int]):
    module = supernet("stream", 3)
    choose(module, 3, frozenset(skipped))
    network, _ = read_out(module)
    assert sum(len(stage.blocks) for stage in network.stages) == 8 - len(skipped)
    assert difference(module) < 1e-5


@pytest.mark.parametrize("kind", ["stream", "mbconv"])
@pytest.mark.parametrize("seed", range(3))
def test_with_the_statistics_of_the_batch_it_is_the_same_as_well(kind: str, seed: int):
    """So what is dropped has no effect on the training of the rest."""
    module = supernet(kind, seed, dropout=0.0)
    choose(module, seed)
    assert difference(module, train=True) < 1e-4


def test_the_largest_choices_give_the_plain_largest_network():
    module = supernet("tiny")
    network, weights = read_out(module)
    assert network == module.network
    for index, arrays in weights.items():
        state = module.module.parts[str(index)].state_dict()
        assert all(np.array_equal(array, state[name].numpy()) for name, array in arrays.items())
        assert all(array.dtype == np.float32 for array in arrays.values())


def test_the_supernet_stays_as_it_is():
    module = supernet("stream")
    choose(module, 1)
    module.train()
    before = copy.deepcopy(module.state_dict())
    _, weights = read_out(module)
    for arrays in weights.values():
        for array in arrays.values():
            array += 1
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_resolution_and_classes_are_the_supernets_own():
    module = SupernetModule(MixConv(read_supernet("tiny")), num_classes=3, resolution=24)
    network, _ = read_out(module)
    assert (network.resolution, network.num_classes) == (24, 3)
