"""Image folders in the manner of ImageNet: train/<class>/*.jpg, and val/<class>/*.jpg or test/<class>/*.jpg.

Files are decoded by Pillow when a batch asks for them, several at a time. Where all of them fit into about 1 GiB they
are decoded once, while loading, and kept as bytes. Grey and palette images become RGB; transparency is dropped and an
orientation in EXIF is not applied.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.data import CIFAR10_MEAN, CIFAR10_STD
from search.pictures import Size, check_pillow, decode, size_of
from search.tasks import Images, Indices, Task

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "FolderSplit", "read_folder"]

IMAGENET_MEAN, IMAGENET_STD = CIFAR10_MEAN, CIFAR10_STD
"""The usual normalisation of photographs, of which the public CIFAR-10 weights have theirs."""

_SCALE = (1 / (255 * np.asarray(IMAGENET_STD))).astype(np.float32)[:, None, None]
_SHIFT = (np.asarray(IMAGENET_MEAN) / np.asarray(IMAGENET_STD)).astype(np.float32)[:, None, None]
"""Bytes times the one less the other are normalised."""
_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".tif", ".tiff", ".webp"))
_TEST_FOLDERS = ("val", "test")
"""In this order: the images of ImageNet's own test folder have no labels."""
_KEPT_BYTES = 2**30
_LAYOUT = "it takes train/<class>/ and val/<class>/ or test/<class>/ with .png or .jpg files in them"
_SYNSET = re.compile(r"n\d{8}")
_IMAGENET = (1000, 1_281_167, 50_000)
"""Classes, training and validation images of the whole of ImageNet."""


@dataclass(frozen=True, slots=True)
class _Files:
    """The image files of one folder, by class and name; `bytes` are file sizes, labels (n,) count classes from 0."""

    folder: Path
    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    bytes: tuple[int, ...]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class FolderSplit:
    """Images in files; see `Split`.

    Attributes:
        paths: the files.
        labels: (n,) class indices.
        size: height and width of the images handed out, pixels.
        resized: whether they are cut and scaled to `size`; otherwise every file has that size.
        kept: (n, size, size, 3) bytes where all images are kept in memory.
    """

    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    size: int
    resized: bool
    kept: NDArray[np.uint8] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, indices: Indices) -> Images:
        """See `Split.batch`."""
        raw = self.raw(indices) if self.kept is None else self.kept[indices]
        images = raw.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        images *= _SCALE
        images -= _SHIFT
        return images

    def raw(self, indices: Indices) -> NDArray[np.uint8]:
        """The images at these places as decoded from their files: (b, size, size, 3)."""
        images = np.empty((len(indices), self.size, self.size, 3), dtype=np.uint8)

        def fill(place: int) -> None:
            images[place] = decode(self.paths[indices[place]], self.size, self.resized)

        _for_each(fill, len(indices))
        return images


def read_folder(root: Path, resize: int | None = None) -> Task:
    """The task in an image folder; its classes are the sorted names of the folders in train.

    The header of every file is read here, so that a file that is no image is met before training and not within.

    Args:
        root: the folder that holds train, and val or test. Where there are both, val is taken.
        resize: None: all images are squares of one size. N: the shorter side of each is scaled to N pixels (bilinear,
            anti-aliased) and the centre N x N cut out; `Task.at` then reads the original files anew.

    Raises:
        ConfigError: where train or val is missing or holds no image, a class of train has none, there is only one
            class, the test images have a class that the training images lack, a file is no image, sizes are mixed and
            `resize` is None, or Pillow is missing.
    """
    check_pillow()
    train = _list(_existing(root, ("train",)), empty=False)
    test = _list(_existing(root, _TEST_FOLDERS), empty=True)
    if len(train.classes) < 2:
        raise ConfigError(f"{train.folder} has one class only, {train.classes[0]}: there is nothing to tell apart")
    unknown = [name for name in test.classes if name not in train.classes]
    if unknown:
        raise ConfigError(f"{test.folder} has the class {unknown[0]}, which {train.folder} has not")
    return _task(root, train, test, _common_size(train.paths + test.paths, resize), resize is not None)


