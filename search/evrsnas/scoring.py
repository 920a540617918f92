"""Scoring a candidate: its representation mutual information with the reference on one batch, phi = sum of three RMIs.

From RMI-NAS's code (verified): one batch of n = 32 images for the whole search, those of lowest reference
cross-entropy among 512 random training images; the candidate trained on it from fresh weights by SGD (learning rate
0.1, momentum 0.9, weight decay 5e-4) for 150 steps with the loss 0.8 * (3 - phi) + 0.2 * cross-entropy; batch norms
use the batch's own statistics throughout. phi after training is HW-EvRSNAS's score; RMI-NAS ranks by the loss.
Ours: the reduced preset, the mean over several fresh networks, images chosen class by class, the same weights' seed
for the same architecture, and that a network which diverges has no score (NaN).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError, TrainingDiverged
from search.data import ImageSet, shrink
from search.evrsnas.course import Course, steps_to_record, train_course
from search.evrsnas.presets import PRESETS, ScorePreset, preset
from search.evrsnas.rmi import alignment, choose_batch
from search.spaces.base import Architecture, SearchSpace
from search.threads import torch_threads

if TYPE_CHECKING:
    import torch

    from profiler.workloads.builders.torch import WorkloadModule

__all__ = [
    "PRESETS",
    "Batch",
    "ReferenceModel",
    "RmiScorer",
    "ScorePreset",
    "check_classes",
    "check_images",
    "draw_batch",
    "preset",
    "score_of",
]

_RECIPE = 1
"""Part of every score's identity: raised whenever scoring changes."""
_STAGES = 3


