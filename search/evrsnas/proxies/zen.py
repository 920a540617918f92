"""Zen-score: how strongly a fresh network answers a small change of a random image.

Lin et al., "Zen-NAS: a zero-shot NAS for high-performance deep image recognition" (ICCV 2021): convolutions and linear
layers drawn from N(0, 1); x and e from N(0, 1); the score is log E ||f(x) - f(x + 0.01 e)||_1, f the feature map
before pooling, plus for every batch norm the log of the root of the mean variance of what it is given, by which
normalisation hid the network's own scale. In float64, for the difference of two nearly equal maps counts.

Not as in the paper: residual links stay (the paper's networks drop them while they are scored), and the number of
repetitions is `REPEATS`, not 32.
"""

from __future__ import annotations

import math

from search.evrsnas.proxies.base import Probe, TrainingFreeScore

__all__ = ["Zen"]

REPEATS = 4
_GAMMA = 0.01


class Zen(TrainingFreeScore):
    """The mean of `REPEATS` fresh networks and pairs of images; no score where the map depends on no image."""

    name = "zen"
    sees_images = False

    def _compute(self, probe: Probe) -> float:
        if not probe.subject.taps:
            return math.nan
        return sum(self._once(probe) for _ in range(REPEATS)) / REPEATS

    def _once(self, probe: Probe) -> float:
        import torch
        from torch import nn

        module, shape, draw = probe.module.double(), probe.images.shape, probe.generator
        scales: list[float] = []

        def note(part: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            x = inputs[0].transpose(0, 1).flatten(1)
            scales.append(0.5 * _log(float(x.var(dim=1, unbiased=False).mean())))

        norms = [p for p in module.parts.values() if isinstance(p, nn.BatchNorm1d | nn.BatchNorm2d)]
        with torch.no_grad():
            for part in module.parts.values():
                if isinstance(part, nn.Conv2d | nn.Linear):
                    part.weight.normal_(generator=draw)
                    if part.bias is not None:
                        part.bias.zero_()
            x = torch.randn(shape, generator=draw, dtype=torch.float64)
            changed = x + _GAMMA * torch.randn(shape, generator=draw, dtype=torch.float64)
            hooks = [norm.register_forward_pre_hook(note) for norm in norms]
            first = module(x)[1][-1]
            for hook in hooks:
                hook.remove()
            distance = (first - module(changed)[1][-1]).abs().flatten(1).sum(dim=1).mean()
        return _log(float(distance)) + sum(scales)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