def _task(root: Path, train: _Files, test: _Files, size: int, resized: bool) -> Task:
    keep = 3 * size**2 * (len(train.paths) + len(test.paths)) <= _KEPT_BYTES
    # the test folder may lack classes: its labels are places among the training classes
    place = np.asarray([train.classes.index(name) for name in test.classes], dtype=np.int64)
    return Task(
        name=root.resolve().name,
        note=_note(root, train, test, size, resized),
        num_classes=len(train.classes),
        image_size=size,
        digest=_digest(root, train, test, size if resized else None),
        train=_split(train.paths, train.labels, size, resized, keep),
        test=_split(test.paths, place[test.labels], size, resized, keep),
        remade=partial(_task, root, train, test, resized=True) if resized else None,
    )


def _split(paths: tuple[Path, ...], labels: NDArray[np.int64], size: int, resized: bool, keep: bool) -> FolderSplit:
    split = FolderSplit(paths, labels, size, resized)
    if not keep:
        return split
    return FolderSplit(paths, labels, size, resized, split.raw(np.arange(len(paths))))


def _existing(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise ConfigError(f"{root} has no folder {' or '.join(names)}, nor CIFAR-10 files: {_LAYOUT}")


def _list(folder: Path, empty: bool) -> _Files:
    """All image files below the class folders of `folder`, links followed; `empty` classes are left out or an error."""
    names: list[str] = []
    paths: list[Path] = []
    labels: list[int] = []
    try:
        for name in sorted(e.name for e in folder.iterdir() if e.is_dir() and not e.name.startswith(".")):
            found = sorted(_images_below(folder / name))
            if not found and empty:
                continue
            if not found:
                raise ConfigError(f"{folder / name} holds no images: remove the folder, or put that class into it")
            paths += found
            labels += [len(names)] * len(found)
            names.append(name)
        sizes = tuple(p.stat().st_size for p in paths)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder} cannot be read: {error.strerror or error}") from None
    if not paths:
        raise ConfigError(f"{folder} holds no images in class folders: {_LAYOUT}")
    return _Files(folder, tuple(names), tuple(paths), sizes, np.asarray(labels, dtype=np.int64))


def _images_below(folder: Path) -> Iterable[Path]:
    for where, _, names in os.walk(folder, followlinks=True):
        for name in names:
            if Path(name).suffix.lower() in _SUFFIXES and not name.startswith("."):
                yield Path(where, name)


def _common_size(paths: tuple[Path, ...], resize: int | None) -> int:
    """The size of all images, whose headers are read, or `resize`."""
    sizes: list[Size] = [(0, 0)] * len(paths)

    def look(place: int) -> None:
        sizes[place] = size_of(paths[place])

    _for_each(look, len(paths))
    if resize is not None:
        return resize
    first = sizes[0]
    for path, size in zip(paths, sizes, strict=True):
        if size != first:
            raise ConfigError(
                f"the images are of mixed sizes, {paths[0]} {_wide(first)} and {path} {_wide(size)}: give --resize N"
            )
    if first[0] != first[1]:
        raise ConfigError(f"the images, such as {paths[0]}, are {_wide(first)} pixels and no squares: give --resize N")
    return first[0]


def _wide(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _note(root: Path, train: _Files, test: _Files, size: int, resized: bool) -> str:
    counts = (len(train.classes), len(train.paths), len(test.paths))
    text = f"{counts[1]:,} training and {counts[2]:,} test images of {counts[0]:,} classes in {root.resolve().name}"
    if all(_SYNSET.fullmatch(name) for name in train.classes):
        text = f"{'ImageNet' if counts == _IMAGENET else 'a subset of ImageNet'}: {text}"
    return f"{text}, their centre squares scaled to {size} pixels" if resized else text


def _digest(root: Path, train: _Files, test: _Files, resize: int | None) -> str:
    state = hashlib.sha256(f"folder resize={resize}\n".encode())
    for files in (train, test):
        for path, size in zip(files.paths, files.bytes, strict=True):
            state.update(f"{path.relative_to(root).as_posix()}\0{size}\n".encode(errors="surrogateescape"))
    return state.hexdigest()[:32]


def _for_each(work: Callable[[int], None], count: int) -> None:
    """Do `work` for 0 ... count - 1, several at a time; the first error of all that are met ends it."""
    threads = min(8, os.cpu_count() or 1)
    piece = min(64, -(-count // (4 * threads)))  # a million files must not become a million futures

    def some(start: int) -> None:
        for place in range(start, min(start + piece, count)):
            work(place)

    with ThreadPoolExecutor(threads, thread_name_prefix="pictures") as pool:
        for _ in pool.map(some, range(0, count, max(1, piece))):
            pass
