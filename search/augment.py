"""Random changes to training images, as functions of a batch and a generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from profiler.errors import ConfigError
from search.tasks import Images, Task

__all__ = ["AUGMENTATIONS", "Augmentation", "augmentation_for", "augmentation_named", "flip_and_crop"]

Augmentation = Callable[[Images, np.random.Generator], Images]
"""(batch (b, c, h, w), generator) -> batch of the same shape."""

_CROP_SHARE = 8
"""A crop moves an image by up to an eighth of its size: the usual 4 pixels at 32."""


def flip_and_crop(images: Images, rng: np.random.Generator) -> Images:
    """Mirror every second image on average, and move each by up to an eighth of its size (at least a pixel).

    What moves in from outside is zero, the mean colour of normalised images. The input stays as it is.

    Args:
        images: (b, c, h, w).
        rng: draws per image whether it is mirrored and how far it moves, in that order.
    """
    count, _, height, width = images.shape
    mirrored = rng.random(count) < 0.5
    pad = max(1, round(max(height, width) / _CROP_SHARE))
    down, right = rng.integers(0, 2 * pad + 1, (2, count))
    padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    padded[mirrored] = padded[mirrored, :, :, ::-1]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    return np.ascontiguousarray(windows[np.arange(count), :, down, right])


def _unchanged(images: Images, rng: np.random.Generator) -> Images:
    return images


AUGMENTATIONS: dict[str, Augmentation] = {"flip+crop": flip_and_crop, "none": _unchanged}
"""By the name that configurations and records give them."""


def augmentation_named(name: str) -> Augmentation:
    """The augmentation of this name.

    Raises:
        ConfigError: for other names.
    """
    try:
        return AUGMENTATIONS[name]
    except KeyError:
        raise ConfigError(f"there is no augmentation {name!r}: give one of {', '.join(AUGMENTATIONS)}") from None


def augmentation_for(task: Task) -> str:
    """The name of the augmentation that suits a task: a mirrored digit is no digit, all else is taken for photographs.

    A folder of letters or digits is not known from photographs: give "none" by hand there.
    """
    return "none" if task.name == "digits" else "flip+crop"
