"""The reference: a trained ResNet-20 whose three stages every candidate's features are compared with.

ResNet-20 (He et al. 2016; 16/32/64 channels, parameter-free shortcuts that drop every second pixel and pad channels
with zeros) is a Workload like everything else. Its weights are trained here from a seed, or read from an .npz in
the naming of the torch state dict of akamaster/pytorch_resnet_cifar10: conv1, bn1,
layer{1,2,3}.{0,1,2}.{conv1,bn1,conv2,bn2}, linear.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError, TrainingDiverged
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref, Workload
from search.data import ImageSet
from search.files import write_bytes
from search.spaces.base import Taps
from search.threads import torch_threads
from search.training import accuracy, train_classifier

if TYPE_CHECKING:
    import torch

    from profiler.workloads.weights import Weights

__all__ = ["REFERENCE_STEPS", "Reference", "read_reference", "resnet20", "trained_reference"]

REFERENCE_STEPS = 100
"""Batches of 64 that the bundled digits need; see `trained_reference`."""

_RECIPE = 1
"""Part of the cache's name: raised whenever the training below changes."""


def resnet20(num_classes: int = 10, image_size: int = 32) -> tuple[Workload, Taps]:
    """ResNet-20 for one square image (its size a multiple of 4) and the references to the outputs of its three stages.

    Ops that carry weights are named as in the torch state dict.
    """
    b = WorkloadBuilder("resnet20")
    x = b.input((1, 3, image_size, image_size))
    x = b.relu(b.batch_norm(b.conv2d(x, 16, kernel=3, name="conv1"), name="bn1"))
    taps: list[Ref] = []
    for stage, channels in enumerate((16, 32, 64), start=1):
        if stage > 1:
            x = _block(b, x, channels, f"layer{stage}.0", half=2 * image_size >> stage)
        for block in range(0 if stage == 1 else 1, 3):
            x = _block(b, x, channels, f"layer{stage}.{block}")
        taps.append(x)
    x = b.linear(b.flatten(b.global_avg_pool(x)), num_classes, name="linear")
    return b.build(x), tuple(taps)


