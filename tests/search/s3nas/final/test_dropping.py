"""Drop-connect and dropout as hooks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from profiler.workloads.builders.torch import WorkloadModule, build_module
from search.s3nas.final.dropping import Dropping, drop_rates
from search.spaces.mixconv import MixConv
from search.spaces.network import Places, assemble
from search.spaces.supernet import read_supernet

CPU = torch.device("cpu")


def built() -> tuple[WorkloadModule, Places]:
    space = MixConv(read_supernet("tiny"))
    workload, places = assemble(space.network(space.maximal))
    return build_module(workload), places


def test_the_rate_grows_with_depth_and_only_where_there_is_a_residual() -> None:
    assert drop_rates((1, None, 3, 4), 0.2) == pytest.approx((0.0, 0.0, 0.1, 0.15))


def test_whole_images_are_dropped_from_the_body_of_a_block_alone() -> None:
    module, places = built()
    Dropping(module, places, 0.5, 0.0, CPU).at(0, 0)
    last = max(a for a in places.additions if a is not None)
    rate = drop_rates(places.additions, 0.5)[places.additions.index(last)]
    assert rate == pytest.approx(0.4)
    add = module.parts[str(last)].train()
    body, skipped = torch.ones(4000, 2, 3, 3), torch.full((4000, 2, 3, 3), 10.0)
    out = add(body, skipped)
    kept = out[:, 0, 0, 0] != 10.0
    assert (out == out[:, :1, :1, :1]).all()  # an image is dropped as a whole
    assert out[kept].unique().tolist() == pytest.approx([10.0 + 1 / (1 - rate)])
    assert kept.float().mean().item() == pytest.approx(1 - rate, abs=0.03)
    assert out.mean().item() == pytest.approx(11.0, abs=0.05)
    assert (add.eval()(body, skipped) == 11.0).all()


def test_dropout_takes_single_features_before_the_classifier() -> None:
    module, places = built()
    Dropping(module, places, 0.0, 0.25, CPU).at(0, 0)
    classifier = module.parts[str(places.classifier)].train()
    seen: list[torch.Tensor] = []
    classifier.register_forward_pre_hook(lambda part, inputs: seen.append(inputs[0]))
    classifier(torch.ones(500, 64))
    assert seen[0].unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    classifier.eval()(torch.ones(2, 64))
    assert (seen[1] == 1).all()


def test_what_is_dropped_is_a_function_of_seed_and_step() -> None:
    module, places = built()
    module.train()
    dropping = Dropping(module, places, 0.9, 0.5, CPU)
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32))

    def logits(seed: int, step: int) -> torch.Tensor:
        dropping.at(seed, step)
        with torch.no_grad():
            result = module(images)
        assert isinstance(result, torch.Tensor)
        return result

    first = logits(0, 7)
    torch.rand(1)  # torch's own numbers do not matter
    assert torch.equal(first, logits(0, 7))
    assert not torch.equal(first, logits(0, 8))
    assert not torch.equal(first, logits(1, 7))


def test_nothing_is_hooked_where_nothing_is_dropped() -> None:
    module, places = built()
    Dropping(module, places, 0.0, 0.0, CPU)
    assert not any(part._forward_pre_hooks for part in module.parts.values())
