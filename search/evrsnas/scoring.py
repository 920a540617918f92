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
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.data import ImageSet, shrink
from search.evrsnas.reference import Reference
from search.evrsnas.rmi import alignment, choose_batch, torch_alignment
from search.spaces.base import Architecture, SearchSpace
from search.threads import torch_threads

if TYPE_CHECKING:
    import torch

__all__ = ["PRESETS", "Batch", "RmiScorer", "ScorePreset", "draw_batch", "preset"]

_RECIPE = 1
"""Part of every score's identity: raised whenever scoring changes."""


@dataclass(frozen=True, slots=True)
class ScorePreset:
    """How candidates are scored.

    Attributes:
        name: what it is called on the command line.
        channels, cells_per_stage, image_size: the candidate's macro network (`SearchSpace.reduced`); images are
            averaged down to its size, while the reference always sees 32 x 32.
        steps: training steps on the batch; 0 scores networks as initialised.
        networks: fresh networks whose scores are averaged.
        balanced: choose the batch class by class.
        batch_size, pool: n, and the number of random training images it is chosen from.
        kind: "phi", or "mixed_loss" for the negated loss that RMI-NAS ranks by.
        learning_rate, momentum, weight_decay, rmi_weight: of the brief training.
        threads: how many torch may use; None leaves it to torch. See `search.threads`.
    """

    name: str
    channels: int = 16
    cells_per_stage: int = 5
    image_size: int = 32
    steps: int = 150
    networks: int = 1
    balanced: bool = False
    batch_size: int = 32
    pool: int = 512
    kind: Literal["phi", "mixed_loss"] = "phi"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    rmi_weight: float = 0.8
    threads: int | None = 1

    def __post_init__(self) -> None:
        if self.steps < 0 or self.networks < 1 or self.batch_size < 2 or self.pool < self.batch_size:
            raise ConfigError(
                f"score preset {self.name!r}: steps must not be negative, networks at least 1, "
                "the batch at least 2 images and the pool no smaller than the batch"
            )
        if self.kind not in ("phi", "mixed_loss"):
            raise ConfigError(f"score preset {self.name!r}: a score is 'phi' or 'mixed_loss', not {self.kind!r}")


PRESETS: dict[str, ScorePreset] = {
    p.name: p
    for p in (
        ScorePreset("paper", threads=None),
        ScorePreset("quick", channels=8, cells_per_stage=1, image_size=16, steps=5, networks=4, balanced=True),
    )
}
"""By name. "paper": the whole network, trained for 150 steps. "quick": a reduced network on two CPU cores."""


def preset(name: str) -> ScorePreset:
    """The preset of a name (ConfigError where there is none)."""
    if name not in PRESETS:
        raise ConfigError(f"there is no score preset {name!r}; known are {', '.join(sorted(PRESETS))}")
    return PRESETS[name]


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


def draw_batch(images: ImageSet, reference: Reference, how: ScorePreset, seed: int) -> Batch:
    """Draw `how.pool` training images by `seed` and choose the batch among them.

    Raises:
        ConfigError: where there are too few images, or the reference's loss is not finite.
    """
    n = len(images.train_labels)
    if n < how.batch_size:
        raise ConfigError(f"{images.name} has {n} training images, fewer than the batch of {how.batch_size}")
    pool = np.sort(np.random.default_rng(seed).choice(n, size=min(how.pool, n), replace=False))
    losses = reference.losses(images.train_images[pool], images.train_labels[pool])
    indices = pool[choose_batch(losses, images.train_labels[pool], how.batch_size, how.balanced)]
    chosen = images.train_images[indices]
    _, features = reference.features(chosen)
    targets = tuple(alignment(f) for f in features)
    return Batch(indices, shrink(chosen, how.image_size), images.train_labels[indices], targets)


class RmiScorer:
    """phi of architectures of one space against one reference; a pure function of its arguments and of `seed`.

    Attributes:
        space, preset, seed: what is scored, and how.
        batch: the one batch used for all.
        identity: a digest of everything but the architecture that a score depends on.
    """

    def __init__(
        self, space: SearchSpace, preset: ScorePreset, reference: Reference, images: ImageSet, seed: int
    ) -> None:
        self.space, self.preset, self.seed = space, preset, seed
        self.batch = draw_batch(images, reference, preset, seed)
        self._macro = space.reduced(preset.channels, preset.cells_per_stage, preset.image_size, images.num_classes)
        settings = {k: v for k, v in asdict(preset).items() if k != "name"}
        parts = [_RECIPE, space.name, settings, reference.digest, images.digest, self.batch.indices.tolist(), seed]
        parts += [space.definition] if space.definition else []
        self.identity = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def __call__(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Scores, higher is better, in the order given; NaN for a network whose training diverged."""
        return np.array([self.score(a) for a in architectures], dtype=np.float64)

    def score(self, arch: Architecture) -> float:
        """The mean score of `preset.networks` fresh networks of an architecture."""
        import torch

        # modules draw initial weights from the global generator before `reset` replaces them: leave it as it was
        with torch_threads(self.preset.threads), torch.random.fork_rng(devices=[]):
            return float(np.mean([self._score_once(arch, i) for i in range(self.preset.networks)]))

    def _score_once(self, arch: Architecture, network: int) -> float:
        import torch

        from profiler.workloads.builders.torch import WorkloadModule, reset

        text = f"{self.seed}/{network}/{self.space.canonical(arch)}"
        generator = torch.Generator().manual_seed(int(hashlib.sha256(text.encode()).hexdigest()[:15], 16))
        workload, taps = self.space.assemble(arch, **self._macro)
        module = WorkloadModule(workload, taps)
        reset(module, generator)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        module.train()
        x = torch.from_numpy(self.batch.images).contiguous(memory_format=torch.channels_last)
        y = torch.from_numpy(self.batch.labels)
        targets = [torch.from_numpy(t) for t in self.batch.targets]
        optimiser = torch.optim.SGD(
            module.parameters(),
            self.preset.learning_rate,
            momentum=self.preset.momentum,
            weight_decay=self.preset.weight_decay,
        )
        for _ in range(self.preset.steps):
            _, loss = self._measure(module, x, y, targets)
            if not math.isfinite(float(loss.detach())):
                return math.nan
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            phi, loss = self._measure(module, x, y, targets)
        return float(phi) if self.preset.kind == "phi" else -float(loss)

    def _measure(
        self, module: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, targets: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """phi and the mixed loss of a network on the batch."""
        import torch

        result: Any = module(x)
        logits, features = result
        phi = torch.zeros((), dtype=torch.float64)
        for target, feature in zip(targets, features, strict=True):
            # what does not depend on the input may come as one row for all images
            phi = phi + (torch_alignment(feature.expand(len(x), *feature.shape[1:])) * target).sum()
        entropy = torch.nn.functional.cross_entropy(logits.expand(len(x), -1), y)
        weight = self.preset.rmi_weight
        return phi, weight * (len(targets) - phi) + (1 - weight) * entropy
