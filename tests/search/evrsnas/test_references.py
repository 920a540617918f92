from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from profiler.errors import ConfigError
from search.evrsnas.references import ModuleReference, reference_for
from search.evrsnas.scoring import RmiScorer, ScorePreset, check_classes, check_images, draw_batch

TINY = ScorePreset("tiny", channels=4, cells_per_stage=1, image_size=16, steps=0, batch_size=8, pool=24, balanced=True)


class Small(nn.Module):
    def __init__(self, classes: int = 3, size: int = 32) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 8, 3, 2), nn.Conv2d(8, 8, 3)
        side = ((size - 3) // 2 + 1 - 3) // 2 + 1 - 2
        self.unused = nn.Identity()
        self.linear = nn.Linear(8 * side * side, classes)

    def forward(self, x):
        return self.linear(self.three(self.two(self.one(x)).relu()).flatten(1))


def small(**how):
    torch.manual_seed(0)
    return Small(**how)


def made():
    return small(), ("one", "two", "three")


def test_any_module_with_named_taps_is_a_reference(toy_images, space):
    reference = ModuleReference(small(), ("one", "two", "three"), toy_images)
    logits, features = reference.features(toy_images.test_images[:5])
    assert logits.shape == (5, 3)
    assert [f.shape[1] for f in features] == [4, 8, 8]
    losses = reference.losses(toy_images.test_images, toy_images.test_labels)
    expected = nn.functional.cross_entropy(
        torch.from_numpy(reference.features(toy_images.test_images)[0]),
        torch.from_numpy(toy_images.test_labels),
        reduction="none",
    )
    assert losses == pytest.approx(expected.numpy(), abs=1e-5)
    score = RmiScorer(space, TINY, reference, toy_images, 0).score(space.at(12_345))
    assert 0 < score < 3
    assert ModuleReference(small(), ("one", "two", "linear"), toy_images).digest != reference.digest


@pytest.mark.parametrize(
    ("module", "taps", "words"),
    [
        (small(), ("one", "two"), "three stages, not in 2"),
        (small(), ("one", "two", "four"), "no part 'four'"),
        (small(), ("one", "two", "unused"), "'unused' gives no tensor"),
        (small(size=48), ("one", "two", "three"), r"images of shape \(3, 32, 32\)"),
        (small(classes=7), ("one", "two", "three"), "3 classes"),
    ],
)
def test_unfit_references_are_refused_in_a_sentence(module, taps, words, toy_images):
    with pytest.raises(ConfigError, match=words):
        ModuleReference(module, taps, toy_images)


def test_a_batch_of_one_class_is_refused(toy_images, toy_reference):
    one = replace(toy_images, train_labels=np.zeros_like(toy_images.train_labels))
    with pytest.raises(ConfigError, match="one class only"):
        draw_batch(one, toy_reference, TINY, 0)
    batch = draw_batch(toy_images, toy_reference, TINY, 0)
    trained, single = replace(TINY, steps=1), replace(batch, labels=np.zeros_like(batch.labels))
    check_classes(batch, trained)
    for how in (trained, replace(TINY, kind="mixed_loss")):
        with pytest.raises(ConfigError, match="a balanced preset"):
            check_classes(single, how)
    check_classes(single, TINY)  # phi as initialised asks for no labels


def test_images_are_refused_before_there_is_a_reference(toy_images):
    n = len(toy_images.train_labels)
    check_images(toy_images, TINY, 0)
    one = replace(toy_images, train_labels=np.zeros(n, dtype=np.int64))
    with pytest.raises(ConfigError, match="one class only, so that there is nothing to tell apart: give images of two"):
        check_images(one, TINY, 0)
    with pytest.raises(ConfigError, match=f"{n} training images, fewer than the batch of {n + 1}"):
        check_images(toy_images, replace(TINY, batch_size=n + 1, pool=n + 1), 0)
    few, lonely = replace(TINY, pool=TINY.batch_size, steps=1), np.zeros(n, dtype=np.int64)
    lonely[next(i for i in range(n) if i not in drawn_by(few, n))] = 1
    with pytest.raises(ConfigError, match=r"that seed 0 draws, .* are of one class only: .* or take another seed"):
        check_images(replace(toy_images, train_labels=lonely), few, 0)
    check_images(replace(toy_images, train_labels=lonely), replace(few, steps=0), 0)


def drawn_by(how, n):
    return np.random.default_rng(0).choice(n, size=min(how.pool, n), replace=False)


def test_references_by_name(toy_images, toy_weights, toy_reference, tmp_path):
    assert reference_for(str(toy_weights), toy_images, 0).digest == toy_reference.digest
    with pytest.raises(ConfigError, match=r"package\.module:function"):
        reference_for("strange", toy_images, 0)
    with pytest.raises(ConfigError, match="cannot be made"):
        reference_for("no_such_package_here:make", toy_images, 0)


def test_the_public_weights_beside_cifar10_are_its_reference(data_dir):
    from search.data import load_images

    reference = reference_for(None, load_images(str(data_dir)), 0, data=data_dir)
    assert "resnet20_cifar10.npz" in reference.origin
