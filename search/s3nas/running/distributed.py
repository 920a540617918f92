"""One search in several processes, each with a GPU (or, for tests, a CPU) of its own. This module imports torch.

    python -m torch.distributed.run --nproc-per-node 4 -m edgecost search s3nas ...

torchrun says by the environment who is who. Every process sees its part of every batch and gradients are averaged, so
that all have the same variables after every step. Batch norms take the statistics of their own process's images, and
the moving ones that are kept are those of the first process. Choices are dropped in each process at random of its own:
a step averages the gradients of several sub-networks. Only the first process writes files.
"""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from profiler.errors import ConfigError

__all__ = ["Ranks", "process_group", "torch_device"]


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes of one search, and which of them this is.

    Attributes:
        device: that this process computes on.
        rank: from 0.
        world: how many there are.
    """

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether it is this process that writes and reports."""
        return self.rank == 0

    def wrapped(self, module: nn.Module) -> nn.Module:
        """The module, its gradients averaged over the processes, its parameters those of the first process."""
        if self.world == 1:
            return module
        # batch norms' statistics stay with their process
        return nn.parallel.DistributedDataParallel(module, broadcast_buffers=False)

    def mean(self, values: Tensor) -> Tensor:
        """Means over the processes, the same in all of them."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
            values /= self.world
        return values

    def of_first(self, values: list[float]) -> list[float]:
        """The values of the first process, in all of them."""
        if self.world == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(shared, 0)
        return [float(v) for v in shared.tolist()]


@contextmanager
def process_group(device: str) -> Iterator[Ranks]:
    """The processes that torchrun started, or this one alone; a group that stands already is used and left standing.

    Args:
        device: "cpu", "cuda" (of several processes each takes its own), "cuda:1", ...

    Raises:
        ConfigError: where torch cannot compute on the device.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    place = torch_device(device)
    if world == 1:
        yield Ranks(place)
        return
    if place.type == "cuda":
        torch.cuda.set_device(place)
    standing = torch.distributed.is_initialized()
    if not standing:
        torch.distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Ranks(place, torch.distributed.get_rank(), torch.distributed.get_world_size())
    finally:
        if not standing:
            torch.distributed.destroy_process_group()
            # gloo's threads may still let go of their last tensors, which aborts a process whose interpreter is gone
            # by then; they end with the last module that is wrapped, and those are in cycles
            atexit.register(gc.collect)


def torch_device(name: str) -> torch.device:
    """The device of a name.

    Raises:
        ConfigError: where torch cannot compute on it.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        reason = str(error).splitlines()[0]
        raise ConfigError(f"torch cannot compute on {name!r} here ({reason}): give cpu, or cuda with a GPU") from None
    return device
