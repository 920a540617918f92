"""The course of one candidate's brief training: its three RMIs and its cross-entropy on the way.

The network's features after s updates are computed anyway to take update s + 1, so that what is recorded at
earlier steps costs nothing beyond the training to the last.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from profiler.errors import ConfigError, TrainingDiverged
from search.evrsnas.presets import ScorePreset
from search.evrsnas.rmi import torch_alignment

if TYPE_CHECKING:
    import torch

__all__ = ["RECORDED_STEPS", "Course", "Point", "optimiser_of", "steps_to_record", "train_course"]

RECORDED_STEPS = (0, 5, 20, 50, 150)
"""Steps at which scores are recorded on the way to the last."""


def steps_to_record(steps: int) -> tuple[int, ...]:
    """The steps recorded in a training of so many: those of `RECORDED_STEPS` before its end, and its end."""
    return (*(s for s in RECORDED_STEPS if s < steps), steps)


@dataclass(frozen=True, slots=True)
class Point:
    """A candidate after some steps.

    Attributes:
        step: updates taken.
        rmis: the RMI with the reference after each stage.
        cross_entropy: on the batch, in nats.
        seconds: since this candidate's training began; of several trained together, each one's share.
    """

    step: int
    rmis: tuple[float, ...]
    cross_entropy: float
    seconds: float = 0.0

    @property
    def phi(self) -> float:
        """The sum of the RMIs."""
        return math.fsum(self.rmis)

    def mixed_loss(self, rmi_weight: float) -> float:
        """w * (stages - phi) + (1 - w) * cross-entropy."""
        return rmi_weight * (len(self.rmis) - self.phi) + (1 - rmi_weight) * self.cross_entropy


@dataclass(frozen=True, slots=True)
class Course:
    """The points of one training, in order.

    Attributes:
        points: what was recorded; every figure finite.
        diverged_at: the step at which a figure was first no finite number, None where none was.
    """

    points: tuple[Point, ...]
    diverged_at: int | None = None

    def at(self, step: int) -> Point:
        """The point recorded at a step.

        Raises:
            TrainingDiverged: where the training did not get there.
            ConfigError: for a step that was not recorded.
        """
        for point in self.points:
            if point.step == step:
                return point
        if self.diverged_at is not None and self.diverged_at <= step:
            raise TrainingDiverged(
                f"the candidate has no score at step {step}: its training diverged at step {self.diverged_at}",
                self.diverged_at,
            )
        known = ", ".join(str(p.step) for p in self.points)
        raise ConfigError(f"the course was not recorded at step {step}, but at {known}")


def optimiser_of(parameters: Any, how: ScorePreset) -> torch.optim.SGD:
    """The optimiser of a brief training."""
    import torch

    return torch.optim.SGD(parameters, how.learning_rate, momentum=how.momentum, weight_decay=how.weight_decay)


def train_course(
    module: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    targets: Sequence[torch.Tensor],
    how: ScorePreset,
    at: Sequence[int],
) -> Course:
    """Train a network on the batch to the last of the steps `at`, and record it at each.

    Args:
        module: gives (logits, features of each stage); in training mode.
        x, y: the batch: images (n, 3, h, h) and class indices (n,).
        targets: the reference's normalised kernels, (n, n) float64 for each stage.
        how: learning rate, momentum, weight decay and the weight of the RMIs in the loss.
        at: ascending steps.
    """
    import torch

    started = time.perf_counter()
    optimiser = optimiser_of(module.parameters(), how)
    points: list[Point] = []
    for step in range(at[-1] + 1):
        last = step == at[-1]
        with torch.set_grad_enabled(not last):
            rmis, entropy = _measure(module, x, y, targets)
            loss = how.rmi_weight * (len(targets) - rmis.sum()) + (1 - how.rmi_weight) * entropy
        if not math.isfinite(float(loss.detach())):
            return Course(tuple(points), step)
        if step in at:
            points.append(_point(step, rmis, entropy, time.perf_counter() - started))
        if not last:
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return Course(tuple(points))


def _point(step: int, rmis: torch.Tensor, entropy: torch.Tensor, seconds: float) -> Point:
    values = tuple(min(1.0, max(0.0, float(v))) for v in rmis.detach())  # beyond [0, 1] only by rounding
    return Point(step, values, float(entropy.detach()), seconds)


def _measure(
    module: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, targets: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The RMI of each stage (float64) and the cross-entropy of a network on the batch."""
    import torch

    result: Any = module(x)
    logits, features = result
    rmis = torch.stack(
        [
            # what does not depend on the input may come as one row for all images
            (torch_alignment(feature.expand(len(x), *feature.shape[1:])) * target).sum()
            for target, feature in zip(targets, features, strict=True)
        ]
    )
    return rmis, torch.nn.functional.cross_entropy(logits.expand(len(x), -1), y)
