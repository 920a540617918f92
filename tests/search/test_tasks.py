"""Tasks: from memory, at other resolutions, and as a user names them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.data import CIFAR10_MEAN, CIFAR10_STD, ImageSet, digits, shrink
from search.tasks import load_task, scaled, task_of

pytest.importorskip("torch")


def test_a_task_in_memory_hands_out_its_images(toy_images: ImageSet):
    task = task_of(toy_images)
    assert (task.name, task.note, task.num_classes, task.image_size, task.channels) == (
        "toy", "made up for tests", 3, 32, 3,
    )  # fmt: skip
    assert (len(task.train), len(task.test)) == (48, 24)
    assert task.digest == toy_images.digest
    batch = task.train.batch(np.array([5, 0, 5]))
    assert np.array_equal(batch, toy_images.train_images[[5, 0, 5]])
    assert np.array_equal(task.test.labels, toy_images.test_labels)
    batch[:] = 0  # a fresh array: the task is as before
    assert np.array_equal(task.train.batch(np.array([5])), toy_images.train_images[[5]])


def test_images_that_are_no_squares_are_refused(toy_images: ImageSet):
    wide = ImageSet(
        toy_images.train_images[..., :16, :], toy_images.train_labels, toy_images.test_images, toy_images.test_labels,
        3, "wide", "",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="wide are 16 x 32 pixels"):
        task_of(wide)


@pytest.mark.parametrize("size", [1, 8, 16, 24, 32, 36, 50])
def test_any_resolution_can_be_had(toy_images: ImageSet, size: int):
    task = task_of(toy_images).at(size)
    indices = np.arange(7)
    batch = task.train.batch(indices)
    assert batch.shape == (7, 3, size, size)
    assert batch.dtype == np.float32
    assert task.image_size == size
    assert len(task.train) == 48
    # the classes are still told apart by the bright channel
    assert (batch.mean(axis=(2, 3)).argmax(axis=1) == task.train.labels[indices]).all()
    assert (size == 32) == (task.digest == toy_images.digest)
    assert (f"from 32 to {size} pixels" in task.note) == (size != 32)


def test_where_the_size_divides_blocks_are_averaged(toy_images: ImageSet):
    batch = task_of(toy_images).at(16).test.batch(np.arange(24))
    assert np.array_equal(batch, shrink(toy_images.test_images, 16))


def test_scaling_never_compounds(toy_images: ImageSet):
    task = task_of(toy_images)
    assert task.at(32) is task
    assert task.at(4).at(32) is task
    indices = np.arange(3)
    there, straight = task.at(4).at(36), task.at(36)
    assert np.array_equal(there.train.batch(indices), straight.train.batch(indices))
    assert there.digest == straight.digest != task.at(40).digest
    assert there.note == straight.note


@pytest.mark.parametrize(("size", "tolerance"), [(36, 1e-5), (20, 2.5e-3)])
def test_scaling_keeps_a_ramp(size: int, tolerance: float):
    """The value of a pixel of a ramp is its place: known at any resolution, but for the border."""
    ramp = np.broadcast_to((np.arange(32, dtype=np.float32) + 0.5) / 32, (1, 3, 32, 32))
    result = scaled(ramp, size)
    inside = slice(2, -2)
    assert np.allclose(result[..., inside], (np.arange(size)[inside] + 0.5) / size, atol=tolerance)
    assert result.mean() == pytest.approx(ramp.mean(), abs=1e-5)


def test_scaling_down_is_free_of_aliasing():
    """A chessboard is grey from afar; every second pixel of it would be black or white."""
    board = np.indices((32, 32)).sum(axis=0) % 2 * 2.0 - 1
    result = scaled(np.broadcast_to(board, (1, 3, 32, 32)).astype(np.float32), 12)
    assert np.abs(result).max() < 0.25


def test_digits_at_a_size():
    task = load_task("digits", image_size=8)
    assert (task.image_size, task.num_classes, len(task.train)) == (8, 10, 1437)
    assert np.array_equal(task.test.batch(np.arange(5)), shrink(digits().test_images[:5], 8))
    assert load_task("digits", resize=8).digest == task.digest != load_task("digits").digest


@pytest.mark.parametrize(("arguments", "words"), [((0, None), "image size"), ((None, -1), "--resize")])
def test_sizes_below_a_pixel_are_refused(arguments: tuple[int | None, int | None], words: str):
    with pytest.raises(ConfigError, match=f"the {words} must be at least 1 pixel"):
        load_task("digits", *arguments)
    with pytest.raises(ConfigError, match="size of at least 1"):
        load_task("digits").at(0)


def test_reading_the_modules_pays_for_no_heavy_library():
    code = (
        "import sys, search.tasks, search.folders, search.batches, search.augment; "
        "print(*{'torch', 'pandas', 'sklearn', 'PIL'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_a_place_that_holds_nothing_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="no image data at .*nowhere"):
        load_task(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="has no folder train, nor CIFAR-10 files"):
        load_task(str(tmp_path))


def test_cifar_files_are_read_and_a_subset_is_said_to_be_one(tmp_path: Path):
    for name, value in (("data_batch_1", 200), ("test_batch", 10)):
        (tmp_path / f"{name}.bin").write_bytes(b"".join(bytes([i]) + bytes([value]) * 3072 for i in range(10)))
    task = load_task(str(tmp_path), image_size=36)
    assert task.note.startswith("a subset of CIFAR-10: 10 training and 10 test images")
    expected = (200 / 255 - np.array(CIFAR10_MEAN)) / np.array(CIFAR10_STD)
    assert np.allclose(task.train.batch(np.array([3]))[0], expected[:, None, None], atol=1e-5)


def test_the_public_subset_of_cifar(data_dir: Path):
    folder = next((p.parent for p in sorted(data_dir.rglob("cifar10*.parquet"))), None)
    if folder is None:
        pytest.skip("the data folder holds no CIFAR-10 images")
    task = load_task(str(folder), image_size=36)
    assert "subset" in task.note
    assert task.train.batch(np.arange(4)).shape == (4, 3, 36, 36)
