"""How a final network is trained from scratch: the published schedule, and a reduced one for small tasks.

[V] Published: 350 epochs of batches of 1024, warm-up over 5 epochs, drop-connect 0.2 growing with depth; RMSProp, 0.016
for 256 images times 0.97 every 2.4 epochs, averages of decay 0.9999, batch norms of momentum 0.99, dropout 0.2, label
smoothing 0.1, weight decay 1e-5. [I] The warm-up rises from near zero in a line to where the decay, counted from the
first step, has got by then.

Reduced, ours: 300 steps of 64 images; SGD with Nesterov momentum and a cosine, which learns a little more in so few
steps than RMSProp under the same cosine; no drop-connect and no dropout, since nothing is learned by heart yet;
residual blocks that begin as identity, which matters most in networks of thirty blocks; faster averages and batch
norms, whose statistics are taken anew at the end. Accuracies so reached compare networks; they say nothing of ImageNet.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from profiler.errors import ConfigError

__all__ = ["FINAL_SCHEDULES", "PUBLISHED", "REDUCED", "FinalSchedule", "final_schedule"]


@dataclass(frozen=True, slots=True)
class FinalSchedule:
    """Everything that the training of a final network depends on, besides network, task and seed.

    Lengths (`length`, `warmup`, `decay_every`) are in `unit`.

    Attributes:
        name: of the preset, or of what was made of it.
        length: of the whole training.
        unit: "epochs" or "steps".
        batch_size: images of a step; cut down to the training set where that is smaller.
        learning_rate: the peak, for a batch of 256; it grows in proportion to the batch.
        warmup: over which the learning rate rises.
        optimiser: "rmsprop" or "sgd" (with Nesterov momentum).
        momentum: of the optimiser.
        decay: "exponential" in stairs, or "cosine" to zero.
        decay_every, decay_factor: the stairs.
        weight_decay: on everything but batch norms, as half the square.
        label_smoothing: see `smoothed_cross_entropy`.
        dropout: before the classifier.
        drop_connect: the rate that the last block would have if there were one more; block i of n has i / n of it.
        average: decay of the moving average of weights, which is what is kept; see `optimiser.decayed`.
        norm_momentum: share of an old statistic that a batch norm keeps a step, as TensorFlow says it.
        zero_residuals: the last batch norm of every residual block starts at zero, so that a deep network begins as
            a shallow one; ours, for short trainings.
        recalibration: how many training images the batch norms' statistics are taken from anew, once at the end,
            with the averaged weights; 0: the moving statistics are kept.
        precision: "fp32", or "bf16": mixed precision by torch's autocast.
        augmentation: its name; None: what suits the task.
        report_every: steps between two points of the course.
        checkpoint_every: steps between two checkpoints, where there is a folder for them.
    """

    name: str
    length: float
    unit: Literal["epochs", "steps"]
    batch_size: int
    learning_rate: float
    warmup: float
    optimiser: Literal["rmsprop", "sgd"] = "rmsprop"
    momentum: float = 0.9
    decay: Literal["exponential", "cosine"] = "exponential"
    decay_every: float = 2.4
    decay_factor: float = 0.97
    weight_decay: float = 1e-5
    label_smoothing: float = 0.1
    dropout: float = 0.2
    drop_connect: float = 0.2
    average: float = 0.9999
    norm_momentum: float = 0.99
    zero_residuals: bool = False
    recalibration: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    augmentation: str | None = None
    report_every: int = 20
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        self._among("unit", ("epochs", "steps"))
        self._among("optimiser", ("rmsprop", "sgd"))
        self._among("decay", ("exponential", "cosine"))
        self._among("precision", ("fp32", "bf16"))
        for field in ("length", "learning_rate", "decay_every", "decay_factor"):
            self._check(field, getattr(self, field) > 0, "above 0")
        for field in ("dropout", "drop_connect", "label_smoothing", "momentum", "average", "norm_momentum"):
            self._check(field, 0 <= getattr(self, field) < 1, "from 0 to below 1")
        self._check("warmup", 0 <= self.warmup < self.length, "from 0 to below the length")
        self._check("batch_size", self.batch_size >= 2, "at least 2: batch norms need two images")
        for field in ("weight_decay", "recalibration"):
            self._check(field, getattr(self, field) >= 0, "at least 0")
        for field in ("report_every", "checkpoint_every"):
            self._check(field, getattr(self, field) >= 1, "at least 1")

    def steps(self, steps_per_epoch: int) -> int:
        """How many steps the training has."""
        return max(1, round(self.length * self._unit(steps_per_epoch)))

    def rate(self, step: int, steps_per_epoch: int, batch_size: int) -> float:
        """The learning rate of a step, from 0."""
        from search.s3nas.optimiser import staircase

        peak = self.learning_rate * batch_size / 256
        total, warm = self.steps(steps_per_epoch), self.warmup * self._unit(steps_per_epoch)
        if self.decay == "exponential":
            decayed = staircase(step, peak, self.decay_every * self._unit(steps_per_epoch), self.decay_factor)
        else:
            decayed = peak * 0.5 * (1 + math.cos(math.pi * max(0.0, step - warm) / max(1.0, total - warm)))
        return decayed if step >= warm else peak * (step + 1) / (warm + 1)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return asdict(self)

    def _unit(self, steps_per_epoch: int) -> int:
        return steps_per_epoch if self.unit == "epochs" else 1

    def _among(self, field: str, known: tuple[str, ...]) -> None:
        self._check(field, getattr(self, field) in known, " or ".join(known))

    def _check(self, field: str, fits: bool, wanted: str) -> None:
        if not fits:
            raise ConfigError(
                f"the final schedule {self.name!r}: {field} must be {wanted}, not {getattr(self, field)!r}"
            )


PUBLISHED = FinalSchedule("published", 350, "epochs", 1024, 0.016, 5)

REDUCED = FinalSchedule(
    "reduced", 300, "steps", 64, 0.4, 60,
    optimiser="sgd", decay="cosine", weight_decay=5e-4, label_smoothing=0.1, dropout=0.0, drop_connect=0.0,
    average=0.98, norm_momentum=0.9, zero_residuals=True, recalibration=1024,
)  # fmt: skip

FINAL_SCHEDULES = {schedule.name: schedule for schedule in (PUBLISHED, REDUCED)}
"""The presets by name."""


def final_schedule(name: str) -> FinalSchedule:
    """The preset of this name.

    Raises:
        ConfigError: for other names.
    """
    try:
        return FINAL_SCHEDULES[name]
    except KeyError:
        raise ConfigError(f"there is no final schedule {name!r}: give one of {', '.join(FINAL_SCHEDULES)}") from None
