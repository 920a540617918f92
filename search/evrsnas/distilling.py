"""A score by distillation: how well a network learns in 200 steps what the reference says of pictures. Ours.

HW-EvRSNAS asks how alike a candidate's features become to those of a trained reference, on one batch of 32 images. This
asks the same of the outputs, on pictures that the candidate has not seen: it is trained to give the reference's logits
(Hinton et al., "Distilling the knowledge in a neural network", 2015; squared error of logits, after Ba and Caruana,
"Do deep nets really need to be deep?", 2014), and its score is how far off it is on held-out pictures, negated. A
reference labels what nobody has labelled, so that the pictures may be shifted, mirrored and mixed (Zhang et al.,
"mixup", 2018), no candidate sees one twice, and an error is a number where a label is right or wrong: a thousand
held-out images tell candidates apart that differ by less than their accuracy on them can show.

All candidates see the same pictures in the same order (`Lesson`), in a reduced network. Labels are not looked at,
neither are test images.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.data import ImageSet, shrink
from search.evrsnas.beyond.finalists import held_out
from search.spaces.base import Architecture, SearchSpace

if TYPE_CHECKING:
    import torch

__all__ = ["Distilled", "Distiller", "Distilling", "Lesson", "Teacher", "prepare_lesson"]

Pictures = NDArray[np.float32]

_RECIPE = 1
"""Part of every score's identity: raised whenever scoring changes."""

LONGEST = 500
"""Steps that a lesson is prepared for: trainings of any length see the same first pictures and are judged alike."""

_SHIFT = 4
"""Pixels by which a picture is moved at most, along either side."""

_SPREAD = 3.0
"""Standard deviation that the reference's logits are scaled to, so that no learning rate depends on how sure it is."""

_JUDGED_AT_ONCE = 500


class Teacher(Protocol):
    """A trained reference (`search.evrsnas.references`)."""

    @property
    def digest(self) -> str:
        """Part of a score's identity."""
        ...

    def features(self, images: Pictures) -> tuple[Pictures, tuple[Pictures, ...]]:
        """Logits (n, classes), and features that are not asked for here."""
        ...


@dataclass(frozen=True, slots=True)
class Distilling:
    """How networks are trained.

    Attributes:
        channels, cells_per_stage, image_size: the macro network (`SearchSpace.reduced`); pictures are averaged down.
        steps: batches seen, at most `LONGEST`.
        batch_size, learning_rate, weight_decay: of SGD with Nesterov momentum 0.9, warm-up and a cosine to zero.
        mixed: the share of pictures that are mixed of two, in uniform proportion.
        share: of every class of the training images that is held out to judge by.
    """

    channels: int = 16
    cells_per_stage: int = 1
    image_size: int = 16
    steps: int = 200
    batch_size: int = 64
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    mixed: float = 0.5
    share: float = 0.2

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= LONGEST or self.batch_size < 2:
            raise ConfigError(
                f"a distillation takes 1 to {LONGEST} steps of at least two pictures, not {self.steps} of "
                f"{self.batch_size}"
            )


@dataclass(frozen=True, eq=False)
class Lesson:
    """Pictures and what the reference says of them; the same for every candidate.

    Attributes:
        pictures, targets: (n, 3, h, h) in half precision, (n, classes) scaled logits: seen once, in this order.
        judged, judged_targets: (m, 3, h, h), (m, classes): of held-out images as they are, mirrored, and mixed by two.
    """

    pictures: NDArray[np.float16]
    targets: Pictures
    judged: Pictures
    judged_targets: Pictures


@dataclass(frozen=True, slots=True)
class Distilled:
    """What one distillation came to.

    Attributes:
        loss: mean squared error of the scaled logits on the judged pictures; NaN where the training diverged.
        macs: multiply-accumulates of one image through the network that was trained.
        images_seen: pictures trained on.
        seconds: CPU time of training and judging, on whatever machine.
    """

    loss: float
    macs: int
    images_seen: int
    seconds: float

    def columns(self) -> dict[str, float | int]:
        """As a row of a table of scores; more is better."""
        return {
            "distilled": -self.loss, "trained_macs": self.macs, "images_seen": self.images_seen,
            "seconds": self.seconds,
        }  # fmt: skip

    @classmethod
    def of_columns(cls, row: dict[str, float]) -> Distilled:
        """Back from such a row."""
        return cls(-row["distilled"], int(row["trained_macs"]), int(row["images_seen"]), row["seconds"])


def prepare_lesson(images: ImageSet, teacher: Teacher, how: Distilling, seed: int) -> Lesson:
    """Draw the pictures of all steps from a seed and ask the reference.

    Takes the reference `LONGEST` batches: about a minute for ResNet-20 on one core.
    """
    task = held_out(images, how.share, seed)
    size = min(how.batch_size, len(task.train_images))
    rng = np.random.default_rng(seed)
    pictures, targets = [], []
    for _ in range(LONGEST):
        first, second = (_varied(task.train_images[rng.choice(len(task.train_images), size, replace=False)], rng)
                         for _ in range(2))  # fmt: skip
        part = rng.beta(1, 1, size)[:, None, None, None]
        part = np.where(rng.random(size)[:, None, None, None] < how.mixed, part, 1.0)
        shown = (part * first + (1 - part) * second).astype(np.float32)
        pictures.append(shrink(shown, how.image_size).astype(np.float16))
        targets.append(_asked(teacher, shown))
    own = task.test_images
    judged = np.concatenate([own, own[:, :, :, ::-1], (0.5 * own + 0.5 * own[rng.permutation(len(own))])])
    judged = np.ascontiguousarray(judged, dtype=np.float32)
    said = np.concatenate(targets).astype(np.float32)
    spread = float(said.std())
    if not math.isfinite(spread) or spread <= 0:
        raise ConfigError("the reference says the same of every picture: nothing can be learned from it")
    scaled = [(logits / np.float32(spread) * np.float32(_SPREAD)) for logits in (said, _asked(teacher, judged))]
    return Lesson(np.concatenate(pictures), scaled[0], shrink(judged, how.image_size), scaled[1])