class ReferenceModel(Protocol):
    """What scoring needs of a reference."""

    @property
    def digest(self) -> str:
        """A hash of the network, its taps and its weights."""

    def features(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[NDArray[np.float32], ...]]:
        """Logits (n, classes) and the feature maps of the three stages (n, ...), in eval mode."""

    def losses(self, images: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cross-entropy of every image (n,)."""


@dataclass(frozen=True, eq=False)
class Batch:
    """The one batch of a search and what the reference makes of it.

    Attributes:
        indices: (n,) positions in the training images.
        images: (n, 3, h, h) float32 at the candidates' size.
        labels: (n,) class indices.
        targets: the reference's normalised centred kernels HKH / ||HKH||, one (n, n) float64 for each stage.
    """

    indices: NDArray[np.int64]
    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    targets: tuple[NDArray[np.float64], ...]


def check_images(images: ImageSet, how: ScorePreset, seed: int) -> None:
    """Whether a batch can be had at all, asked before a reference is trained; which it is, the reference says.

    Raises:
        ConfigError: where there are too few images, or all of them or of those drawn are of one class.
    """
    n = len(images.train_labels)
    if n and len(np.unique(images.train_labels)) < 2:
        raise ConfigError(
            f"the training images of {images.name} are of one class only, so that there is nothing to tell apart: "
            "give images of two classes or more"
        )
    if n < how.batch_size:
        raise ConfigError(f"{images.name} has {n} training images, fewer than the batch of {how.batch_size}")
    pool = _pool(images, how, seed)
    if _asks_for_labels(how) and len(np.unique(images.train_labels[pool])) < 2:
        raise ConfigError(
            f"the {len(pool)} of {n} training images of {images.name} that seed {seed} draws, among which the batch is "
            "chosen, are of one class only: give more images of the others, or take another seed"
        )


def _pool(images: ImageSet, how: ScorePreset, seed: int) -> NDArray[np.int64]:
    """Positions of the training images among which the batch is chosen, ascending."""
    n = len(images.train_labels)
    return np.sort(np.random.default_rng(seed).choice(n, size=min(how.pool, n), replace=False))


def _asks_for_labels(how: ScorePreset) -> bool:
    """phi as initialised does not, and is had on any batch."""
    return how.steps > 0 or how.kind == "mixed_loss"


def draw_batch(images: ImageSet, reference: ReferenceModel, how: ScorePreset, seed: int) -> Batch:
    """Draw `how.pool` training images by `seed` and choose the batch among them.

    Raises:
        ConfigError: as of `check_images`; and where the reference's loss is not finite, or it does not give three
            feature maps that tell images apart.
    """
    check_images(images, how, seed)
    pool = _pool(images, how, seed)
    losses = reference.losses(images.train_images[pool], images.train_labels[pool])
    indices = pool[choose_batch(losses, images.train_labels[pool], how.batch_size, how.balanced)]
    chosen = images.train_images[indices]
    _, features = reference.features(chosen)
    targets = tuple(alignment(f) for f in features)
    if len(targets) != _STAGES:
        raise ConfigError(f"the reference gives {len(targets)} feature maps, but RMI compares {_STAGES}: tap it thrice")
    flat = [i for i, target in enumerate(targets, 1) if not target.any()]
    if flat:
        raise ConfigError(
            f"the reference's feature map {flat[0]} is the same for every image of the batch: tap it elsewhere"
        )
    return Batch(indices, shrink(chosen, how.image_size), images.train_labels[indices], targets)


def check_classes(batch: Batch, how: ScorePreset) -> None:
    """Raise ConfigError where a batch is of one class, on which a network learns nothing but that class."""
    if _asks_for_labels(how) and len(np.unique(batch.labels)) < 2:
        raise ConfigError(
            f"the reference finds {len(batch.labels)} images of one class the easiest, so that the batch is of one "
            "class only: choose it class by class (a balanced preset), or take another seed or a better reference"
        )


class RmiScorer:
    """phi of architectures of one space against one reference; a pure function of its arguments and of `seed`.

    Attributes:
        space, preset, seed: what is scored, and how.
        batch: the one batch used for all.
        device: what torch computes on, such as "cpu" or "cuda".
        identity: a digest of everything but the architecture that a score depends on.
        course_settings: everything but the architecture, the seed and the steps that a course depends on.
        course_identity: a digest of those.
    """

    def __init__(
        self,
        space: SearchSpace,
        preset: ScorePreset,
        reference: ReferenceModel,
        images: ImageSet,
        seed: int,
        device: str = "cpu",
    ) -> None:
        self.space, self.preset, self.seed, self.device = space, preset, seed, device
        self.batch = draw_batch(images, reference, preset, seed)
        self._macro = space.reduced(preset.channels, preset.cells_per_stage, preset.image_size, images.num_classes)
        settings = {k: v for k, v in asdict(preset).items() if k != "name"}
        parts = [_RECIPE, space.name, settings, reference.digest, images.digest, self.batch.indices.tolist(), seed]
        parts += [space.definition] if space.definition else []
        self.identity = _digest(parts)
        training = ("learning_rate", "momentum", "weight_decay", "rmi_weight")
        self.course_settings: dict[str, Any] = {
            "recipe": _RECIPE,
            "space": space.name,
            "definition": dict(space.definition),
            "macro": self._macro,
            "image_size": preset.image_size,
            "training": {name: settings[name] for name in training},
            "reference": reference.digest,
            "images": images.digest,
            "batch": self.batch.indices.tolist(),
        }
        self.course_identity = _digest(self.course_settings)

    def __call__(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Scores, higher is better, in the order given; NaN for a network whose training diverged."""
        return np.array([self.score(a) for a in architectures], dtype=np.float64)

    def score(self, arch: Architecture) -> float:
        """The mean score of `preset.networks` fresh networks of an architecture; NaN where one diverged."""
        at = (self.preset.steps,)
        scores = [score_of(self.course(arch, i, at), self.preset) for i in range(self.preset.networks)]
        return float(np.mean(scores))

    def course(self, arch: Architecture, network: int = 0, at: Sequence[int] | None = None) -> Course:
        """Train one fresh network of an architecture.

        Args:
            arch: an architecture of the space.
            network: which of its fresh networks.
            at: the steps to record, ascending; by default those of `steps_to_record` for the preset.
        """
        import torch

        at = steps_to_record(self.preset.steps) if at is None else at
        # modules draw initial weights from the global generator before `reset` replaces them: leave it as it was
        with torch_threads(self.preset.threads), torch.random.fork_rng(devices=[]), self._full_float32():
            module = self._fresh(arch, network).to(self.device)
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            x, y, targets = self._tensors()
            return train_course(module, x.contiguous(memory_format=torch.channels_last), y, targets, self.preset, at)

    def courses(self, networks: Sequence[tuple[Architecture, int]], at: Sequence[int] | None = None) -> list[Course]:
        """`course` of several (architecture, network), trained together in one process.

        The same to float32 rounding, which training amplifies; worth it where starting an operator costs more than
        computing it.
        """
        import torch

        from search.evrsnas.lockstep import train_together

        at = steps_to_record(self.preset.steps) if at is None else at
        with torch_threads(self.preset.threads), torch.random.fork_rng(devices=[]), self._full_float32():
            modules = [self._fresh(arch, network) for arch, network in networks]
            x, y, targets = self._tensors()
            return train_together(modules, x, y, targets, self.preset, at)

    def _fresh(self, arch: Architecture, network: int) -> WorkloadModule:
        """An untrained network whose weights depend on the seed, its number and its isomorphism class."""
        import torch

        from profiler.workloads.builders.torch import WorkloadModule, reset

        text = f"{self.seed}/{network}/{self.space.canonical(arch)}"
        generator = torch.Generator().manual_seed(int(hashlib.sha256(text.encode()).hexdigest()[:15], 16))
        workload, taps = self.space.assemble(arch, **self._macro)
        module = WorkloadModule(workload, taps)
        reset(module, generator)
        return module.train()

    def _full_float32(self) -> AbstractContextManager[None]:
        """On a GPU: no TensorFloat-32 in convolutions, for a score does not depend on the device."""
        import torch

        if self.device == "cpu":
            return nullcontext()
        found: AbstractContextManager[None] = torch.backends.cudnn.flags(allow_tf32=False)
        return found

    def _tensors(self) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        import torch

        batch = self.batch
        return (
            torch.from_numpy(batch.images).to(self.device),
            torch.from_numpy(batch.labels).to(self.device),
            [torch.from_numpy(target).to(self.device) for target in batch.targets],
        )


def score_of(course: Course, how: ScorePreset) -> float:
    """A course's score at the preset's steps, higher is better; NaN where the training diverged."""
    try:
        point = course.at(how.steps)
    except TrainingDiverged:
        return math.nan
    return point.phi if how.kind == "phi" else -point.mixed_loss(how.rmi_weight)


def _digest(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
