"""SynFlow: how much of a signal passes through all weights at once.

Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow" (NeurIPS 2020); as a
score of whole networks Abdelfattah et al., "Zero-cost proxies for lightweight NAS" (ICLR 2021): all weights replaced
by their absolute values, batch norms left out, an image of ones, R the sum of the logits, the score
sum over weights of |w * dR/dw|. It grows exponentially with depth, so everything is in float64, and ours is the
logarithm, which ranks alike. Batch norms are in eval mode with forgotten statistics, which is the identity but for
their eps; biases count towards R, not towards the sum.
"""

from __future__ import annotations

import math

from search.evrsnas.proxies.base import Probe, TrainingFreeScore
from search.training import logits_of

__all__ = ["Synflow"]


class Synflow(TrainingFreeScore):
    """log of the sum of |w * dR/dw|; no score where nothing reaches the output."""

    name = "synflow"
    sees_images = False

    def _compute(self, probe: Probe) -> float:
        import torch
        from torch import nn

        module = probe.module.double().eval()
        weights = [p.weight for p in module.parts.values() if isinstance(p, nn.Conv2d | nn.Linear)]
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.abs_()
        ones = torch.ones(1, *probe.images.shape[1:], dtype=torch.float64)
        total = logits_of(module, ones).sum()
        if not total.requires_grad:
            return math.nan
        gradients = torch.autograd.grad(total, weights, allow_unused=True)
        # the classifier's weights see a signal only where one arrives
        flow = sum(
            float((w.detach() * g).abs().sum()) for w, g in zip(weights, gradients, strict=True) if g is not None
        )
        return math.log(flow) if flow > 0 else -math.inf
