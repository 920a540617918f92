"""The supernet: the largest network with masked kernels, and nothing else changed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from search.s3nas.superkernel import SuperkernelBank
from search.s3nas.supernet import SupernetModule
from search.spaces.mixconv import MixConv
from search.spaces.network import assemble
from search.spaces.superblocks import merge
from search.spaces.supernet import bundled_supernets, parse_supernet, read_supernet

MBCONV = """
name: small-mbconv
resolution: 16
num_classes: 4
stem: {filters: 4, kernel: 3, stride: 1}
head: {filters: 16}
branches: [{kernel: 5, expansion: 6}]
stages: [{filters: 4, blocks: 2, stride: 1}, {filters: 8, blocks: 2, stride: 2}]
"""


def supernet(kind: str = "tiny", seed: int = 0) -> SupernetModule:
    space = MixConv(parse_supernet(MBCONV, "test") if kind == "mbconv" else read_supernet(kind))
    module = SupernetModule(space, resolution=16)
    module.reset(torch.Generator().manual_seed(seed))
    return module


def images(count: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def choose(module: SupernetModule, seed: int) -> list[tuple[int, ...]]:
    """Thresholds far off, so that random choices are taken; these."""
    rng = np.random.default_rng(seed)
    taken = []
    row = 0
    with torch.no_grad():
        for block in module.space.superblocks:
            taken.append(block.raw[rng.integers(len(block.raw))])
            for branch, choice in enumerate(taken[-1]):
                option = block.branch_choices(branch)[choice]
                shells, groups = (0, 0) if option is None else ((option[0] - 3) // 2, option[1] // block.step)
                for table, ones in zip(module.thresholds, (shells, groups), strict=True):
                    table[row] = 1e4
                    table[row, :ones] = -1e4
                row += 1
    return taken


@pytest.mark.parametrize("name", bundled_supernets())
def test_the_kernels_are_those_of_the_largest_network(name: str):
    space = MixConv(read_supernet(name))
    workload, places = assemble(space.network(space.maximal))
    shapes = [workload.param_shapes(index)["weight"] for block in places.depthwise for index in block]
    assert list(SuperkernelBank(space.superblocks).shapes) == shapes


@pytest.mark.parametrize("kind", ["tiny", "mbconv"])
def test_fresh_it_is_the_plain_network_with_every_indicator_one(kind: str):
    module = supernet(kind)
    logits, probabilities = module.eval()(images())
    torch.testing.assert_close(logits, module.module(images()), rtol=0, atol=0)
    assert module.architecture() == module.space.maximal
    assert probabilities.shape == (module.space.n_edges, max(len(b.raw) for b in module.space.superblocks))
    for row, block in zip(probabilities, module.space.superblocks, strict=True):
        assert row[len(block.raw) - 1] == 1  # the last combination is the largest
        assert row.sum() == 1


@pytest.mark.parametrize("kind", ["tiny", "mbconv"])
@pytest.mark.parametrize("seed", range(4))
def test_architecture_and_probabilities_are_the_choices_of_the_indicators(kind: str, seed: int):
    module = supernet(kind)
    taken = choose(module, seed)
    module.choice_dropout = True  # must not matter for the read-out
    blocks = module.space.superblocks
    kernels = [
        merge(option for b, c in enumerate(raw) if (option := block.branch_choices(b)[c]) is not None)
        for block, raw in zip(blocks, taken, strict=True)
    ]
    assert list(module.space.kernels_of(module.architecture())) == kernels
    rows = module.probabilities()
    assert [blocks[b].raw[int(place)] for b, place in enumerate(rows.argmax(1))] == taken
    torch.testing.assert_close(rows, module.eval()(images())[1], rtol=0, atol=0)


def test_every_parameter_that_is_in_use_has_a_gradient():
    module = supernet().train()
    logits, probabilities = module(images())
    ranks = torch.arange(probabilities.shape[1], dtype=torch.float32)
    (nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3])) + (probabilities * ranks).sum()).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_the_latency_of_a_choice_that_was_left_still_pulls_at_its_threshold():
    """The way back: an indicator at 0 keeps the gradient of its sigmoid."""
    module = supernet()
    with torch.no_grad():
        module.bank.group_thresholds.fill_(2.0)
    module.probabilities()[0, 0].backward()  # the first block skipped
    assert module.probabilities()[0, 0] == 1
    assert (module.bank.group_thresholds.grad[:3, 0] > 0).all()


def test_running_it_leaves_nothing_behind():
    module = supernet()
    choose(module, 1)
    parameters = dict(module.named_parameters())
    before = copy.deepcopy(module.state_dict())
    module.eval()(images())
    module.architecture()
    module.draw(5)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    module.train()
    module.choice_dropout = True
    module(images())
    changed = {name for name, tensor in module.state_dict().items() if not torch.equal(before[name], tensor)}
    assert changed
    assert all(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in changed)
    assert all(parameter is parameters[name] for name, parameter in module.named_parameters())


def test_its_state_is_weights_statistics_and_thresholds():
    module = supernet(seed=1)
    choose(module, 2)
    names = set(module.state_dict())
    assert {n for n in names if not n.startswith("module.parts.")} == {
        "bank.kernel_thresholds", "bank.group_thresholds",
    }  # fmt: skip
    other = supernet(seed=2)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.eval()(images())[0], module.eval()(images())[0])
    assert other.architecture() == module.architecture() != module.space.maximal


def test_a_copy_is_apart():
    module = supernet()
    twin = copy.deepcopy(module)
    choose(twin, 0)
    with torch.no_grad():
        twin.depthwise[0].zero_()
    assert module.architecture() == module.space.maximal
    assert module.depthwise[0].any()
    assert not torch.equal(module.eval()(images())[0], twin.eval()(images())[0])


def test_reset_makes_it_fresh():
    module = supernet(seed=3)
    choose(module, 0)
    module.reset(torch.Generator().manual_seed(3))
    fresh = supernet(seed=3)
    assert all(torch.equal(fresh.state_dict()[name], tensor) for name, tensor in module.state_dict().items())


def test_classes_resolution_and_momentum_are_those_asked_for():
    module = SupernetModule(MixConv(read_supernet("tiny")), num_classes=7, resolution=24, bn_momentum=0.05)
    assert module.network.resolution == 24
    assert module(torch.zeros(2, 3, 24, 24))[0].shape == (2, 7)
    norms = [part for part in module.module.parts.values() if isinstance(part, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.05}
    assert {norm.eps for norm in norms} == {1e-3}
    default = [p for p in supernet().module.parts.values() if isinstance(p, nn.BatchNorm2d)]
    assert {norm.momentum for norm in default} == {0.01}


# ---------------------------------------------------------------- dropout of choices and before the classifier


def test_choice_dropout_acts_in_training_only():
    module = supernet()
    module.choice_dropout = True
    assert torch.equal(module.eval()(images())[1], module.probabilities())
    module.train()
    drawn = [module(images())[1] for _ in range(6)]
    assert all((rows.sum(1) == 1).all() for rows in drawn)
    assert len({tuple(rows.argmax(1).tolist()) for rows in drawn}) > 1
    module.choice_dropout = False
    assert torch.equal(module(images())[1], module.probabilities())


def test_draws_are_those_of_training():
    """The same random numbers lead to the same choices, whether the network runs or not."""
    module = supernet().train()
    module.choice_dropout = True
    for seed in range(5):
        torch.manual_seed(seed)
        rows = module(images())[1]
        torch.manual_seed(seed)
        (drawn,) = module.draw(1).tolist()
        assert [list(b.raw[int(r.argmax())]) for b, r in zip(module.space.superblocks, rows, strict=True)] == drawn


def test_dropout_before_the_classifier_acts_in_training_only():
    module = supernet()
    linear = module.module.parts[str(module.places.classifier)]
    seen: list[torch.Tensor] = []
    linear.register_forward_pre_hook(lambda part, inputs: seen.append(inputs[0]))
    ones = torch.ones(100, linear.in_features)
    torch.manual_seed(0)
    linear.train()(ones)
    linear.eval()(ones)
    assert float((seen[0] == 0).float().mean()) == pytest.approx(0.2, abs=0.02)
    assert set(seen[0].unique().tolist()) == {0.0, 1.25}
    assert torch.equal(seen[1], ones)
    whole = SupernetModule(module.space, resolution=16, dropout=0.0).train()
    whole.load_state_dict(module.state_dict())
    assert torch.equal(whole(images())[0], whole(images())[0])


# ---------------------------------------------------------------- other number formats and layouts


def test_autocast_keeps_masks_and_probabilities_in_float32():
    module = supernet().eval()
    choose(module, 3)
    plain, rows = module(images())
    with torch.autocast("cpu", torch.bfloat16):
        logits, probabilities = module.train()(images())
        half, same = module.eval()(images())
    assert logits.dtype == torch.bfloat16
    assert probabilities.dtype == torch.float32
    assert torch.equal(same, rows)
    with torch.autocast("cpu", torch.bfloat16):
        assert module.probabilities().dtype == torch.float32
    torch.testing.assert_close(half.float(), plain, rtol=0, atol=0.05 * float(plain.detach().abs().max()))
    (logits.float().square().sum() + probabilities.square().sum()).backward()
    assert all(
        p.grad is None or (p.grad.dtype == torch.float32 and p.grad.isfinite().all()) for p in module.parameters()
    )


def test_channels_last_computes_the_same():
    module = supernet().eval()
    choose(module, 3)
    plain, rows = module(images())
    module = module.to(memory_format=torch.channels_last)
    logits, probabilities = module(images().contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(logits, plain)
    assert torch.equal(probabilities, rows)
    logits.sum().backward()
