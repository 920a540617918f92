"""Images that the searches train and score on: bundled digits, or CIFAR-10 from a file or folder of the user's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError

__all__ = ["CIFAR10_MEAN", "CIFAR10_STD", "ImageSet", "cifar10", "digits", "load_images", "shrink"]

CIFAR10_MEAN = (0.485, 0.456, 0.406)
CIFAR10_STD = (0.229, 0.224, 0.225)
"""The normalisation under which the public CIFAR-10 ResNet-20 weights were trained (ImageNet's, by convention)."""

_PIXELS = 32 * 32 * 3
_DIGITS_TEST = 360
_REMEDY = (
    "give a .parquet file with the columns split, label, image_hwc_uint8 (32x32x3 bytes), a folder with files "
    "cifar10*.parquet of that kind, or a folder with the binary version (data_batch_1.bin ... test_batch.bin)"
)


@dataclass(frozen=True, slots=False, eq=False)
class ImageSet:
    """A classification task, in memory.

    Attributes:
        train_images, test_images: (n, 3, 32, 32) float32, normalised.
        train_labels, test_labels: (n,) int64 class indices.
        num_classes: number of classes.
        name: such as "digits".
        note: what a reader of results has to know about the data, such as that it is a subset.
    """

    train_images: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.float32]
    test_labels: NDArray[np.int64]
    num_classes: int
    name: str
    note: str

    @cached_property
    def digest(self) -> str:
        """A hash of all images and labels: 32 hex digits."""
        state = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            state.update(str(array.shape).encode())
            state.update(np.ascontiguousarray(array).data)
        return state.hexdigest()[:32]


def shrink(images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Images (n, c, h, h) scaled down to (n, c, size, size) by averaging blocks; `size` must divide h."""
    n, channels, height, _ = images.shape
    if size < 1 or height % size:
        raise ConfigError(f"images of {height} pixels cannot be averaged down to {size}: it is no divisor")
    if size == height:
        return images
    block = height // size
    shrunk: NDArray[np.float32] = images.reshape(n, channels, size, block, size, block).mean(axis=(3, 5))
    return shrunk


def load_images(source: str) -> ImageSet:
    """The image set that a user names: "digits", or the path of CIFAR-10 data.

    Raises:
        ConfigError: where it is neither.
    """
    return digits() if source == "digits" else cifar10(Path(source))


def digits(seed: int = 0) -> ImageSet:
    """The 1,797 handwritten digits that come with scikit-learn, scaled up to 32 x 32 and three equal channels.

    Each of the 8 x 8 pixels becomes a block of 4 x 4. The split, 1,437 to 360, is by class and drawn from `seed`.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    grey = bunch.images.astype(np.float32) / 16.0
    images = np.repeat(np.kron(grey, np.ones((1, 4, 4), dtype=np.float32))[:, None], 3, axis=1)
    labels = bunch.target.astype(np.int64)
    train, test = train_test_split(np.arange(len(labels)), test_size=_DIGITS_TEST, random_state=seed, stratify=labels)
    mean, std = images[train].mean(), images[train].std()
    images = ((images - mean) / std).astype(np.float32)
    return ImageSet(
        images[train], labels[train], images[test], labels[test], 10, "digits",
        "scikit-learn digits, 8x8 grey images scaled to 32x32x3: an easy task that stands in for a real one",
    )  # fmt: skip


def cifar10(path: Path) -> ImageSet:
    """CIFAR-10, or a subset, from a parquet file, a folder of parquet files or a folder of the binary version.

    Parquet files have the columns `split` ("train" or "test"), `label` (0 to 9) and `image_hwc_uint8` (3,072 bytes,
    height x width x channel). Normalised with `CIFAR10_MEAN` and `CIFAR10_STD`.

    Raises:
        ConfigError: where nothing of the kind is found or the content is malformed.
    """
    if path.is_dir():
        binary = sorted([*path.glob("data_batch_*.bin"), *path.glob("test_batch.bin")])
        if binary:
            raw, labels, is_train = _read_binary(binary)
        else:
            raw, labels, is_train = _read_parquet(path, sorted(path.glob("cifar10*.parquet")))
    elif path.is_file():
        raw, labels, is_train = _read_parquet(path, [path])
    else:
        raise ConfigError(f"there is no image data at {path}: {_REMEDY}")
    if not is_train.any() or is_train.all():
        raise ConfigError(f"{path} has no {'test' if is_train.any() else 'training'} images: {_REMEDY}")
    images = raw.astype(np.float32) / 255.0
    images -= np.asarray(CIFAR10_MEAN, dtype=np.float32)
    images /= np.asarray(CIFAR10_STD, dtype=np.float32)
    images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    n_train, n_test = int(is_train.sum()), int((~is_train).sum())
    whole = (n_train, n_test) == (50_000, 10_000)
    note = "CIFAR-10" if whole else f"a subset of CIFAR-10: {n_train:,} training and {n_test:,} test images"
    return ImageSet(images[is_train], labels[is_train], images[~is_train], labels[~is_train], 10, "cifar10", note)


Raw = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]
"""Images (n, 32, 32, 3), labels (n,), whether each is a training image (n,)."""


def _read_parquet(where: Path, paths: list[Path]) -> Raw:
    import pandas as pd

    if not paths:
        raise ConfigError(f"the folder {where} holds no CIFAR-10 images: {_REMEDY}")
    try:
        frame = pd.concat([pd.read_parquet(p, columns=["split", "label", "image_hwc_uint8"]) for p in paths])
    except (OSError, ValueError, KeyError) as error:  # Arrow's errors are ValueErrors
        raise ConfigError(f"{where} cannot be read as images ({error}): {_REMEDY}") from None
    return _checked(list(frame["image_hwc_uint8"]), frame["label"].to_numpy(), frame["split"].to_numpy(), str(where))


def _checked(blobs: list[Any], labels: NDArray[Any], splits: NDArray[Any], where: str) -> Raw:
    if not blobs:
        raise ConfigError(f"{where} holds no images: {_REMEDY}")
    if any(not isinstance(b, bytes) or len(b) != _PIXELS for b in blobs):
        raise ConfigError(f"{where} holds images that are not 32x32x3 bytes: {_REMEDY}")
    if not set(np.unique(splits.astype(str))) <= {"train", "test"}:
        raise ConfigError(f"{where} names splits other than train and test: {_REMEDY}")
    numbers = labels.astype(np.int64)
    if numbers.min() < 0 or numbers.max() > 9:
        raise ConfigError(f"{where} holds labels outside 0 to 9: {_REMEDY}")
    raw = np.frombuffer(b"".join(blobs), dtype=np.uint8).reshape(-1, 32, 32, 3)
    return raw, numbers, splits.astype(str) == "train"


def _read_binary(paths: list[Path]) -> Raw:
    """Records of one label byte and 3,072 bytes channel x height x width."""
    parts, train = [], []
    for path in paths:
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        if len(content) == 0 or len(content) % (_PIXELS + 1):
            raise ConfigError(
                f"{path} is not a CIFAR-10 batch: its {len(content)} bytes are no whole number of records"
            )
        parts.append(content.reshape(-1, _PIXELS + 1))
        train += [path.name != "test_batch.bin"] * len(parts[-1])
    records = np.concatenate(parts)
    if records[:, 0].max() > 9:
        raise ConfigError(f"the batches in {paths[0].parent} hold labels outside 0 to 9: {_REMEDY}")
    raw = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return raw, records[:, 0].astype(np.int64), np.asarray(train)
