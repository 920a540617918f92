"""How weights begin where a training is short. This module imports torch."""

from __future__ import annotations

from torch import nn

from profiler.workloads.builders.torch import WorkloadModule
from search.spaces.network import Places

__all__ = ["begin_as_identity"]


def begin_as_identity(module: WorkloadModule, places: Places) -> None:
    """Let the last batch norm of every residual block start at zero: the block adds nothing at first.

    A deep network then begins as a shallow one. Ours, for reduced schedules.
    """
    for addition in places.additions:
        if addition is not None:
            body, _ = module.workload.ops[addition].inputs[0]
            nn.init.zeros_(module.parts[str(body)].get_parameter("weight"))
