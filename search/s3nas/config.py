"""How a supernet is searched: the published protocol, and a reduced one for 32 x 32 images and minutes on one core.

[V] Published, for ImageNet (1251 steps an epoch): 8 epochs of phase 1 (no latency term, equal-choice dropout, gradient
norm clipped at 10), 2 of phase 2 (lambda 15, neither dropout of choices nor clipping); batch 1024; RMSProp 0.9, 0.9,
1e-3 at 0.016 for 256 images times 0.97 every 2.4 epochs; averages of decay 0.9999; label smoothing 0.1; weight decay
1e-5 on all but batch norms; dropout 0.2; batch norms of momentum 0.99.

Reduced, ours: 350 steps of 64 images. Every entry differs from the published one for something seen on 5,000 images of
CIFAR-10 with MACs as costs:
  * `zero_residuals`, `norm_momentum` 0.9: with choices dropped at random the 29 blocks of "graded32" learned nothing in
    150 steps (cross entropy 2.4); with residual blocks that begin as the identity it was 1.9 to 2.2 after 200.
  * `phase1` 200, `phase2` 150: for a fifth of the range of costs the thresholds need about 120 steps.
  * `latency_moves_weights` off, `threshold_momentum` 0, `threshold_rate` 8: the hinge is steepest just above the
    budget, and what it adds to momentum and takes from the norms of all depthwise kernels in one step goes on after
    the budget is met: T_hat fell to half of the budget (4.54 M to 2.33 M on graded32) and stayed there. With
    thresholds alone moving, without momentum, T_hat ended 2 to 12 % below it (2.60 M of 2.66 M on graded32).
  * `decay_every` keeps the shape of the schedule, a fall by 0.97 after every 24 % of it.
  * `overtime`: where T_hat is above a budget at the last step, up to 50 more steps are made until it is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from profiler.errors import ConfigError

__all__ = ["PUBLISHED", "REDUCED", "SEARCH_PRESETS", "S3nasConfig", "search_preset"]

_NO_RESULT = ("name", "checkpoint_every", "record_every")
"""What changes nothing of the network that is found."""

_KNOWN = {"unit": ("epochs", "steps"), "form": ("hinge", "log"), "precision": ("fp32", "bf16")}


@dataclass(frozen=True, slots=True)
class S3nasConfig:
    """Everything that a search depends on, besides supernet, images, costs, budgets and seed.

    Lengths (`phase1`, `phase2`, `decay_every`) are in `unit`.

    Attributes:
        name: of the preset, or of what was made of it.
        unit: "epochs" or "steps".
        phase1: length of the phase without latency term.
        phase2: length of the phase with it.
        batch_size: images of a step over all processes; cut down to the training set where that is smaller.
        learning_rate: for a batch of 256; it grows in proportion to the batch.
        decay_every, decay_factor: stairs of the learning rate.
        choice_dropout: equal-choice dropout of the indicators in phase 1.
        clip: norm that gradients are clipped at in phase 1; 0: they are not.
        form: of the latency term: "hinge", weight * log(1 + 100 relu(T_hat - budget)), or Single-Path NAS's "log",
            weight * log(T_hat), which knows no budget.
        weight: lambda.
        latency_moves_weights: whether the latency term's gradient reaches the depthwise kernels through their norms
            [V], or the thresholds alone.
        threshold_momentum: of the thresholds' steps; everything else has 0.9.
        threshold_rate: the thresholds' learning rate in units of the others'.
        zero_residuals: the last batch norm of every residual block starts at zero.
        overtime: at most so many further steps where a budget is not met at the end ("hinge" only).
        label_smoothing, weight_decay, dropout: of cross entropy, of all but batch norms, before the classifier.
        average: decay of the moving average, see `optimiser.decayed`.
        norm_momentum: share of an old statistic that a batch norm keeps a step, as TensorFlow says it.
        augmentation: its name; None: what suits the task.
        precision: "fp32", or "bf16": mixed precision by torch's autocast.
        record_every: steps between two points of the course; the last step of each phase is one too.
        checkpoint_every: steps between two checkpoints; the ends of the phases have one too.
    """

    name: str = "published"
    unit: Literal["epochs", "steps"] = "epochs"
    phase1: float = 8.0
    phase2: float = 2.0
    batch_size: int = 1024
    learning_rate: float = 0.016
    decay_every: float = 2.4
    decay_factor: float = 0.97
    choice_dropout: bool = True
    clip: float = 10.0
    form: Literal["hinge", "log"] = "hinge"
    weight: float = 15.0
    latency_moves_weights: bool = True
    threshold_momentum: float = 0.9
    threshold_rate: float = 1.0
    zero_residuals: bool = False
    overtime: int = 0
    label_smoothing: float = 0.1
    weight_decay: float = 1e-5
    dropout: float = 0.2
    average: float = 0.9999
    norm_momentum: float = 0.99
    augmentation: str | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    record_every: int = 50
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        for field, known in _KNOWN.items():
            self._check(field, getattr(self, field) in known, " or ".join(known))
        for field in ("learning_rate", "decay_every", "decay_factor", "threshold_rate"):
            self._check(field, 0 < getattr(self, field) < math.inf, "above 0")
        for field in ("phase1", "phase2", "clip", "weight", "weight_decay", "overtime"):
            self._check(field, 0 <= getattr(self, field) < math.inf, "at least 0")
        for field in ("label_smoothing", "dropout", "average", "norm_momentum", "threshold_momentum"):
            self._check(field, 0 <= getattr(self, field) < 1, "from 0 to below 1")
        for field in ("record_every", "checkpoint_every"):
            self._check(field, getattr(self, field) >= 1, "at least 1")
        self._check("batch_size", self.batch_size >= 2, "at least 2: batch norms need two images")
        self._check("phase1", self.phase1 + self.phase2 > 0, "above 0 where phase2 is 0")

    def phases(self, steps_per_epoch: int) -> tuple[int, int]:
        """How many steps the two phases have, overtime not counted; at least one in all."""
        unit = self._unit(steps_per_epoch)
        first, both = round(self.phase1 * unit), round((self.phase1 + self.phase2) * unit)
        return first, max(both, 1) - first

    def rate(self, step: int, steps_per_epoch: int, batch_size: int) -> float:
        """The learning rate of a step, from 0, for batches of so many images."""
        from search.s3nas.optimiser import staircase

        peak = self.learning_rate * batch_size / 256
        return staircase(step, peak, self.decay_every * self._unit(steps_per_epoch), self.decay_factor)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> S3nasConfig:
        """Read what `to_dict` wrote.

        Raises:
            ConfigError: for unknown names and values that cannot be.
        """
        known = {field.name for field in fields(cls)}
        for name in data:
            if name not in known:
                raise ConfigError(f"a search has no setting {name!r}; it has {', '.join(sorted(known))}")
        try:
            return cls(**data)
        except TypeError as error:
            raise ConfigError(f"the settings of a search hold a value of the wrong kind: {error}") from None

    @property
    def essence(self) -> dict[str, Any]:
        """What the network that is found depends on."""
        return {name: value for name, value in self.to_dict().items() if name not in _NO_RESULT}

    def _unit(self, steps_per_epoch: int) -> int:
        return steps_per_epoch if self.unit == "epochs" else 1

    def _check(self, field: str, fits: bool, wanted: str) -> None:
        if not fits:
            raise ConfigError(f"the search {self.name!r}: {field} must be {wanted}, not {getattr(self, field)!r}")


PUBLISHED = S3nasConfig()
"""[V] As published; that averages begin with a shorter memory (see `optimiser.decayed`) is ours."""

REDUCED = replace(
    PUBLISHED,
    name="reduced",
    unit="steps",
    phase1=200,
    phase2=150,
    batch_size=64,
    decay_every=84,
    latency_moves_weights=False,
    threshold_momentum=0.0,
    threshold_rate=8.0,
    zero_residuals=True,
    overtime=50,
    norm_momentum=0.9,
    record_every=5,
    checkpoint_every=50,
)
"""Reduced, ours: see above."""

SEARCH_PRESETS: dict[str, S3nasConfig] = {"published": PUBLISHED, "reduced": REDUCED}
"""By name."""


def search_preset(name: str, **changes: Any) -> S3nasConfig:
    """A preset, with settings of one's own; a changed one is called "NAME*".

    Raises:
        ConfigError: for an unknown preset or setting.
    """
    if name not in SEARCH_PRESETS:
        raise ConfigError(f"there is no search preset {name!r}: give one of {', '.join(SEARCH_PRESETS)}")
    preset = SEARCH_PRESETS[name]
    if not changes:
        return preset
    return S3nasConfig.from_dict({**preset.to_dict(), "name": f"{name}*", **changes})
