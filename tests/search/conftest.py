"""Fixtures of the search tests: the public data where it is given, a toy task, a toy space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from profiler.workloads.weights import seeded_weights
from search.data import ImageSet
from search.evrsnas.reference import Reference, resnet20
from search.spaces import NasBench201


@pytest.fixture(scope="session")
def space() -> NasBench201:
    return NasBench201()


@pytest.fixture(scope="session")
def toy_images() -> ImageSet:
    """Three classes that differ by the colour channel that is bright; 48 training and 24 test images of 32 x 32."""
    rng = np.random.default_rng(0)
    labels = np.arange(72) % 3
    images = rng.normal(0, 0.3, (72, 3, 32, 32)).astype(np.float32)
    images[np.arange(72), labels] += 1.0
    return ImageSet(images[:48], labels[:48], images[48:], labels[48:], 3, "toy", "made up for tests")


@pytest.fixture(scope="session")
def toy_reference() -> Reference:
    """A ResNet-20 for the toy task with weights drawn from a seed: enough to be compared with."""
    workload, taps = resnet20(num_classes=3)
    return Reference(workload, taps, seeded_weights(workload), 1 / 3, "drawn from a seed")


@pytest.fixture(scope="session")
def toy_weights(toy_reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy reference's weights as an .npz file in the naming of the torch state dict."""
    path = tmp_path_factory.mktemp("weights") / "resnet20-toy.npz"
    ops = toy_reference.workload.ops
    arrays = {f"{ops[i].name}.{n}": a for i, group in toy_reference.weights.items() for n, a in group.items()}
    np.savez(path, **arrays)
    return path
