"""What a worker may use: applied by the worker to itself before it imports a runtime, so that all its threads obey."""

from __future__ import annotations

import mmap
from typing import Any, Dict, List, Optional

from .. import leaf

_PROBE_BYTES = 64 << 20


class CannotConfine(Exception):
    """The board does not have what the worker is to be confined to."""


def confine(limits: Dict[str, Any]) -> None:
    """Bind this process to `cpus` and its memory to `memory_mb`; either may be None or missing.

    Raises:
        CannotConfine: a CPU is not there, or the limit is not taken.
    """
    cpus: Optional[List[int]] = limits.get("cpus")
    memory_mb: Optional[int] = limits.get("memory_mb")
    if cpus is not None:
        bind(cpus)
    if memory_mb is not None:
        limit_memory(memory_mb)


def bind(cpus: List[int]) -> None:
    """Run on these CPUs only; one that is missing or forbidden would silently make the job slower."""
    wanted, board = set(cpus), leaf.current()
    try:
        board.bind(sorted(wanted))
        bound = set(board.affinity())
    except (AttributeError, OSError, ValueError, OverflowError) as error:
        raise CannotConfine("the CPUs %s cannot be used: %s" % (sorted(wanted), error)) from None
    if bound != wanted:
        raise CannotConfine("of the CPUs %s only %s can be used" % (sorted(wanted), sorted(bound)))


def limit_memory(memory_mb: int) -> None:
    """Have allocations beyond `memory_mb` fail, instead of the board swap or its kernel look for somebody to kill.

    RLIMIT_DATA counts what a process can write to and nobody shares. Where it does not hold (kernels before 4.7 count
    the heap alone), RLIMIT_AS is the stricter stand-in, which counts mapped files and reserved addresses as well.
    """
    import resource

    size = memory_mb << 20
    kinds = [resource.RLIMIT_DATA, resource.RLIMIT_AS]
    try:
        for kind in kinds:
            hard = resource.getrlimit(kind)[1]
            most = size if hard == resource.RLIM_INFINITY else min(size, hard)
            resource.setrlimit(kind, (most, most))
            if not _can_map(size + _PROBE_BYTES):
                return
    except (OSError, ValueError) as error:
        raise CannotConfine("the memory cannot be limited to %d MB: %s" % (memory_mb, error)) from None
    raise CannotConfine("the memory cannot be limited to %d MB: the kernel does not obey" % memory_mb)


def _can_map(size: int) -> bool:
    """Whether that much can be had; nothing of it is touched."""
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True
