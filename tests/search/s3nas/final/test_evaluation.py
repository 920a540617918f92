"""Accuracy over a split, and batch-norm statistics taken anew."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from search.s3nas.final.evaluation import accuracy_of, recalibrate
from search.tasks import ArraySplit, Images, Indices


class Asked(ArraySplit):
    """Notes which images were asked for."""

    __slots__ = ("indices",)

    def batch(self, indices: Indices) -> Images:
        asked = getattr(self, "indices", [])
        object.__setattr__(self, "indices", [*asked, indices])
        return super().batch(indices)


def by_class(count: int = 600) -> Asked:
    """Images of three classes, one class after another, whose mean is their class."""
    labels = np.sort(np.arange(count) % 3).astype(np.int64)
    noise = np.random.default_rng(0).normal(0, 0.1, (count, 3, 4, 4))
    return Asked((noise + labels[:, None, None, None]).astype(np.float32), labels)


def test_accuracy_counts_over_batches() -> None:
    class First(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :2, 0, 0]

    images = np.zeros((600, 2, 1, 1), dtype=np.float32)
    images[:, 1] = 1.0
    module = First().train()
    assert accuracy_of(module, ArraySplit(images, np.array([1] * 450 + [0] * 150))) == 0.75
    assert not module.training


def test_statistics_are_means_over_randomly_drawn_whole_batches() -> None:
    split, norm = by_class(), nn.BatchNorm2d(3, momentum=0.1)
    recalibrate(norm, split, 300, seed=1)
    used = split.indices
    assert [len(indices) for indices in used] == [128, 128]
    assert len(np.unique(np.concatenate(used))) == 256
    assert not np.array_equal(used[0], np.sort(used[0]))
    images = [split.images[indices] for indices in used]
    np.testing.assert_allclose(norm.running_mean, np.mean([i.mean((0, 2, 3)) for i in images], axis=0), rtol=1e-5)
    variances = [i.var((0, 2, 3), ddof=1) for i in images]
    np.testing.assert_allclose(norm.running_var, np.mean(variances, axis=0), rtol=1e-4)
    assert norm.momentum == 0.1
    assert not norm.training


def test_few_images_are_all_used_and_nothing_is_dropped() -> None:
    split = by_class(30)
    module = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(3))
    recalibrate(module, split, 1000)
    assert len(split.indices) == 1
    np.testing.assert_allclose(module[1].running_mean, split.images.mean((0, 2, 3)), rtol=1e-5)
