"""Representation mutual information (RMI): how alike two layers represent the same images.

For feature maps X (n x p) and Y (n x q) of one batch of n images, K = X X^T, M = Y Y^T and H = I - 11^T / n:

    RMI = <HKH, HMH>_F / (||HKH||_F ||HMH||_F)   in [0, 1]

the normalised HSIC with linear kernels, that is linear CKA. Source: Zheng et al., "Neural Architecture Search with
Representation Mutual Information" (CVPR 2022), the metric of HW-EvRSNAS. Everything is computed in float64, and
by centring the features instead of the kernel, (HX)(HX)^T = HKH, which loses no digits to cancellation.

Ours: the RMI with features that do not depend on the image (relative spread below 1e-6) is 0, where the formula
is 0 / 0; and a batch of images may be chosen class by class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError

if TYPE_CHECKING:
    import torch

__all__ = ["CONSTANT_BELOW", "alignment", "choose_batch", "rmi", "torch_alignment"]

CONSTANT_BELOW = 1e-12
"""Share of the features' energy that must remain after centring: (1e-6)^2, the resolution of float32 features."""


def rmi(X: NDArray[Any], Y: NDArray[Any]) -> float:
    """RMI of two sets of features of the same n images.

    Args:
        X, Y: arrays of shapes (n, ...) that are flattened to (n, p) and (n, q); p and q may differ.

    Returns:
        a value in [0, 1]; 0 where either set is constant over the images; NaN where a feature is not finite.

    Raises:
        ConfigError: where the numbers of images differ or are below 2.
    """
    if len(X) != len(Y) or len(X) < 2:
        raise ConfigError(f"RMI compares features of the same two or more images, not of {len(X)} and {len(Y)}")
    value = float((alignment(X) * alignment(Y)).sum())
    return float(np.clip(value, 0.0, 1.0))  # NaN stays NaN


def alignment(X: NDArray[Any]) -> NDArray[np.float64]:
    """HKH / ||HKH||_F of features (n, ...): shape (n, n), all zero where they are constant over the images."""
    flat = np.asarray(X, dtype=np.float64).reshape(len(X), -1)
    centred = flat - flat.mean(axis=0)
    if (centred**2).sum() <= CONSTANT_BELOW * (flat**2).sum():
        return np.zeros((len(flat), len(flat)))
    kernel = centred @ centred.T
    result: NDArray[np.float64] = kernel / np.linalg.norm(kernel)
    return result


def torch_alignment(x: torch.Tensor) -> torch.Tensor:
    """`alignment` for tensors, differentiable, in float64."""
    flat = x.double().flatten(1)
    centred = flat - flat.mean(dim=0)
    if float((centred.detach() ** 2).sum()) <= CONSTANT_BELOW * float((flat.detach() ** 2).sum()):
        return centred.new_zeros((len(flat), len(flat)))
    kernel = centred @ centred.T
    normed: torch.Tensor = kernel / kernel.square().sum().sqrt()
    return normed


def choose_batch(losses: NDArray[Any], labels: NDArray[Any], size: int, balanced: bool = False) -> NDArray[np.int64]:
    """Positions of the `size` images on which the reference's loss is lowest, ascending.

    Args:
        losses: (m,) cross-entropies of the reference.
        labels: (m,) class indices.
        size: how many to choose.
        balanced: choose the same number from every class (up to one), each time those of lowest loss. Ours: the
            images that a weak reference finds easiest come from a few classes only.

    Raises:
        ConfigError: where there are fewer than `size` images or a loss is not finite.
    """
    if len(losses) < size:
        raise ConfigError(f"a batch of {size} images cannot be chosen from {len(losses)}")
    if not np.isfinite(losses).all():
        raise ConfigError("the reference's loss is not finite on some images: train it anew or choose another")
    order = np.argsort(losses, kind="stable")
    if not balanced:
        return np.sort(order[:size])
    rank = np.empty(len(losses), dtype=np.int64)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        rank[members] = np.arange(len(members))
    # by place within the class first, by loss second
    return np.sort(order[np.argsort(rank[order], kind="stable")][:size])
