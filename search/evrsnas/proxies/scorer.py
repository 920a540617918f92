"""A training-free score over a search space, in the shape that the evolution and the score store take."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.data import ImageSet, shrink
from search.evrsnas.proxies.base import ProxyScore, Subject, TrainingFreeScore
from search.spaces.base import Architecture, SearchSpace

__all__ = ["ProxyScorer"]


class ProxyScorer:
    """Training-free scores of a space's reduced networks on one seeded batch of training images.

    An architecture whose output does not depend on its input has no score, whatever the score: size alone would rank
    it beside good ones.

    Args:
        space: what is scored.
        proxy: the score.
        images: where the batch is drawn from.
        seed: of the batch and of the weights.
        channels, cells_per_stage, image_size: the macro network (`SearchSpace.reduced`).
        batch_size: n.

    Attributes:
        identity: a digest of everything but the architecture that a score depends on.
        why: the reason for every architecture that was asked for and has no score.
    """

    def __init__(
        self,
        space: SearchSpace,
        proxy: TrainingFreeScore,
        images: ImageSet,
        seed: int,
        *,
        channels: int = 8,
        cells_per_stage: int = 1,
        image_size: int = 32,
        batch_size: int = 32,
    ) -> None:
        self.why: dict[Architecture, str] = {}
        self._space, self._proxy, self._seed = space, proxy, seed
        size = min(batch_size, len(images.train_labels))
        chosen = np.sort(np.random.default_rng([seed, 11]).choice(len(images.train_labels), size, replace=False))
        self._images = shrink(images.train_images[chosen], image_size)
        self._macro = space.reduced(channels, cells_per_stage, image_size, images.num_classes)
        parts = [
            type(proxy).__module__,
            proxy.name,
            proxy.version,
            space.name,
            space.definition and dict(space.definition),
        ]
        parts += [self._macro, size, seed, images.digest if proxy.sees_images else ""]
        self.identity = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def __call__(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Scores (n,), higher is better, in the order given; NaN where there is none, see `why`."""
        return np.array([self._value(a) for a in architectures], dtype=np.float64)

    def score(self, arch: Architecture) -> ProxyScore:
        """One architecture's score, or why it has none."""
        if not self._space.connected(arch):
            return ProxyScore(math.nan, "its output does not depend on its input")
        workload, taps = self._space.assemble(self._space.representative(arch), **self._macro)
        return self._proxy.score(Subject(workload, taps), self._images, self._seed)

    def _value(self, arch: Architecture) -> float:
        found = self.score(arch)
        if found.why:
            self.why[arch] = found.why
        return found.value
