"""Accuracy over a split, and batch-norm statistics taken anew before it. This module imports torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from search.batches import in_order
from search.tasks import Split

__all__ = ["accuracy_of", "recalibrate"]

_EVALUATED = 250
_RECALIBRATED = 128
"""Images at once."""

_STREAM = 3
"""From which the images of the recalibration are drawn."""


def accuracy_of(module: nn.Module, split: Split, device: torch.device | None = None) -> float:
    """The share of a split's images that a module classifies as labelled; it ends in eval mode."""
    module.eval()
    hits = 0
    with torch.inference_mode():
        for indices in in_order(len(split), _EVALUATED):
            images = torch.from_numpy(split.batch(indices)).to(device)
            hits += int((module(images).argmax(dim=1).cpu().numpy() == split.labels[indices]).sum())
    return hits / len(split)


def recalibrate(module: nn.Module, split: Split, count: int, seed: int = 0, device: torch.device | None = None) -> None:
    """Take the batch norms' statistics anew, as means over training images as they are; ends in eval mode.

    Moving statistics lag behind weights that still move, and averaged weights never had any of their own. The images
    are drawn at random: files may hold them class by class, and a batch of one class has other statistics than a
    mixed one. Nothing but the batch norms is in training mode, so nothing is dropped.

    Args:
        module: its norms' momenta stay.
        split: training images.
        count: how many, in whole batches of 128; all where the split is smaller.
        seed: draws them.
        device: of the module.
    """
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's way to ask for the mean over all batches
        norm.train()
    size = min(_RECALIBRATED, len(split))
    batches = max(1, min(count, len(split)) // size)
    order = np.random.default_rng((seed, _STREAM)).permutation(len(split))[: batches * size]
    with torch.no_grad():
        for indices in order.reshape(batches, size):
            module(torch.from_numpy(split.batch(indices)).to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()
