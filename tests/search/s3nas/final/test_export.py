"""The exported files against torch, and calibration on real images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from profiler.errors import ArtefactError, ConfigError
from search.s3nas.final import export as exporting
from search.s3nas.final.export import Exported, calibration_images, export, run_exported
from search.s3nas.final.schedule import REDUCED
from search.s3nas.final.trained import Trained
from search.s3nas.final.training import train_network
from search.spaces.mixconv import MixConv
from search.spaces.supernet import read_supernet
from search.tasks import ArraySplit, Task, load_task


@pytest.fixture(scope="module")
def task() -> Task:
    """Digits at 16 x 16, the test images cut down to 100."""
    digits = load_task("digits", 16)
    some = np.arange(100)
    return replace(digits, test=ArraySplit(digits.test.batch(some), digits.test.labels[some]))


@pytest.fixture(scope="module")
def trained(task: Task) -> Trained:
    """A network with a split, residuals, squeeze-and-excitation and h-swish."""
    space = MixConv(read_supernet("tiny"))
    network = space.network(space.maximal, resolution=16)
    stages = tuple(
        replace(stage, blocks=tuple(replace(block, se=index == 1) for block in stage.blocks))
        for index, stage in enumerate(network.stages)
    )
    schedule = replace(REDUCED, length=40, warmup=8, batch_size=32, recalibration=256)
    return train_network(replace(network, stages=stages, activation="hswish"), task, schedule, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def rows(trained: Trained, task: Task, folder: Path) -> dict[str, Exported]:
    images = calibration_images(task, trained.network, 64)
    return {row.file: row for row in export(trained, folder, images, task)}


def test_four_files_with_their_sizes(rows: dict[str, Exported], folder: Path) -> None:
    assert [(row.file, row.format, row.precision) for row in rows.values()] == [
        ("final.onnx", "onnx", "fp32"),
        ("final-int8.onnx", "onnx", "int8"),
        ("final.tflite", "tflite", "fp32"),
        ("final-int8.tflite", "tflite", "int8"),
    ]
    assert {name: (folder / name).stat().st_size for name in rows} == {n: row.bytes for n, row in rows.items()}
    assert rows["final-int8.tflite"].bytes < 0.6 * rows["final.tflite"].bytes


def test_float_files_are_torch(rows: dict[str, Exported], trained: Trained) -> None:
    assert trained.accuracy > 0.6
    for name in ("final.onnx", "final.tflite"):
        row = rows[name]
        assert row.max_error < 1e-4
        assert row.agreement == 1.0
        assert row.accuracy == row.torch_accuracy == trained.accuracy
        assert row.accuracy_drop == 0.0


def test_int8_files_classify_nearly_as_well(rows: dict[str, Exported]) -> None:
    for name in ("final-int8.onnx", "final-int8.tflite"):
        row = rows[name]
        assert 0.0 < row.max_error < 1.0
        assert row.agreement >= 0.9
        assert row.accuracy >= row.torch_accuracy - 0.08
        assert row.accuracy_drop == row.torch_accuracy - row.accuracy
        assert row.to_dict()["agreement"] == row.agreement


def test_calibration_on_images_is_what_makes_int8_good(
    rows: dict[str, Exported], trained: Trained, task: Task, tmp_path: Path
) -> None:
    unlike = 100 * calibration_images(task, trained.network, 64)
    for row in export(trained, tmp_path, unlike, task):
        if row.precision == "int8":
            assert row.agreement < rows[row.file].agreement - 0.2


def test_files_are_run_as_they_lie_there(rows: dict[str, Exported], folder: Path, task: Task) -> None:
    images = task.test.batch(np.arange(100))
    for name, row in rows.items():
        logits = run_exported(folder / name, images)
        assert logits.shape == (100, 10)
        assert (logits.argmax(axis=1) == task.test.labels).mean() == row.accuracy


def test_a_float_file_unlike_torch_is_not_written(
    trained: Trained, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, build = exporting.EXPORTS["final.tflite"]
    (classifier,) = [i for i, group in trained.weights.items() if group["weight"].ndim == 2]

    def wrong(workload, weights, calibration):
        group = {name: 1.01 * array for name, array in weights[classifier].items()}
        return build(workload, {**weights, classifier: group}, calibration)

    monkeypatch.setattr(exporting, "EXPORTS", {"final.tflite": ("fp32", wrong)})
    with pytest.raises(ArtefactError, match=r"logits of final\.tflite differ from torch's by 0\.0"):
        export(trained, tmp_path, calibration_images(task, trained.network, 8), task)
    assert not list(tmp_path.iterdir())


def test_denormal_weights_are_flushed(trained: Trained) -> None:
    index = next(iter(trained.weights))
    weight = trained.weights[index]["weight"].copy()
    weight.flat[:2] = [1e-40, -1e-41]
    flushed = exporting._flushed({index: {"weight": weight}})[index]["weight"]
    assert flushed.flat[0] == flushed.flat[1] == 0.0
    np.testing.assert_array_equal(flushed.ravel()[2:], weight.ravel()[2:])


def test_calibration_images_are_drawn_at_the_networks_resolution(task: Task, trained: Trained) -> None:
    larger = replace(trained.network, resolution=20)
    images = calibration_images(task, larger, 20)
    assert images.shape == (20, 3, 20, 20)
    np.testing.assert_array_equal(images, calibration_images(task, larger, 20))
    assert not np.array_equal(images, calibration_images(task, larger, 20, seed=1))
    assert len(calibration_images(task, trained.network, 10**6)) == len(task.train)


def test_calibration_images_of_another_size_are_refused(trained: Trained, task: Task, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"calibrated with at least 1 images of shape \(3, 16, 16\)"):
        export(trained, tmp_path, np.zeros((4, 3, 28, 28), np.float32), task)


def test_files_that_cannot_be_run_are_named(tmp_path: Path) -> None:
    images = np.zeros((1, 3, 16, 16), np.float32)
    with pytest.raises(ConfigError, match="neither an .onnx nor a .tflite"):
        run_exported(tmp_path / "final.pt", images)
    with pytest.raises(ConfigError, match="cannot read"):
        run_exported(tmp_path / "final.onnx", images)
    for suffix in ("onnx", "tflite"):
        path = tmp_path / f"broken.{suffix}"
        path.write_bytes(b"nothing of the kind")
        with pytest.raises(ArtefactError, match="on this machine"):
            run_exported(path, images)
