import math

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.evrsnas import brief
from search.evrsnas.brief import BriefTrainer, BriefTraining

CONV = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
WITH_DEAD = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
DEAD_END = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|skip_connect~1|none~2|"
UNCONNECTED = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
SMALL = BriefTraining(channels=4, image_size=8, epochs=2, batch_size=8, share=0.25)


def test_what_reaches_nothing_is_left_out(space):
    essential = space.essential(space.parse(DEAD_END))
    assert essential == space.essential(space.parse(WITH_DEAD))
    assert space.workload(essential).macs < space.workload(space.parse(DEAD_END)).macs
    for arch in [space.at(i) for i in range(0, space.size, 61)]:
        found = space.essential(arch)
        assert space.essential(found) == found
        assert space.connected(found) == space.connected(arch)
        assert space.workload(found).macs <= space.workload(space.representative(arch)).macs


def test_an_essential_network_computes_what_the_whole_does(space):
    import torch

    from profiler.workloads.builders.torch import build_module

    whole = space.workload(space.parse(DEAD_END), channels=4, cells_per_stage=1, image_size=8)
    essential = space.workload(space.essential(space.parse(DEAD_END)), channels=4, cells_per_stage=1, image_size=8)
    assert whole.pruned().macs == essential.macs < whole.macs
    for workload in (whole, essential):
        assert build_module(workload)(torch.zeros(2, 3, 8, 8)).shape[-1] == 10


def test_a_score_is_a_function_of_the_seed_and_of_what_reaches_the_output(space, toy_images):
    trainer = BriefTrainer(space, SMALL, toy_images, 0)
    first = trainer.train(space.parse(WITH_DEAD))
    assert 0 <= first.held_out <= 1
    assert trainer.train(space.parse(DEAD_END)).held_out == first.held_out
    assert trainer.train(space.parse(WITH_DEAD)).macs == first.macs == trainer.train(space.parse(CONV)).macs
    assert first.images_seen == 2 * (36 // 8) * 8
    assert first.seconds > 0


def test_the_loss_is_that_of_the_last_epoch(space, toy_images, monkeypatch):
    import search.training

    def train(module, *args, losses, **options):
        losses += [9.0] * (36 // 8) + [1.0, 2.0, 3.0, 6.0]
        return 0.5

    monkeypatch.setattr(search.training, "train_classifier", train)
    assert BriefTrainer(space, SMALL, toy_images, 0).train(space.parse(CONV)).loss == pytest.approx(3.0)


def test_losses_are_those_of_the_steps(space, toy_images):
    from profiler.workloads.builders.torch import build_module
    from search.training import train_classifier

    workload = space.workload(space.parse(CONV), **space.reduced(4, 1, 8, 3))
    losses = []
    train_classifier(build_module(workload), toy_images, 12, 0, batch_size=8, image_size=8, losses=losses)
    assert len(losses) == 12
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_the_global_generator_is_left_alone(space, toy_images):
    import torch

    before = torch.random.get_rng_state()
    BriefTrainer(space, SMALL, toy_images, 0).train(space.parse(CONV))
    assert torch.equal(before, torch.random.get_rng_state())


def test_test_images_change_nothing(space, toy_images):
    from dataclasses import replace

    other = replace(toy_images, test_images=np.zeros_like(toy_images.test_images))
    one, two = BriefTrainer(space, SMALL, toy_images, 0), BriefTrainer(space, SMALL, other, 0)
    assert one.identity == two.identity
    assert one.train(space.parse(CONV)).held_out == two.train(space.parse(CONV)).held_out


def test_everything_that_a_score_depends_on_is_in_its_identity(space, toy_images):
    first = BriefTrainer(space, SMALL, toy_images, 0).identity
    assert BriefTrainer(space, SMALL, toy_images, 0).identity == first
    assert BriefTrainer(space, SMALL, toy_images, 1).identity != first
    assert BriefTrainer(space, BriefTraining(), toy_images, 0).identity != first


def test_a_diverged_training_has_no_score(space, toy_images, monkeypatch):
    import search.training

    def diverge(module, *args, losses, **options):
        losses += [1.0] * 100
        return math.nan

    monkeypatch.setattr(search.training, "train_classifier", diverge)
    found = BriefTrainer(space, SMALL, toy_images, 0).train(space.parse(CONV))
    assert math.isnan(found.held_out)
    assert math.isnan(found.loss)


def test_bad_requests_are_refused(space, toy_images):
    with pytest.raises(ConfigError, match="does not depend on its input"):
        BriefTrainer(space, SMALL, toy_images, 0).train(space.parse(UNCONNECTED))
    for bad in ({"epochs": 0}, {"batch_size": 1}):
        with pytest.raises(ConfigError, match="at least one epoch and two images"):
            BriefTraining(**bad)
    with pytest.raises(ConfigError, match="give a share between 0 and 1"):
        BriefTrainer(space, BriefTraining(share=1.0), toy_images, 0)
    assert brief.BriefTraining().epochs
