"""Size as a score: multiply-accumulates and parameters, the controls that any other score has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search.evrsnas.proxies.base import Probe, Subject, TrainingFreeScore

__all__ = ["Macs", "Params"]


class _Count(TrainingFreeScore):
    sees_images = False
    sees_weights = False

    def _compute_alone(self, subject: Subject, images: NDArray[np.float32], seed: int) -> float:
        return self._count(subject)  # no network need be built

    def _compute(self, probe: Probe) -> float:
        return self._count(probe.subject)

    def _count(self, subject: Subject) -> float:
        raise NotImplementedError


class Macs(_Count):
    """Multiply-accumulates of one image."""

    name = "macs"

    def _count(self, subject: Subject) -> float:
        return float(subject.workload.macs)


class Params(_Count):
    """Trained parameters."""

    name = "params"

    def _count(self, subject: Subject) -> float:
        return float(subject.workload.params)
