"""Augmentation: what it may do to an image, and that a generator decides it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.augment import AUGMENTATIONS, augmentation_for, augmentation_named, flip_and_crop
from search.data import ImageSet
from search.tasks import task_of


def images(count: int = 200, size: int = 16) -> np.ndarray:
    """Positive images, so that the zeros that move in are known."""
    return np.random.default_rng(1).uniform(1, 2, (count, 3, size, size)).astype(np.float32)


def moved(image: np.ndarray, mirrored: bool, down: int, right: int, pad: int) -> np.ndarray:
    """One image done by hand, one pixel at a time."""
    size = image.shape[-1]
    result = np.zeros_like(image)
    for y in range(size):
        for x in range(size):
            v, u = y + down - pad, x + right - pad
            if 0 <= v < size and 0 <= u < size:
                result[:, y, x] = image[:, v, size - 1 - u if mirrored else u]
    return result


@pytest.mark.parametrize(("size", "pad"), [(32, 4), (16, 2), (36, 4), (5, 1), (224, 28)])
def test_images_move_by_an_eighth_at_most(size: int, pad: int):
    batch = images(300 if size < 100 else 12, size)
    result = flip_and_crop(batch, np.random.default_rng(0))
    assert result.shape == batch.shape
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    empty_rows = (result == 0).all(axis=(1, 3)).sum(axis=1)
    assert empty_rows.max() <= pad
    if size < 100:
        assert empty_rows.max() == pad  # 300 draws among 2 pad + 1 places meet the farthest


def test_every_image_is_one_of_its_moves_and_all_moves_occur():
    batch = images(150, 8)
    result = flip_and_crop(batch, np.random.default_rng(3))
    moves = [(m, down, right) for m in (False, True) for down in range(3) for right in range(3)]
    seen = set()
    for before, after in zip(batch, result, strict=True):
        fits = [move for move in moves if np.array_equal(moved(before, *move, pad=1), after)]
        assert len(fits) == 1
        seen.add(fits[0])
    assert seen == set(moves)


def test_the_generator_decides_and_the_input_stays():
    batch = images()
    before = batch.copy()
    first, again, other = (flip_and_crop(batch, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(batch, before)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_half_of_the_images_are_mirrored():
    batch = images(2000, 8)
    batch[..., :4] += 10
    result = flip_and_crop(batch, np.random.default_rng(0))
    mirrored = result[..., 4:].mean(axis=(1, 2, 3)) > result[..., :4].mean(axis=(1, 2, 3))
    assert mirrored.mean() == pytest.approx(0.5, abs=0.05)


def test_digits_are_left_alone(toy_images: ImageSet):
    task = task_of(toy_images)
    assert augmentation_for(task) == "flip+crop"
    assert augmentation_for(replace(task, name="digits")) == "none"
    batch = images()
    assert np.array_equal(augmentation_named("none")(batch, np.random.default_rng(0)), batch)
    assert augmentation_named("flip+crop") is flip_and_crop
    with pytest.raises(ConfigError, match=r"no augmentation 'mixup': give one of flip\+crop, none"):
        augmentation_named("mixup")
    assert set(AUGMENTATIONS) == {"flip+crop", "none"}
