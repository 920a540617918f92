"""Training a classifier briefly and measuring its accuracy: for the reference, a search's winner and its control."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.data import ImageSet, shrink
from search.threads import torch_threads

if TYPE_CHECKING:
    import torch

    from profiler.workloads.builders.torch import WorkloadModule

__all__ = ["accuracy", "learning_rate_at", "logits_of", "train_classifier"]

_WARMUP = 0.2
"""Share of the steps over which the learning rate rises to its peak before it falls along a cosine."""


def train_classifier(
    module: WorkloadModule,
    images: ImageSet,
    steps: int,
    seed: int,
    *,
    batch_size: int = 64,
    learning_rate: float = 0.1,
    weight_decay: float = 5e-4,
    image_size: int = 32,
    threads: int | None = 1,
    losses: list[float] | None = None,
) -> float:
    """Train a network from fresh weights and return its accuracy on the test images.

    SGD with Nesterov momentum 0.9, a linear warm-up and a cosine to zero, no augmentation. The weights, the order of
    the images and so the result are functions of `seed` (on one machine, for one number of threads).

    Args:
        module: the network; it ends trained, in eval mode.
        images: the task.
        steps: number of batches.
        seed: draws the weights and the order of the images.
        batch_size, learning_rate, weight_decay: as usual; a batch is no larger than the training set, and the
            learning rate is the peak.
        image_size: the network's input size; images are averaged down to it.
        threads: how many torch may use; None leaves it to torch. See `search.threads`.
        losses: takes the cross-entropy of every step's batch before the step, in nats.

    Returns:
        the share of test images classified correctly, in [0, 1]; NaN where the training diverged, since a network
        whose answers are no numbers names one class for all images and is right by chance.
    """
    batch_size = min(batch_size, len(images.train_labels))
    if steps < 1 or batch_size < 2:
        raise ConfigError(f"training needs at least one step and two images a batch, not {steps} and {batch_size}")
    with torch_threads(threads):
        _fit(module, images, steps, seed, batch_size, learning_rate, weight_decay, image_size, losses)
        if not _is_finite(module):
            return math.nan
        return accuracy(module, shrink(images.test_images, image_size), images.test_labels)


def _is_finite(module: torch.nn.Module) -> bool:
    """Whether all weights and running statistics are finite numbers; the module is put into eval mode."""
    import torch

    return all(bool(torch.isfinite(tensor).all()) for tensor in module.eval().state_dict().values())


def _fit(
    module: WorkloadModule,
    images: ImageSet,
    steps: int,
    seed: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    image_size: int,
    losses: list[float] | None,
) -> None:
    import torch

    from profiler.workloads.builders.torch import reset

    # random numbers are laid out as memory is: the weights of a seed must not depend on what was done before
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    reset(module, torch.Generator().manual_seed(seed))
    optimiser = torch.optim.SGD(
        module.parameters(), learning_rate, momentum=0.9, weight_decay=weight_decay, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: learning_rate_at(step, steps))
    x = torch.from_numpy(shrink(images.train_images, image_size)).contiguous(memory_format=torch.channels_last)
    y = torch.from_numpy(images.train_labels)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.train()
    for index in _batches(len(y), batch_size, steps, np.random.default_rng(seed)):
        chosen = torch.from_numpy(index)
        loss = torch.nn.functional.cross_entropy(logits_of(module, x[chosen]), y[chosen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if losses is not None:
            losses.append(float(loss.detach()))


def accuracy(module: torch.nn.Module, images: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The share of images (n, 3, h, h) that a network in eval mode classifies as labelled."""
    import torch

    module.eval()
    hits = 0
    with torch.inference_mode():
        for start in range(0, len(labels), 256):
            scores = logits_of(module, torch.from_numpy(images[start : start + 256]))
            hits += int((scores.argmax(dim=1).numpy() == labels[start : start + 256]).sum())
    return hits / len(labels)


def logits_of(module: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The logits (n, classes) of a network with or without taps.

    A network whose output does not depend on its input gives one row for all; it is repeated.
    """
    result: Any = module(images)
    logits: torch.Tensor = result[0] if isinstance(result, tuple) else result
    return logits.expand(len(images), -1)


def learning_rate_at(step: int, steps: int) -> float:
    """The share of the peak learning rate at a step, from 0: a linear warm-up, then a cosine to zero."""
    warm = max(1.0, _WARMUP * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, steps - warm)))


def _batches(n: int, size: int, steps: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Index batches: the images in a new random order each epoch, an incomplete last batch left out."""
    batches: list[NDArray[np.int64]] = []
    while len(batches) < steps:
        order = rng.permutation(n)
        batches += [order[i : i + size] for i in range(0, n - size + 1, size)]
    return batches[:steps]
