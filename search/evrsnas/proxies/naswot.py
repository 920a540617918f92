"""NASWOT: how differently the units of a fresh network switch for different images.

Mellor et al., "Neural architecture search without training" (ICML 2021): every image has a binary code, which units of
all ReLUs are active; K[i, j] is the number of units in which the codes of two images agree; the score is
log |det K|. The code is taken in training mode on the batch, as the authors' does. A ReLU that several operators read
counts once a reader: a Workload writes it once where the benchmark's networks hold one each. Of other activations the
sign of what they are given is taken (ours). K holds whole numbers; its determinant is in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from search.evrsnas.proxies.base import Probe, TrainingFreeScore

__all__ = ["Naswot"]

_ACTIVATIONS = ("relu", "relu6", "hswish")


class Naswot(TrainingFreeScore):
    """log |det K|; no score where two images have the same code, as where the output depends on no image."""

    name = "naswot"

    def _compute(self, probe: Probe) -> float:
        import torch

        n, workload = len(probe.images), probe.subject.workload
        kernel = torch.zeros((n, n), dtype=torch.float64)
        live = set(workload.live_ops)
        readers = [i for index in live for i, _ in workload.ops[index].inputs]

        def count(times: int) -> Any:
            def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
                active = (inputs[0].expand(n, *inputs[0].shape[1:]) > 0).flatten(1).float()
                # sums of up to 2^24 zeros and ones are exact in float32
                kernel.add_(times * (active @ active.T + (1 - active) @ (1 - active).T).double())

            return hook

        for index in live:
            if workload.ops[index].kind in _ACTIVATIONS:
                probe.module.parts[str(index)].register_forward_pre_hook(count(max(1, readers.count(index))))
        with torch.no_grad():
            probe.module(probe.images)
        sign, logarithm = np.linalg.slogdet(kernel.numpy())
        return float(logarithm) if sign != 0 else float("-inf")
