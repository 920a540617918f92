"""A classification task as the trainer reads it: batches of normalised images in any resolution, from memory or files.

`ImageSet` (search/data.py) holds all images of a small task in one array; a `Task` may also lie in a folder that fits
no memory, and can be had `at` another resolution, which compound scaling asks for (32 becomes 36, 44, ...).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.data import ImageSet, load_images, shrink

__all__ = ["ArraySplit", "Images", "Indices", "Split", "Task", "load_task", "scaled", "task_of"]

Images = NDArray[np.float32]
"""(b, channels, h, w), normalised."""
Indices = NDArray[np.int64]
"""(b,) places of images in their split."""


class Split(Protocol):
    """The training or the test images of a task."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) class indices."""
        ...

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def batch(self, indices: Indices) -> Images:
        """The images at these places: a fresh array (b, channels, size, size), float32, normalised.

        Raises:
            ConfigError: where a file can no longer be read; it is named.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ArraySplit:
    """Images that lie in memory: (n, channels, h, w) float32 normalised, and their labels (n,)."""

    images: Images
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Indices) -> Images:
        """See `Split.batch`."""
        return self.images[indices]


@dataclass(frozen=True, slots=True, eq=False)
class _ScaledSplit:
    """Another split, every batch brought to another size when it is asked for: costs no memory."""

    source: Split
    size: int

    @property
    def labels(self) -> NDArray[np.int64]:
        return self.source.labels

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: Indices) -> Images:
        return scaled(self.source.batch(indices), self.size)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A classification task.

    Attributes:
        name: such as "digits", or the name of a folder.
        note: what a reader of results has to know, such as that it is a subset or scaled.
        num_classes: number of classes.
        image_size: height and width of the images, pixels.
        digest: 32 hex digits that stand for the images at this size: a hash of the content where it is in memory, of
            relative paths and file sizes for folders.
        train, test: the images.
        channels: channels of an image.
        remade: makes the task from its originals at another size; None: `at` scales the images of this one.
    """

    name: str
    note: str
    num_classes: int
    image_size: int
    digest: str
    train: Split
    test: Split
    channels: int = 3
    remade: Callable[[int], Task] | None = field(default=None, repr=False)

    def at(self, image_size: int) -> Task:
        """The same task in another resolution, always from the original images: going there and back changes nothing.

        Raises:
            ConfigError: for sizes below one pixel.
        """
        if image_size < 1:
            raise ConfigError(f"images cannot be scaled to {image_size} pixels: give a size of at least 1")
        if image_size == self.image_size:
            return self
        if self.remade is not None:
            return self.remade(image_size)
        return replace(
            self,
            note=f"{self.note}; scaled from {self.image_size} to {image_size} pixels",
            image_size=image_size,
            digest=hashlib.sha256(f"{self.digest} at {image_size}".encode()).hexdigest()[:32],
            train=_ScaledSplit(self.train, image_size),
            test=_ScaledSplit(self.test, image_size),
            remade=partial(Task.at, self),
        )


def scaled(images: Images, size: int) -> Images:
    """Square images (b, c, h, h) brought to (b, c, size, size).

    Averaged in blocks where `size` divides h, otherwise bilinear interpolation with anti-aliasing: a constant image
    stays that constant and the mean is about kept either way. Needs torch in the second case.
    """
    height = images.shape[-1]
    if height % size == 0:
        return shrink(images, size)
    import torch

    # torch warns of arrays that it may not write to
    source = torch.from_numpy(np.require(images, requirements=["C", "W"]))
    bilinear = torch.nn.functional.interpolate(source, (size, size), mode="bilinear", antialias=True)
    result: Images = bilinear.numpy()
    return result


def task_of(images: ImageSet) -> Task:
    """The task of an image set in memory, at its own resolution."""
    _, channels, height, width = images.train_images.shape
    if height != width:
        raise ConfigError(f"the images of {images.name} are {height} x {width} pixels: they have to be square")
    return Task(
        images.name, images.note, images.num_classes, height, images.digest,
        ArraySplit(images.train_images, images.train_labels), ArraySplit(images.test_images, images.test_labels),
        channels,
    )  # fmt: skip


def load_task(source: str, image_size: int | None = None, resize: int | None = None) -> Task:
    """The task that a user names.

    Args:
        source: "digits", the path of CIFAR-10 data (search/data.py) or of an image folder: train/<class>/ and
            val/<class>/ or test/<class>/ with .png, .jpg, ... in them (search/folders.py).
        image_size: the resolution wanted; None: that of the data.
        resize: for folders of mixed sizes: the shorter side is brought to so many pixels and the centre square cut
            out. With `image_size` too, that is done at `image_size` from the original files, not twice.

    Raises:
        ConfigError: where the data are absent, malformed or of mixed sizes, or a size is below one pixel.
    """
    for name, value in (("image size", image_size), ("--resize", resize)):
        if value is not None and value < 1:
            raise ConfigError(f"the {name} must be at least 1 pixel, not {value}")
    path = Path(source)
    if source != "digits" and path.is_dir() and not _is_cifar(path):
        from search.folders import read_folder  # late: it builds Tasks, so it imports this module

        task = read_folder(path, resize if resize is None or image_size is None else image_size)
    else:
        task = task_of(load_images(source))
        task = task if resize is None else task.at(resize)
    return task if image_size is None else task.at(image_size)


def _is_cifar(folder: Path) -> bool:
    return any(any(folder.glob(pattern)) for pattern in ("data_batch_*.bin", "test_batch.bin", "cifar10*.parquet"))
