"""The terms of a search's loss. This module imports torch."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["hinge_log_loss", "log_loss", "smoothed_cross_entropy"]

_SHARPNESS = 100.0


def hinge_log_loss(t_hat: Tensor, budgets: Tensor, weight: float = 15.0) -> Tensor:
    """[V] weight * log(1 + 100 * relu(T_hat - budget)), zero as soon as the budget is met.

    Ours: with several targets the sum of their terms, so that it is zero where every budget is met.

    Args:
        t_hat, budgets: (n_targets,), in the tables' units.
        weight: lambda.

    Returns:
        a scalar.
    """
    return weight * (_SHARPNESS * functional.relu(t_hat - budgets)).log1p().sum()


def log_loss(t_hat: Tensor, weight: float) -> Tensor:
    """[V] Single-Path NAS's weight * log(T_hat), which knows no budget; summed over targets, which is ours.

    Args:
        t_hat: (n_targets,), positive.
        weight: lambda; it is swept until the network found meets the budget.
    """
    return weight * t_hat.log().sum()


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.1) -> Tensor:
    """[V] Cross entropy with label smoothing: the label has 1 - smoothing + smoothing / n, every other class
    smoothing / n. Computed in float32, also of half-precision logits.

    Args:
        logits: (b, n).
        labels: (b,) class indices.
    """
    return functional.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
