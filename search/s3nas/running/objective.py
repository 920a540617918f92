"""What a search minimises, and by which optimiser. This module imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from search.s3nas.config import S3nasConfig
from search.s3nas.costs.blockcosts import BlockCosts
from search.s3nas.latency import LatencyTerm
from search.s3nas.loss import hinge_log_loss, log_loss, smoothed_cross_entropy
from search.s3nas.optimiser import parameter_groups, rmsprop
from search.s3nas.supernet import SupernetModule

__all__ = ["Losses", "Objective", "search_optimiser"]


class Losses(NamedTuple):
    """Scalars of one batch: what is minimised, its cross entropy, and the share of images classified correctly."""

    loss: Tensor
    cross_entropy: Tensor
    accuracy: Tensor


class Objective(nn.Module):
    """The loss of a supernet on a batch, weight decay left to the optimiser.

    Args:
        supernet: what is trained.
        costs, budgets: one of each a target.
        config: the form of the loss.

    Attributes:
        phase: 1, without latency term and with choices dropped, or 2.
    """

    budgets: Tensor

    def __init__(
        self, supernet: SupernetModule, costs: Sequence[BlockCosts], budgets: Sequence[float], config: S3nasConfig
    ) -> None:
        super().__init__()
        self.supernet = supernet
        self.config = config
        self.term = LatencyTerm(supernet.space, costs)
        self.register_buffer("budgets", torch.tensor(budgets, dtype=torch.float64), persistent=False)
        self.phase = 1

    def enter(self, phase: int) -> None:
        """Begin phase 1 or 2."""
        self.phase = phase
        self.supernet.choice_dropout = phase == 1 and self.config.choice_dropout

    def forward(self, images: Tensor, labels: Tensor) -> Losses:
        """The losses of images (b, 3, r, r) with labels (b,)."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            logits, probabilities = self.supernet(images)
        entropy = smoothed_cross_entropy(logits, labels, self.config.label_smoothing)
        accuracy = (logits.detach().argmax(dim=1) == labels).float().mean()
        if self.phase == 1:
            return Losses(entropy, entropy.detach(), accuracy)
        if not self.config.latency_moves_weights:
            supernet = self.supernet
            probabilities = supernet.bank.probabilities([weight.detach() for weight in supernet.depthwise])
        return Losses(entropy + self._latency(self.term(probabilities)), entropy.detach(), accuracy)

    def _latency(self, t_hat: Tensor) -> Tensor:
        if self.config.form == "log":
            return log_loss(t_hat, self.config.weight)
        return hinge_log_loss(t_hat, self.budgets, self.config.weight)


def search_optimiser(supernet: SupernetModule, config: S3nasConfig) -> torch.optim.Optimizer:
    """RMSProp over all variables: [V] one set of them, no split into weights and choices. Its learning rate is set step
    by step, by `optimiser.set_rate`."""
    thresholds = {id(parameter) for parameter in supernet.thresholds}
    groups: list[dict[str, Any]] = parameter_groups(supernet, config.weight_decay)
    groups[0]["params"] = [p for p in groups[0]["params"] if id(p) not in thresholds]
    groups.append(
        {
            "params": list(supernet.thresholds),
            "weight_decay": config.weight_decay,
            "momentum": config.threshold_momentum,
            "rate_factor": config.threshold_rate,
        }
    )
    return rmsprop(groups, config.learning_rate)
