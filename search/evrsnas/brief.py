"""Dear scores: how far a network gets in a few epochs of training.

The first stage of a search in two nominates architectures by a score that costs next to nothing; of those few alone
this is asked. All are trained alike (`BriefTraining`), in a reduced form, on four fifths of the training images, and
two scores come of it: the share of the last fifth that is classified correctly, as in the finalists' round
(`beyond/finalists.py`), and the training loss over the last epoch, which Ru et al., "Speedy performance estimation for
neural architecture search" (NeurIPS 2021), rank by (their TSE-E with E = 1). They are kept for every architecture, so
that searches of any device and budget share them. Test images are not looked at. Ours; not in HW-EvRSNAS.

What does not reach the output is left out before training, so that architectures which differ in that only are
trained once and score alike.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass
from functools import cached_property

from profiler.errors import ConfigError
from search.data import ImageSet
from search.evrsnas.beyond.finalists import held_out
from search.spaces.base import Architecture, SearchSpace

__all__ = ["BriefTrainer", "BriefTraining", "Learnt"]

_RECIPE = 1
"""Part of every score's identity: raised whenever scoring changes."""


@dataclass(frozen=True, slots=True)
class BriefTraining:
    """How networks are trained.

    Attributes:
        channels, cells_per_stage, image_size: the macro network (`SearchSpace.reduced`); images are averaged down.
        epochs: passes over the images trained on.
        batch_size, learning_rate: of SGD; see `search.training.train_classifier`.
        share: of every class of the training images that is held out.
    """

    channels: int = 16
    cells_per_stage: int = 1
    image_size: int = 16
    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 0.1
    share: float = 0.2

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise ConfigError(
                f"a brief training is of at least one epoch and two images a batch, not {self.epochs} and "
                f"{self.batch_size}"
            )


@dataclass(frozen=True, slots=True)
class Learnt:
    """What one brief training came to.

    Attributes:
        held_out: the share of the held-out images classified correctly; NaN where the training diverged.
        loss: mean cross-entropy over the batches of the last epoch, in nats; NaN likewise.
        macs: multiply-accumulates of one image through the network that was trained.
        images_seen: images trained on, repetitions counted.
        seconds: CPU time of training and judging, on whatever machine.
    """

    held_out: float
    loss: float
    macs: int
    images_seen: int
    seconds: float

    def columns(self) -> dict[str, float | int]:
        """As a row of a table of scores: `tse` is the negated loss, so that more is better."""
        return {
            "held_out": self.held_out, "tse": -self.loss, "trained_macs": self.macs, "images_seen": self.images_seen,
            "seconds": self.seconds,
        }  # fmt: skip

    @classmethod
    def of_columns(cls, row: dict[str, float]) -> Learnt:
        """Back from such a row."""
        return cls(row["held_out"], -row["tse"], int(row["trained_macs"]), int(row["images_seen"]), row["seconds"])


class BriefTrainer:
    """Trains architectures of a space alike; a score is a function of the arguments and the architecture.

    Args:
        space: of the architectures.
        how: sizes and recipe.
        images: the task; its test images are not looked at.
        seed: of the split, the weights and the order of the images.
    """

    row = Learnt

    def __init__(self, space: SearchSpace, how: BriefTraining, images: ImageSet, seed: int) -> None:
        self.space, self.how, self.seed = space, how, seed
        self.task = held_out(images, how.share, seed)

    @cached_property
    def identity(self) -> str:
        """A digest of everything but the architecture that a score depends on."""
        parts = [_RECIPE, self.space.name, dict(self.space.definition), asdict(self.how), self.task.digest, self.seed]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def train(self, arch: Architecture) -> Learnt:
        """Train the essential part of an architecture and judge it.

        Raises:
            ConfigError: for an architecture whose output does not depend on its input.
        """
        import torch

        from profiler.workloads.builders.torch import build_module
        from search.training import train_classifier

        if not self.space.connected(arch):
            raise ConfigError(f"{self.space.describe(arch)} has an output that does not depend on its input")
        how, task = self.how, self.task
        started = time.process_time()
        macro = self.space.reduced(how.channels, how.cells_per_stage, how.image_size, task.num_classes)
        workload = self.space.workload(self.space.essential(arch), **macro)
        size = workload.shapes[workload.inputs[0]][0][-1]
        batch = min(how.batch_size, len(task.train_labels))
        an_epoch = len(task.train_labels) // batch
        steps = how.epochs * an_epoch
        losses: list[float] = []
        # modules draw initial weights from the global generator before they are reset: leave it as it was
        with torch.random.fork_rng(devices=[]):
            module = build_module(workload)
            reached = train_classifier(
                module, task, steps, self.seed, batch_size=batch, learning_rate=how.learning_rate, image_size=size,
                losses=losses,
            )  # fmt: skip
        loss = math.fsum(losses[-an_epoch:]) / an_epoch
        held, loss = (reached, loss) if math.isfinite(reached) and math.isfinite(loss) else (math.nan, math.nan)
        return Learnt(held, loss, workload.macs, steps * batch, time.process_time() - started)
