"""TrainingFreeScore: what every training-free score looks like; ProxyScore: what each of them answers.

    score = Naswot()
    score.score(Subject(workload, taps), images, seed=0)      # ProxyScore(value=..., why="")

To write one of your own, subclass `TrainingFreeScore`, set `name` and write `_compute`; run it through
`tests/contracts/training_free.py`, and name it in the entry-point group of `proxies/known.py`. The larger a value, the
better the network is held to be; only the order of values means anything. What is not a finite number is no score:
it comes back as a `ProxyScore` that is not `known` and says why, and never takes part in a ranking.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from profiler.workloads.graph import Workload
from search.spaces.base import Taps
from search.threads import torch_threads

if TYPE_CHECKING:
    import torch

    from profiler.workloads.builders.torch import WorkloadModule

__all__ = ["Probe", "ProxyScore", "Subject", "TrainingFreeScore"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A network to score.

    Attributes:
        workload: the network for images (1, 3, h, h), its logits the first output.
        taps: its tapped tensors (`SearchSpace.assemble`); the last is what is pooled and classified.
    """

    workload: Workload
    taps: Taps = ()


@dataclass(frozen=True, slots=True)
class ProxyScore:
    """One score, or why there is none.

    Attributes:
        value: higher is better; NaN where there is none.
        why: why there is none; empty where there is one.

    Raises:
        ConfigError: for a value that is not finite and gives no reason, or a reason beside a value.
    """

    value: float
    why: str = ""

    def __post_init__(self) -> None:
        if math.isinf(self.value) or math.isnan(self.value) != bool(self.why):
            raise ConfigError(f"a score is a finite number or NaN with a reason, not {self.value} with {self.why!r}")

    @property
    def known(self) -> bool:
        """Whether there is a score."""
        return not self.why


@dataclass(frozen=True, slots=True)
class Probe:
    """What a score is computed from.

    Attributes:
        module: the network with fresh weights drawn from the seed, in training mode; it may be changed at will.
        subject: what the module computes.
        images: (n, 3, h, h) float32.
        generator: of all else that is random.
    """

    module: WorkloadModule
    subject: Subject
    images: torch.Tensor
    generator: torch.Generator


class TrainingFreeScore(ABC):
    """A score that needs no training.

    Attributes:
        name: short name on the command line and in files; a class attribute.
        sees_images: whether the score depends on the images.
        sees_weights: whether it depends on fresh weights, and so on the seed.
        version: part of the identity of stored scores; raised whenever the score changes.
    """

    name: str
    sees_images: bool = True
    sees_weights: bool = True
    version: int = 1

    @abstractmethod
    def _compute(self, probe: Probe) -> float:
        """The score of a network; anything not finite where there is none."""

    def score(self, subject: Subject, images: NDArray[np.float32], seed: int) -> ProxyScore:
        """Score a network: a pure function of its arguments, on one thread.

        Args:
            subject: the network.
            images: (n, 3, h, h) float32, n >= 2, of the network's input size; not changed.
            seed: of weights and whatever else is drawn.

        Raises:
            ConfigError: where the images do not fit the network.
            UnsupportedOperator: for a network that torch cannot run.
        """
        workload = subject.workload
        wanted = workload.shapes[workload.inputs[0]][0][1:]
        if images.ndim != 4 or len(images) < 2 or images.shape[1:] != wanted:
            raise ConfigError(
                f"the score {self.name} takes two or more images of shape {wanted}, and was given {images.shape}"
            )
        if self.sees_images and not np.isfinite(images).all():
            return ProxyScore(math.nan, "an image holds a value that is not a finite number")
        value = float(self._compute_alone(subject, images, seed))
        if not math.isfinite(value):
            return ProxyScore(math.nan, f"its {self.name} is {value}, not a finite number")
        return ProxyScore(value)

    def _compute_alone(self, subject: Subject, images: NDArray[np.float32], seed: int) -> float:
        import torch

        from profiler.workloads.builders.torch import WorkloadModule, reset

        def generator(use: str) -> torch.Generator:
            # not by the network's name: the same network has the same weights whatever it is called
            digest = hashlib.sha256(f"{seed}/{use}/{subject.workload.key}".encode()).hexdigest()
            return torch.Generator().manual_seed(int(digest[:15], 16))

        # modules draw initial weights from the global generator before `reset` replaces them: leave it as it was
        with torch_threads(1), torch.random.fork_rng(devices=[]):
            module = WorkloadModule(subject.workload, subject.taps)
            reset(module, generator("weights"))
            return self._compute(Probe(module.train(), subject, torch.tensor(images), generator("draws")))
