"""A finalists' round: the best few by proxy are trained briefly, and ranked on training images that they did not see.

Only training images are used: a share of them, the same number of every class as far as they go, is held out for the
ranking. The test images stay untouched. What the round costs is counted beside what it finds. Ours; not in the paper.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from profiler.errors import ConfigError
from search.data import ImageSet
from search.evrsnas.records import Evaluation, null_if_not_finite
from search.spaces.base import SearchSpace
from search.training import train_classifier

__all__ = ["Round", "Trained", "finalists_round", "held_out", "pick_finalists"]

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Trained:
    """One finalist.

    Attributes:
        evaluation: its score and cost in the search.
        name: how people write it.
        accuracy: share of the held-out training images classified correctly; NaN where training diverged.
        macs: multiply-accumulates of one image through the network that was trained.
        images_seen: images that it was trained on, repetitions counted.
        seconds: of its training and judging.
    """

    evaluation: Evaluation
    name: str
    accuracy: float
    macs: int
    images_seen: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Round:
    """The outcome.

    Attributes:
        finalists: best first by accuracy on the held-out images (of equals, by proxy); those that diverged last.
        epochs, train_images, held_out_images: how they were trained and judged.
    """

    finalists: tuple[Trained, ...]
    epochs: int
    train_images: int
    held_out_images: int

    @property
    def winner(self) -> Trained:
        """The best; it may be another than the proxy's."""
        return self.finalists[0]

    @property
    def seconds(self) -> float:
        """What the round took."""
        return sum(f.seconds for f in self.finalists)

    @property
    def training_macs(self) -> int:
        """Multiply-accumulates of the forward passes of all training; backward passes take about twice that again."""
        return sum(f.macs * f.images_seen for f in self.finalists)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        rows = [
            {
                "label": f.name,
                **f.evaluation.to_dict(),
                "held_out_accuracy_pct": null_if_not_finite(100 * f.accuracy),
                "macs": f.macs,
                "images_seen": f.images_seen,
                "seconds": round(f.seconds, 3),
            }
            for f in self.finalists
        ]
        return {
            "epochs": self.epochs,
            "train_images": self.train_images,
            "held_out_images": self.held_out_images,
            "seconds": round(self.seconds, 3),
            "training_forward_macs": self.training_macs,
            "finalists": rows,
        }


def pick_finalists(space: SearchSpace, archive: Iterable[Evaluation], count: int) -> list[Evaluation]:
    """The `count` fittest evaluations that meet the budget, one an isomorphism class, connected ones only.

    Raises:
        ConfigError: for a count below one, or where none meets the budget.
    """
    if count < 1:
        raise ConfigError(f"a finalists' round needs at least one finalist, not {count}")
    found: dict[str, Evaluation] = {}
    for evaluation in sorted((e for e in archive if e.feasible), key=lambda e: -e.fitness):
        if len(found) == count:
            break
        if space.connected(evaluation.architecture):
            found.setdefault(space.canonical(evaluation.architecture), evaluation)
    if not found:
        raise ConfigError("no architecture of the search meets the budget, so there are no finalists: raise the budget")
    return list(found.values())


def held_out(images: ImageSet, share: float, seed: int) -> ImageSet:
    """The same task made of its training images alone: a share of every class is held out in place of the test images.

    Raises:
        ConfigError: for a share that leaves nothing to train on or nothing to judge by.
    """
    rng = np.random.default_rng([seed, 17])
    out: list[int] = []
    for label in np.unique(images.train_labels):
        members = rng.permutation(np.flatnonzero(images.train_labels == label))
        out += members[: round(share * len(members))].tolist()
    mask = np.zeros(len(images.train_labels), dtype=bool)
    mask[out] = True
    if not 0 < share < 1 or not mask.any() or (~mask).sum() < 2:
        raise ConfigError(
            f"holding out a share of {share} of {len(mask)} training images leaves {int((~mask).sum())} to train on "
            f"and {int(mask.sum())} to judge by; give a share between 0 and 1 that leaves both"
        )
    return replace(
        images,
        train_images=images.train_images[~mask],
        train_labels=images.train_labels[~mask],
        test_images=images.train_images[mask],
        test_labels=images.train_labels[mask],
        note=f"{images.note}; judged on {int(mask.sum())} held-out training images",
    )


def finalists_round(
    space: SearchSpace,
    archive: Iterable[Evaluation],
    images: ImageSet,
    *,
    count: int,
    epochs: int,
    seed: int,
    macro: dict[str, int],
    share: float = 0.2,
    threads: int | None = 1,
    advance: Callable[[str], None] = lambda label: None,
) -> Round:
    """Train the best `count` of an archive alike and rank them on held-out training images.

    Args:
        space: of the archive.
        archive: a search's evaluations.
        images: the task; its test images are not looked at.
        count: finalists; fewer where fewer meet the budget.
        epochs: passes over the images trained on.
        seed: of the split, of weights and of the order of the images.
        macro: sizes of the trained networks (`SearchSpace.reduced`).
        share: of the training images that is held out.
        threads: how many torch may use; see `search.threads`.
        advance: is told of every finalist.

    Raises:
        ConfigError: where there is no finalist, nothing to train on, or training diverged for all of them.
    """
    if epochs < 1:
        raise ConfigError(f"finalists are trained for at least one epoch, not {epochs}")
    chosen = pick_finalists(space, archive, count)
    task = held_out(images, share, seed)
    n_train = len(task.train_labels)
    batch = min(_BATCH, n_train)
    steps = epochs * max(1, n_train // batch)
    done: list[Trained] = []
    for evaluation in chosen:
        name = space.describe(evaluation.architecture)
        started = time.perf_counter()
        reached, macs = _train(space, evaluation, task, steps, batch, seed, macro, threads)
        done.append(Trained(evaluation, name, reached, macs, steps * batch, time.perf_counter() - started))
        advance(f"{name}: " + ("diverged" if math.isnan(reached) else f"{100 * reached:.1f} %"))
    if all(math.isnan(t.accuracy) for t in done):
        raise ConfigError("the training of every finalist diverged: check the images")
    # sorting is stable: equals stay in the order of the proxy
    ranked = sorted(done, key=lambda t: math.inf if math.isnan(t.accuracy) else -t.accuracy)
    return Round(tuple(ranked), epochs, n_train, len(task.test_labels))


def _train(
    space: SearchSpace,
    evaluation: Evaluation,
    task: ImageSet,
    steps: int,
    batch: int,
    seed: int,
    macro: dict[str, int],
    threads: int | None,
) -> tuple[float, int]:
    """Accuracy on the held-out images, NaN where training diverged; and the network's MACs."""
    from profiler.workloads.builders.torch import build_module

    workload = space.workload(evaluation.architecture, **{**macro, "num_classes": task.num_classes})
    size = workload.shapes[workload.inputs[0]][0][-1]
    module = build_module(workload)
    reached = train_classifier(module, task, steps, seed, batch_size=batch, image_size=size, threads=threads)
    return reached, workload.macs