def _block(b: WorkloadBuilder, x: Ref, channels: int, name: str, half: int | None = None) -> Ref:
    """A basic block; `half` is the new image size where it halves the image and doubles the channels."""
    stride = 1 if half is None else 2
    y = b.conv2d(x, channels, kernel=3, stride=stride, name=f"{name}.conv1")
    y = b.relu(b.batch_norm(y, name=f"{name}.bn1"))
    y = b.batch_norm(b.conv2d(y, channels, kernel=3, name=f"{name}.conv2"), name=f"{name}.bn2")
    if half is not None:
        zeros = b.op("zero", shape=(1, channels // 4, half, half))
        x = b.concat(zeros, b.max_pool(x, kernel=1, stride=2), zeros)  # a window of one: every second pixel
    return b.relu(b.add(y, x))


@dataclass(frozen=True, eq=False)
class Reference:
    """A frozen network that representations are compared with.

    Attributes:
        workload, taps: the network and the outputs of its three stages.
        weights: its trained weights.
        accuracy: the share of the image set's test images that it classifies correctly.
        origin: where the weights come from, for people.
    """

    workload: Workload
    taps: Taps
    weights: Weights
    accuracy: float
    origin: str

    @cached_property
    def digest(self) -> str:
        """A hash of the network and its weights: 32 hex digits."""
        state = hashlib.sha256(self.workload.key.encode())
        for index in sorted(self.weights):
            for name in sorted(self.weights[index]):
                state.update(f"{index}.{name}".encode())
                state.update(np.ascontiguousarray(self.weights[index][name]).data)
        return state.hexdigest()[:32]

    def features(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[NDArray[np.float32], ...]]:
        """Logits (n, classes) and the feature maps of the three stages (n, c, h, w), in eval mode."""
        import torch

        with torch_threads(1), torch.inference_mode():
            logits, taps = self._module(torch.from_numpy(images))
        return logits.numpy(), tuple(t.numpy() for t in taps)

    def losses(self, images: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cross-entropy of every image (n,)."""
        losses: list[NDArray[np.float64]] = []
        for start in range(0, len(labels), 256):
            logits = self.features(images[start : start + 256])[0].astype(np.float64)
            top = logits.max(axis=1)
            total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
            losses.append(total - logits[np.arange(len(logits)), labels[start : start + 256]])
        return np.concatenate(losses)

    @cached_property
    def _module(self) -> torch.nn.Module:
        from profiler.workloads.builders.torch import build_module

        module: torch.nn.Module = build_module(self.workload, self.weights, self.taps)
        return module.eval()


def trained_reference(
    images: ImageSet, seed: int, cache_dir: Path | None = None, steps: int = REFERENCE_STEPS
) -> Reference:
    """ResNet-20 trained on an image set from a seed, or read back from `cache_dir` where that was done before.

    The cache's file is named by everything the weights depend on; a damaged one is trained and written anew.

    Raises:
        TrainingDiverged: where its weights are no finite numbers; nothing is kept.
    """
    from profiler.workloads.builders.torch import build_module, module_weights

    workload, taps = resnet20(images.num_classes)
    recipe = {"recipe": _RECIPE, "network": workload.key, "images": images.digest, "seed": seed, "steps": steps}
    name = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:24]
    origin = f"ResNet-20 trained on {images.name} for {steps} steps, seed {seed}"
    path = cache_dir / f"reference-{name}.npz" if cache_dir else None
    if path is not None and path.exists():
        try:
            arrays = _read_npz(path)
            return Reference(workload, taps, _by_op(workload, arrays, path), float(arrays["accuracy"]), origin)
        except (ConfigError, KeyError):
            pass  # a cache is made anew when it cannot be read
    module = build_module(workload)
    reached = train_classifier(module, images, steps, seed)
    if math.isnan(reached):
        raise TrainingDiverged(
            f"ResNet-20 as the reference diverged when it was trained on {images.name}: take another seed, or name "
            "weights with --reference FILE.npz",
            steps,
        )
    weights = module_weights(module)
    if path is not None:
        buffer = io.BytesIO()
        content: dict[str, Any] = {"accuracy": np.float64(reached), **_by_name(workload, weights)}
        np.savez(buffer, **content)
        write_bytes(path, buffer.getvalue())
    return Reference(workload, taps, weights, reached, origin)


def read_reference(path: Path, images: ImageSet) -> Reference:
    """ResNet-20 with the weights of an .npz file; its accuracy is measured on the image set's test images.

    Raises:
        ConfigError: where the file is not there, is no .npz, or its arrays do not fit ResNet-20 for these classes.
    """
    from profiler.workloads.builders.torch import build_module

    workload, taps = resnet20(images.num_classes)
    weights = _by_op(workload, _read_npz(path), path)
    with torch_threads(1):
        reached = accuracy(build_module(workload, weights), images.test_images, images.test_labels)
    return Reference(workload, taps, weights, reached, f"ResNet-20 with the weights of {path.name}")


def _read_npz(path: Path) -> Mapping[str, NDArray[Any]]:
    try:
        # from memory: numpy leaves the file open when it is no archive
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            return {str(name): archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} cannot be read as an .npz file of weights: {error}") from None


def _by_name(workload: Workload, weights: Weights) -> dict[str, NDArray[np.float32]]:
    return {f"{workload.ops[i].name}.{name}": array for i, group in weights.items() for name, array in group.items()}


def _by_op(workload: Workload, arrays: Mapping[str, NDArray[Any]], path: Path) -> Weights:
    weights: dict[int, dict[str, NDArray[np.float32]]] = {}
    for index in workload.compute_ops:
        for name, shape in workload.param_shapes(index).items():
            key = f"{workload.ops[index].name}.{name}"
            if key not in arrays:
                raise ConfigError(f"{path} lacks {key!r}: ResNet-20's weights go by the names of its torch state dict")
            if arrays[key].shape != shape:
                raise ConfigError(f"{path}: {key!r} has shape {arrays[key].shape}, but ResNet-20 needs {shape}")
            weights.setdefault(index, {})[name] = np.ascontiguousarray(arrays[key], dtype=np.float32)
    return weights
