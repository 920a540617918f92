"""How many threads torch computes with: one, unless said otherwise.

Small networks gain nothing from a second thread, two threads lose a factor of ten when a neighbour takes one of
their cores in turns, and sums change in their last digits with the number of threads: with one thread a result
depends on the seed and not on the machine's cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from profiler.errors import ConfigError

__all__ = ["torch_threads"]


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Compute with so many threads inside the block; None leaves torch's own choice.

    Raises:
        ConfigError: for fewer than one.
    """
    import torch

    if threads is None:
        yield
        return
    if threads < 1:
        raise ConfigError(f"the number of threads must be at least 1, not {threads}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
