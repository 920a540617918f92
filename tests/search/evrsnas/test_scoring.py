import hashlib
import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from profiler.errors import ConfigError
from search.evrsnas.rmi import rmi
from search.evrsnas.scoring import PRESETS, RmiScorer, ScorePreset, draw_batch, preset

TINY = ScorePreset("tiny", channels=4, cells_per_stage=1, image_size=16, steps=2, batch_size=8, pool=24)
CONVS = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
CUT_OFF = (
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|none~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|",
)


@pytest.fixture
def make(space, toy_images, toy_reference):
    def scorer(seed=0, **changes):
        return RmiScorer(space, replace(TINY, **changes), toy_reference, toy_images, seed)

    return scorer


def test_the_papers_preset_is_the_papers():
    paper = preset("paper")
    assert (paper.channels, paper.cells_per_stage, paper.image_size, paper.steps) == (16, 5, 32, 150)
    assert (paper.batch_size, paper.pool, paper.balanced, paper.networks) == (32, 512, False, 1)
    assert (paper.learning_rate, paper.momentum, paper.weight_decay, paper.rmi_weight) == (0.1, 0.9, 5e-4, 0.8)
    assert set(PRESETS) == {"paper", "quick", "reduced", "reduced16", "untrained"}
    with pytest.raises(ConfigError, match="paper, quick"):
        preset("slow")


def test_a_score_is_a_sum_of_three_rmis_and_reproducible(make, space):
    archs = [space.parse(CONVS), space.at(4_321), space.at(15_624)]
    first = make()(archs)
    assert first.dtype == np.float64
    assert ((first > 0) & (first <= 3)).all()
    assert make()(archs[::-1]).tolist() == first[::-1].tolist()
    assert make(seed=1).score(archs[0]) != first[0]


def test_the_score_is_phi_of_the_networks_own_features(make, space, toy_images, toy_reference, monkeypatch):
    """Recomputed from the features with the numpy definition, for an untrained network with known weights."""
    from profiler.workloads.builders import torch as builder

    original = builder.reset
    monkeypatch.setattr(builder, "reset", lambda m, g: original(m, torch.Generator().manual_seed(5)))
    scorer = make(steps=0)
    workload, taps = space.assemble(
        space.parse(CONVS), cells_per_stage=1, channels=4, image_size=16, num_classes=toy_images.num_classes
    )
    module = builder.WorkloadModule(workload, taps)
    original(module, torch.Generator().manual_seed(5))
    with torch.no_grad():
        _, ours = module.train()(torch.from_numpy(scorer.batch.images))
    _, theirs = toy_reference.features(toy_images.train_images[scorer.batch.indices])
    expected = sum(rmi(a.numpy(), b) for a, b in zip(ours, theirs, strict=True))
    assert scorer.score(space.parse(CONVS)) == pytest.approx(expected, abs=1e-5)


def test_training_raises_phi(make, space):
    untrained, trained = (make(steps=n).score(space.parse(CONVS)) for n in (0, 25))
    assert trained > untrained + 0.05


@pytest.mark.parametrize("text", CUT_OFF)
@pytest.mark.parametrize("steps", [0, 2])
def test_a_network_cut_off_from_its_input_scores_zero(make, space, text, steps):
    assert make(steps=steps).score(space.parse(text)) == 0.0


def test_a_network_that_diverges_has_no_score(make, space):
    assert math.isnan(make(learning_rate=1e30, steps=4).score(space.parse(CONVS)))


def test_the_mixed_loss_is_negated(make, space):
    loss = -make(kind="mixed_loss", steps=0).score(space.parse(CONVS))
    phi = make(steps=0).score(space.parse(CONVS))
    entropy = (loss - 0.8 * (3 - phi)) / 0.2
    assert 0.3 < entropy < 4  # the cross-entropy of three classes, untrained


def test_the_identity_names_all_that_scores_depend_on(make):
    identities = [make().identity, make(seed=1).identity, make(steps=3).identity, make(balanced=True).identity]
    assert len(set(identities)) == 4
    assert make(name="otherwise called").identity == identities[0]


def test_scoring_leaves_the_global_state_alone(make, space):
    before = (torch.get_num_threads(), torch.random.get_rng_state())
    make().score(space.parse(CONVS))
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_the_batch_holds_the_easiest_images_of_the_pool(toy_images, toy_reference):
    how = replace(TINY, pool=48)
    batch = draw_batch(toy_images, toy_reference, how, seed=0)
    losses = toy_reference.losses(toy_images.train_images, toy_images.train_labels)
    assert set(batch.indices) == set(np.argsort(losses)[:8])
    assert batch.images.shape == (8, 3, 16, 16)
    assert batch.labels.tolist() == toy_images.train_labels[batch.indices].tolist()
    assert [np.linalg.norm(t) for t in batch.targets] == pytest.approx([1, 1, 1])
    balanced = draw_batch(toy_images, toy_reference, replace(how, balanced=True), seed=0)
    assert sorted(np.bincount(balanced.labels)) == [2, 3, 3]


def test_the_pool_is_drawn_by_the_seed(toy_images, toy_reference):
    drawn = [draw_batch(toy_images, toy_reference, replace(TINY, pool=8), seed).indices.tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_batch_larger_than_the_data_is_refused(toy_images, toy_reference):
    with pytest.raises(ConfigError, match="48 training images"):
        draw_batch(toy_images, toy_reference, replace(TINY, batch_size=64, pool=64), seed=0)


@pytest.mark.parametrize(
    "wrong", [{"steps": -1}, {"networks": 0}, {"batch_size": 1}, {"pool": 4, "batch_size": 8}, {"kind": "accuracy"}]
)
def test_impossible_presets_are_refused(wrong):
    with pytest.raises(ConfigError):
        replace(TINY, **wrong)


def test_networks_of_a_supernet_are_scored_and_the_identity_names_the_supernet(toy_images, toy_reference):
    from search.spaces.mixconv import MixConv
    from search.spaces.supernet import read_supernet

    supernet = read_supernet("tiny")
    space, twin = MixConv(supernet), MixConv(replace(supernet, head=replace(supernet.head, filters=32)))
    assert space.name == twin.name
    ours, theirs = (RmiScorer(s, TINY, toy_reference, toy_images, 0) for s in (space, twin))
    scores = ours([space.minimal, space.maximal])
    assert ((scores > 0) & (scores <= 3)).all()
    assert scores[0] != scores[1]
    assert ours.identity != theirs.identity
    assert ours.identity == RmiScorer(MixConv(supernet), TINY, toy_reference, toy_images, 0).identity


def test_a_space_without_a_definition_keeps_its_identity(make, space, toy_images, toy_reference):
    """Scores of the cell space that were kept before spaces had definitions are found again."""
    scorer = make()
    settings = {k: v for k, v in asdict(TINY).items() if k != "name"}
    parts = [1, space.name, settings, toy_reference.digest, toy_images.digest, scorer.batch.indices.tolist(), 0]
    assert scorer.identity == hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