def _varied(images: Pictures, rng: np.random.Generator) -> Pictures:
    """Images (n, c, h, h) moved by a few pixels, zeros coming in, half of them mirrored."""
    n, side = len(images), images.shape[-1]
    padded = np.pad(images, ((0, 0), (0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT)))
    down, right = rng.integers(0, 2 * _SHIFT + 1, n), rng.integers(0, 2 * _SHIFT + 1, n)
    mirrored = rng.random(n) < 0.5
    moved = np.stack([p[:, y : y + side, x : x + side] for p, y, x in zip(padded, down, right, strict=True)])
    return np.where(mirrored[:, None, None, None], moved[:, :, :, ::-1], moved)


def _asked(teacher: Teacher, images: Pictures) -> Pictures:
    return np.concatenate([teacher.features(images[at : at + 256])[0] for at in range(0, len(images), 256)])


class Distiller:
    """Distils the reference into architectures of a space, all alike; a score is a function of the arguments and the
    architecture.

    Args:
        space: of the architectures.
        how: sizes and recipe.
        images: where the pictures come from; labels decide nothing but an even split, test images are not looked at.
        teacher: the reference.
        seed: of the split, the pictures and the weights.
    """

    row = Distilled

    def __init__(self, space: SearchSpace, how: Distilling, images: ImageSet, teacher: Teacher, seed: int) -> None:
        self.space, self.how, self.images, self.teacher, self.seed = space, how, images, teacher, seed

    @cached_property
    def identity(self) -> str:
        """A digest of everything but the architecture that a score depends on."""
        parts = [_RECIPE, self.space.name, dict(self.space.definition), asdict(self.how), self.images.digest,
                 self.teacher.digest, self.seed]  # fmt: skip
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def __getstate__(self) -> dict[str, Any]:
        """With the lesson: whoever is sent a trainer to train one network shall not prepare it anew."""
        return {"lesson": self.lesson, **self.__dict__}

    @cached_property
    def lesson(self) -> Lesson:
        """Prepared once, when it is first asked for."""
        return prepare_lesson(self.images, self.teacher, self.how, self.seed)

    def train(self, arch: Architecture) -> Distilled:
        """Train the essential part of an architecture and judge it.

        Raises:
            ConfigError: for an architecture whose output does not depend on its input.
        """
        import torch

        from profiler.workloads.builders.torch import build_module
        from search.threads import torch_threads

        if not self.space.connected(arch):
            raise ConfigError(f"{self.space.describe(arch)} has an output that does not depend on its input")
        lesson, started = self.lesson, time.process_time()
        how, classes = self.how, lesson.targets.shape[1]
        macro = self.space.reduced(how.channels, how.cells_per_stage, how.image_size, classes)
        workload = self.space.workload(self.space.essential(arch), **macro)
        # modules draw initial weights from the global generator before they are reset: leave it as it was
        with torch.random.fork_rng(devices=[]), torch_threads(1):
            module = build_module(workload)
            self._fit(module)
            loss = self._judge(module)
        seen = how.steps * (len(lesson.pictures) // LONGEST)
        return Distilled(loss if math.isfinite(loss) else math.nan, workload.macs, seen, time.process_time() - started)

    def _fit(self, module: torch.nn.Module) -> None:
        import torch

        from profiler.workloads.builders.torch import reset
        from search.training import learning_rate_at, logits_of

        how, lesson = self.how, self.lesson
        size = len(lesson.pictures) // LONGEST
        reset(module, torch.Generator().manual_seed(self.seed))  # type: ignore[arg-type]
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        module.train()
        optimiser = torch.optim.SGD(
            module.parameters(), how.learning_rate, momentum=0.9, weight_decay=how.weight_decay, nesterov=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: learning_rate_at(step, how.steps))
        targets = torch.tensor(lesson.targets)  # copied: another process has it read-only
        for start in range(0, how.steps * size, size):
            shown = torch.from_numpy(lesson.pictures[start : start + size].astype(np.float32))
            said = logits_of(module, shown.contiguous(memory_format=torch.channels_last))
            loss = torch.nn.functional.mse_loss(said, targets[start : start + size])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()

    def _judge(self, module: torch.nn.Module) -> float:
        import torch

        from search.training import logits_of

        module.eval()
        with torch.inference_mode():
            said = [
                logits_of(module, torch.tensor(self.lesson.judged[at : at + _JUDGED_AT_ONCE])).numpy()
                for at in range(0, len(self.lesson.judged), _JUDGED_AT_ONCE)
            ]
        errors = np.concatenate(said).astype(np.float64) - self.lesson.judged_targets
        return float((errors**2).mean())
