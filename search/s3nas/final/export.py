"""A trained network as files that boards load, in float32 and int8, and how well each file classifies.

    final.onnx   final-int8.onnx   final.tflite   final-int8.tflite

int8 takes the ranges of activations from training images. Every file is run on this machine over the test images and
held against torch: float32 has to agree, int8 is reported. The files have batch 1, as the measured workload.

Where latency is concerned: the campaign measures `network_workload(network)` with seeded weights, which is the same
graph with other numbers: the same kernels on the same shapes. Only denormal numbers would take other times, and those
are flushed to zero here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ArtefactError, ConfigError
from profiler.workloads.calibration import Calibration, calibration_of
from profiler.workloads.graph import Workload
from profiler.workloads.weights import Weights
from search.batches import in_order
from search.files import write_bytes
from search.s3nas.final.trained import Trained
from search.spaces.network import Network, network_workload
from search.tasks import Images, Task
from search.threads import torch_threads

__all__ = ["EXPORTS", "FP32_TOLERANCE", "Exported", "calibration_images", "export", "run_exported"]

FP32_TOLERANCE = 1e-3
"""Largest error of a float32 file's logits beside torch's, relative to the root mean square of these."""

_STREAM = 4
"""From which the calibration images are drawn."""

_TINY = float(np.finfo(np.float32).tiny)

Precision = Literal["fp32", "int8"]
_Build = Callable[[Workload, Weights, Calibration], bytes]


@dataclass(frozen=True, slots=True)
class Exported:
    """One exported file.

    Attributes:
        file: its name.
        format: "onnx" or "tflite".
        precision: "fp32" or "int8".
        bytes: its size.
        accuracy: the share of test images that it classifies correctly, run on this machine.
        torch_accuracy: the same of torch with the same weights.
        agreement: the share of test images to which it gives the class that torch gives.
        max_error: largest difference of a logit from torch's, relative to the root mean square of torch's logits.
    """

    file: str
    format: str
    precision: Precision
    bytes: int
    accuracy: float
    torch_accuracy: float
    agreement: float
    max_error: float

    @property
    def accuracy_drop(self) -> float:
        """What the file loses against torch, as a share of the test images; negative where it gains."""
        return self.torch_accuracy - self.accuracy

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return asdict(self)


def _onnx(workload: Workload, weights: Weights, calibration: Calibration) -> bytes:
    from profiler.workloads.builders.onnx import build_onnx

    return build_onnx(workload, weights)


def _onnx_int8(workload: Workload, weights: Weights, calibration: Calibration) -> bytes:
    from profiler.workloads.builders.onnx_int8 import build_onnx_int8

    return build_onnx_int8(workload, weights, calibration)


def _tflite(workload: Workload, weights: Weights, calibration: Calibration) -> bytes:
    from profiler.workloads.builders.tflite import build_tflite

    return build_tflite(workload, weights)


def _tflite_int8(workload: Workload, weights: Weights, calibration: Calibration) -> bytes:
    from profiler.workloads.builders.tflite import build_tflite_int8

    return build_tflite_int8(workload, weights, calibration)


EXPORTS: Mapping[str, tuple[Precision, _Build]] = {
    "final.onnx": ("fp32", _onnx),
    "final-int8.onnx": ("int8", _onnx_int8),
    "final.tflite": ("fp32", _tflite),
    "final-int8.tflite": ("int8", _tflite_int8),
}
"""Every file: its precision, and what makes it."""


def calibration_images(task: Task, network: Network, count: int = 256, seed: int = 0) -> Images:
    """Training images (count, 3, resolution, resolution) drawn at random, at the network's resolution.

    At random, since files may hold the images class by class; all of them where there are fewer.
    """
    split = task.at(network.resolution).train
    order = np.random.default_rng((seed, _STREAM)).permutation(len(split))
    return split.batch(order[:count].astype(np.int64))


def export(trained: Trained, out_dir: Path, calibration: Images, task: Task) -> tuple[Exported, ...]:
    """Write the four files and hold each against torch on all test images.

    Args:
        trained: the network and its weights.
        out_dir: where the files go.
        calibration: (n, 3, resolution, resolution), see `calibration_images`.
        task: whose test images are classified.

    Raises:
        ArtefactError: where a file cannot be made or run, or a float32 one differs from torch by more than
            `FP32_TOLERANCE`; that one is not written.
        ConfigError: where the calibration images are none or of another shape.
        StorageError: where a file cannot be written.
    """
    workload = network_workload(trained.network)
    feeds = calibration_of(workload, calibration)
    weights = _flushed(trained.weights)
    split = task.at(trained.network.resolution).test
    images = np.concatenate([split.batch(indices) for indices in in_order(len(split), 256)])
    reference = _torch_logits(workload, weights, images)
    rows: list[Exported] = []
    for name, (precision, build) in EXPORTS.items():
        data = build(workload, weights, feeds)
        logits = _logits(data, Path(name).suffix, name, images)
        row = _compared(name, precision, len(data), logits, reference, split.labels)
        if precision == "fp32" and not row.max_error <= FP32_TOLERANCE:
            raise ArtefactError(
                f"the logits of {name} differ from torch's by {row.max_error:.2g} of their size, more than "
                f"{FP32_TOLERANCE:g}: the lowering to .{row.format} is wrong for this network"
            )
        write_bytes(out_dir / name, data)
        rows.append(row)
    return tuple(rows)


def run_exported(path: Path, images: Images) -> NDArray[np.float32]:
    """The logits (n, classes) of an exported file for images (n, 3, h, w), one after another, on this machine.

    .onnx files run in ONNX Runtime and .tflite files in LiteRT, each with one thread; int8 logits in real values.

    Raises:
        ArtefactError: where the file does not run here.
        ConfigError: where it cannot be read or is neither.
    """
    if path.suffix not in _RUNNERS:
        raise ConfigError(f"{path} is neither an .onnx nor a .tflite file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    return _logits(data, path.suffix, str(path), images)


_RUNNERS = {".onnx": "onnx_runner", ".tflite": "litert_runner"}


def _logits(data: bytes, suffix: str, what: str, images: Images) -> NDArray[np.float32]:
    from profiler.workloads import host_runners

    runner = getattr(host_runners, _RUNNERS[suffix])(data, what)
    rows = [np.asarray(runner((images[i : i + 1],)), np.float32).reshape(-1) for i in range(len(images))]
    return np.stack(rows)


def _torch_logits(workload: Workload, weights: Weights, images: Images) -> NDArray[np.float32]:
    import torch

    from profiler.workloads.builders.torch import build_module

    module = build_module(workload, weights).eval()
    found: list[NDArray[np.float32]] = []
    with torch_threads(1), torch.inference_mode():
        for indices in in_order(len(images), 256):
            logits = module(torch.from_numpy(images[indices]))
            assert isinstance(logits, torch.Tensor), "a network without taps has one output"
            found.append(logits.numpy())
    return np.concatenate(found)


def _compared(
    name: str,
    precision: Precision,
    size: int,
    logits: NDArray[np.float32],
    reference: NDArray[np.float32],
    labels: NDArray[np.int64],
) -> Exported:
    classes, expected = logits.argmax(axis=1), reference.argmax(axis=1)
    scale = float(np.sqrt(np.mean(reference.astype(np.float64) ** 2))) or 1.0
    return Exported(
        name, Path(name).suffix[1:], precision, size, float((classes == labels).mean()),
        float((expected == labels).mean()), float((classes == expected).mean()),
        float(np.abs(logits.astype(np.float64) - reference).max() / scale),
    )  # fmt: skip


def _flushed(weights: Weights) -> Weights:
    """The weights with denormal numbers, which some processors take a hundred times as long for, set to zero."""
    return {
        index: {name: np.where(np.abs(array) < _TINY, np.float32(0), array) for name, array in group.items()}
        for index, group in weights.items()
    }
