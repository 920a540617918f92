"""Image folders: real files of several kinds, kept or read anew, and every way in which a folder can be wrong."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from profiler.errors import ConfigError
from search import folders
from search.batches import Batches, read_ahead
from search.data import shrink
from search.folders import IMAGENET_MEAN, IMAGENET_STD, FolderSplit, read_folder
from search.tasks import Task, load_task

Image = pytest.importorskip("PIL.Image")

CLASSES = ("ant", "bee", "cat")


def picture(label: int, number: int, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    """(h, w, 3): the channel of the class is bright; `number` is written into the darkness of the others."""
    pixels = np.full((size[1], size[0], 3), number, np.uint8)
    pixels[..., label] = 200
    return pixels


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five training and two test images of each of three classes, 32 x 32, in files of three kinds."""
    folder = tmp_path / "zoo"
    for label, name in enumerate(CLASSES):
        for number in range(5):
            save(folder / "train" / name / f"{number}.{('png', 'jpg', 'PNG')[number % 3]}", picture(label, number))
        for number in range(2):
            save(folder / "val" / name / f"{number}.jpeg", picture(label, number))
    return folder


@pytest.fixture(params=["kept", "lazy"])
def keeping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which images are held."""
    if request.param == "lazy":
        monkeypatch.setattr(folders, "_KEPT_BYTES", 100)
    return str(request.param)


def test_a_folder_is_a_task(root: Path, keeping: str):
    task = load_task(str(root))
    assert (task.name, task.num_classes, task.image_size, task.channels) == ("zoo", 3, 32, 3)
    assert task.note == "15 training and 6 test images of 3 classes in zoo"
    assert task.train.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert task.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert task.train.labels.dtype == np.int64
    assert isinstance(task.train, FolderSplit)
    assert (task.train.kept is not None) == (keeping == "kept")
    batch = task.train.batch(np.array([5, 8, 12]))  # two PNG of bees, one of a cat
    expected = np.stack([picture(1, 0), picture(1, 3), picture(2, 2)]) / 255
    expected = ((expected - IMAGENET_MEAN) / IMAGENET_STD).transpose(0, 3, 1, 2)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert np.allclose(batch, expected, atol=1e-5)
    # JPEG is close, not equal
    assert np.allclose(task.test.batch(np.array([2]))[0], expected[0], atol=0.05)
    batch[:] = 0
    assert np.allclose(task.train.batch(np.array([5]))[0], expected[0], atol=1e-5)


def test_lazy_and_kept_images_are_the_same(root: Path, monkeypatch: pytest.MonkeyPatch):
    kept = read_folder(root)
    monkeypatch.setattr(folders, "_KEPT_BYTES", 3 * 32 * 32 * 21 - 1)
    lazy = read_folder(root)
    assert isinstance(kept.train, FolderSplit)
    assert isinstance(lazy.train, FolderSplit)
    assert kept.train.kept is not None
    assert lazy.train.kept is None
    order = np.random.default_rng(0).permutation(15)
    assert np.array_equal(kept.train.batch(order), lazy.train.batch(order))
    assert kept.digest == lazy.digest


def test_kept_images_are_read_once(root: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[Path] = []
    real = folders.decode
    monkeypatch.setattr(folders, "decode", lambda path, *rest: (read.append(path), real(path, *rest))[1])
    task = load_task(str(root), image_size=16, resize=24)
    task.train.batch(np.arange(15))
    task.at(16).test.batch(np.arange(6))
    assert len(read) == len(set(read)) == 21


def test_many_images_keep_their_places(tmp_path: Path):
    """More images than one thread takes at a time."""
    for i in range(150):
        save(tmp_path / "train" / "ab"[i % 2] / f"{i:03}.png", picture(i % 2, i, (4, 4)))
    save(tmp_path / "val" / "a" / "0.png", picture(0, 0, (4, 4)))
    split = read_folder(tmp_path).train
    assert isinstance(split, FolderSplit)
    assert split.raw(np.arange(150))[:, 0, 0, 2].tolist() == [*range(0, 150, 2), *range(1, 150, 2)]


def test_trained_on_through_read_ahead(root: Path, keeping: str):
    task = load_task(str(root), image_size=16)
    for batch in read_ahead(task.train, Batches(15, 6, 0), range(5)):
        assert batch.images.shape == (6, 3, 16, 16)
        assert (batch.images.mean(axis=(2, 3)).argmax(axis=1) == batch.labels).all()


def test_another_resolution_is_scaled_from_the_images(root: Path, keeping: str):
    pytest.importorskip("torch")
    task = load_task(str(root))
    indices = np.arange(15)
    assert np.array_equal(task.at(16).train.batch(indices), shrink(task.train.batch(indices), 16))
    larger = load_task(str(root), image_size=36)
    assert larger.train.batch(indices).shape == (15, 3, 36, 36)
    assert larger.digest == task.at(36).digest
    assert larger.note.endswith("scaled from 32 to 36 pixels")


def mix_sizes(root: Path) -> None:
    save(root / "train" / "bee" / "1.jpg", picture(1, 1, (48, 40)))
    save(root / "val" / "cat" / "0.jpeg", picture(2, 0, (33, 70)))


def test_mixed_sizes_need_resize(root: Path, keeping: str):
    mix_sizes(root)
    with pytest.raises(ConfigError, match=r"mixed sizes, .*ant.0\.png 32x32 and .*bee.1\.jpg 48x40: give --resize"):
        load_task(str(root))
    with pytest.raises(ConfigError, match="mixed sizes"):
        load_task(str(root), image_size=24)
    task = load_task(str(root), resize=24)
    assert task.image_size == 24
    assert task.note.endswith("in zoo, their centre squares scaled to 24 pixels")
    batch = task.train.batch(np.arange(15))
    assert batch.shape == (15, 3, 24, 24)
    assert (batch.mean(axis=(2, 3)).argmax(axis=1) == task.train.labels).all()


def test_resized_images_are_scaled_from_the_files_and_never_twice(root: Path, keeping: str):
    detail = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    save(root / "train" / "ant" / "0.png", detail)
    at_64 = load_task(str(root), resize=64)
    small = load_task(str(root), resize=8)
    first = np.array([0])
    assert np.array_equal(small.at(64).train.batch(first), at_64.train.batch(first))
    red = (detail[..., 0] / 255 - IMAGENET_MEAN[0]) / IMAGENET_STD[0]
    assert np.allclose(at_64.train.batch(first)[0, 0], red, atol=1e-5)
    both = load_task(str(root), image_size=64, resize=8)
    assert both.digest == at_64.digest == small.at(64).digest != small.digest
    assert both.note == at_64.note
    assert small.at(8) is small


def test_squares_alone_need_no_resize(root: Path):
    for path in root.rglob("*.*"):
        save(path, picture(0, 0, (40, 30)))
    with pytest.raises(ConfigError, match="are 40x30 pixels and no squares: give --resize N"):
        load_task(str(root))
    assert load_task(str(root), resize=32).image_size == 32


def test_test_stands_in_for_val_and_val_goes_first(root: Path):
    (root / "val").rename(root / "test")
    assert len(read_folder(root).test) == 6
    save(root / "val" / "ant" / "0.png", picture(0, 0))
    assert len(read_folder(root).test) == 1


def test_a_test_folder_without_some_class_keeps_the_numbers(root: Path):
    for path in (root / "val" / "bee").iterdir():
        path.unlink()
    (root / "val" / "zebra").mkdir()  # without images: no class
    task = read_folder(root)
    assert task.num_classes == 3
    assert task.test.labels.tolist() == [0, 0, 2, 2]


def test_folders_within_classes_links_and_other_files(root: Path):
    before = read_folder(root)
    (root / "train" / "ant" / "notes.txt").write_text("no image")
    (root / "train" / "ant" / "._0.png").write_bytes(b"of another system")
    (root / "train" / ".cache").mkdir()
    assert read_folder(root).digest == before.digest
    save(root / "elsewhere" / "deep" / "9.png", picture(1, 9))
    os.symlink(root / "elsewhere", root / "train" / "bee" / "linked")
    assert read_folder(root).train.labels.tolist() == [0] * 5 + [1] * 6 + [2] * 5


def test_the_digest_stands_for_names_and_sizes(root: Path, tmp_path: Path):
    before = read_folder(root).digest
    moved = root.rename(tmp_path / "moved")
    assert read_folder(moved).digest == before
    (moved / "train" / "cat" / "4.jpg").rename(moved / "train" / "cat" / "5.jpg")
    renamed = read_folder(moved).digest
    save(moved / "val" / "cat" / "1.jpeg", np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8))
    assert len({before, renamed, read_folder(moved).digest}) == 3


def synsets(root: Path) -> Task:
    for number, name in enumerate(CLASSES):
        for part in ("train", "val"):
            (root / part / name).rename(root / part / f"n0000000{number}")
    return read_folder(root)


def test_a_part_of_imagenet_is_said_to_be_one(root: Path, monkeypatch: pytest.MonkeyPatch):
    assert synsets(root).note == "a subset of ImageNet: 15 training and 6 test images of 3 classes in zoo"
    monkeypatch.setattr(folders, "_IMAGENET", (3, 15, 6))
    assert read_folder(root).note.startswith("ImageNet: 15 training")


def drop(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no train", r"zoo has no folder train"),
        ("no val", r"zoo has no folder val or test"),
        ("empty train", r"train holds no images in class folders: it takes train/<class>/"),
        ("empty val", r"val holds no images in class folders"),
        ("loose", r"train holds no images in class folders"),
        ("one class", r"train has one class only, ant: there is nothing to tell apart"),
        ("unknown", r"val has the class dog, which .*train has not"),
        ("empty class", r"bee holds no images: remove the folder, or put that class into it"),
        ("no image", r"2\.PNG cannot be read as an image"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(root: Path, name: str, words: str):
    train, val = root / "train", root / "val"
    match name:
        case "no train":
            drop(train)
            train.rmdir()
        case "no val":
            drop(val)
            val.rmdir()
        case "empty train":
            drop(train)
        case "empty val":
            drop(val)
        case "loose":
            drop(train)
            save(train / "0.png", picture(0, 0))
        case "one class":
            for other in ("bee", "cat"):
                drop(train / other)
                (train / other).rmdir()
        case "unknown":
            save(val / "dog" / "0.png", picture(0, 0))
        case "empty class":
            drop(train / "bee")
        case "no image":
            (train / "bee" / "2.PNG").write_bytes(b"<html>")
    with pytest.raises(ConfigError, match=words) as caught:
        load_task(str(root))
    assert "\n" not in str(caught.value)


def test_a_truncated_image_is_met_at_once_where_images_are_kept_and_else_when_it_is_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    path = root / "val" / "bee" / "1.jpeg"
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    save(path, noise)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ConfigError, match=r"1\.jpeg cannot be read as an image"):
        load_task(str(root))
    monkeypatch.setattr(folders, "_KEPT_BYTES", 0)
    task = load_task(str(root))
    task.test.batch(np.array([0, 1, 2]))
    with pytest.raises(ConfigError, match=r"1\.jpeg cannot be read as an image"):
        task.test.batch(np.arange(6))


def test_a_class_that_may_not_be_read_is_named(root: Path):
    (root / "train" / "ant" / "gone.png").symlink_to(root / "nowhere.png")
    with pytest.raises(ConfigError, match=r"gone\.png cannot be read: No such file"):
        load_task(str(root))
