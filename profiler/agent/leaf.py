"""The leaf: all that a measurement asks of the board itself, in one place.

Clock, sleep, the kernel's files, programs, cores, caches, and what is done beside a measurement. A simulated board
replaces it, and nothing else, by naming a plug-in in its environment; everywhere else it is the machine.
"""

from __future__ import annotations

import glob
import importlib
import os
import subprocess
import threading
import time
from types import MappingProxyType
from typing import Callable, FrozenSet, List, Mapping, Optional, Sequence

from . import plugins

VARIABLE = "EDGECOST_LEAF"
"""Names the plug-in whose `make_leaf()` stands in for the machine; set by a simulated board for its own processes."""

MOST_BYTES = 65536
"""So much of a file is read: those of the kernel are smaller."""

PIECE_BYTES = 256 << 10
"""So much is copied at once to fill the caches: longer copies are written past them by some C libraries."""


class Beside:
    """Something that is done again and again beside a measurement, until it is stopped.

    Args:
        period_s: from one beginning to the next.
        call: what is done; an error ends it, and `error` has it.
        cpus: where, rather than wherever the measurement runs; none: wherever there is room.
    """

    def __init__(self, period_s: float, call: Callable[[], None], cpus: Sequence[int] = ()) -> None:
        self.error: Optional[BaseException] = None
        self._call = call
        self._cpus = cpus
        self._period_s = period_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when it is not being done any more."""
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        _be_modest(self._cpus)
        due = time.monotonic()
        while not self._end.wait(max(0.0, due - time.monotonic())):
            try:
                self._call()
            except Exception as error:
                self.error = error
                return
            # what was missed is not made up for: readings in a burst tell no more than one
            due = max(due + self._period_s, time.monotonic())


def _be_modest(cpus: Sequence[int]) -> None:
    """Have the measurement go first: on Linux, priorities and CPUs are each thread's own."""
    try:
        thread = threading.get_native_id()
        before = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(before + 10, 19))
    except (AttributeError, OSError):  # Python 3.7 has no native ids
        pass
    try:
        if cpus:
            os.sched_setaffinity(0, cpus)
    except (AttributeError, OSError):
        pass


class Leaf:
    """The machine that this process runs on.

    Attributes:
        simulated: whether it is none, and every figure has to say so.
        runtimes: versions of runtimes that are part of it and no installed packages, by name.
    """

    simulated = False
    runtimes: Mapping[str, str] = MappingProxyType({})

    clock_ns: Callable[[], int] = staticmethod(time.perf_counter_ns)
    """What durations are taken by: monotonic, the finest there is. Every reading has to move it, however little.

    It is the function itself, so that nothing of ours lies between a sample and the clock."""

    _spare: FrozenSet[int] = frozenset()

    def monotonic(self) -> float:
        """Seconds, monotonic."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def read(self, path: str) -> Optional[str]:
        """The beginning of a small file, stripped; None where it cannot be read."""
        try:
            with open(path, "rb") as file:
                return file.read(MOST_BYTES).decode("utf-8", "replace").strip().strip("\0")
        except OSError:
            return None

    def number(self, path: str) -> Optional[int]:
        """The integer that a file holds; None where it holds none."""
        try:
            return int(self.read(path) or "")
        except ValueError:
            return None

    def glob(self, pattern: str) -> List[str]:
        """The paths that match, sorted."""
        return sorted(glob.glob(pattern))

    def write(self, path: str, value: str) -> None:
        """Write a file of the kernel's; OSError where that is refused."""
        with open(path, "w") as file:
            file.write(value)

    def run(self, argv: Sequence[str], timeout_s: float = 5.0) -> Optional[str]:
        """What a program says; None where it is missing, fails, or takes too long."""
        try:
            done = subprocess.run(
                list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                timeout=timeout_s, check=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout[:MOST_BYTES].decode("utf-8", "replace").strip()

    def beside(self, period_s: float, call: Callable[[], None]) -> Beside:
        """Begin to do something beside the measurement; it goes on until it is stopped."""
        return Beside(period_s, call, sorted(self._spare))

    def affinity(self) -> List[int]:
        """The CPUs that this process may run on, sorted."""
        if hasattr(os, "sched_getaffinity"):
            return sorted(os.sched_getaffinity(0))
        return list(range(os.cpu_count() or 1))

    def bind(self, cpus: Sequence[int]) -> None:
        """Have this process run on these CPUs only; what is done beside it may still use the others.

        Raises:
            OSError, ValueError, OverflowError, AttributeError: one of them cannot be had.
        """
        before = set(self.affinity())
        os.sched_setaffinity(0, cpus)
        self._spare = (self._spare | before) - frozenset(cpus)

    def evictor(self, size_bytes: int) -> Callable[[], None]:
        """What overwrites so much memory when it is called, so that the caches hold nothing else.

        Raises:
            MemoryError: there is not so much.
        """
        piece = memoryview(b"\xa5" * PIECE_BYTES)
        rounded = -(-size_bytes // PIECE_BYTES) * PIECE_BYTES
        whole = memoryview(bytearray(rounded))

        def evict() -> None:
            for start in range(0, rounded, PIECE_BYTES):
                whole[start : start + PIECE_BYTES] = piece

        return evict


_leaf: Optional[Leaf] = None


def current() -> Leaf:
    """This process's leaf; made when it is first asked for.

    Raises:
        ImportError: the environment names a plug-in that this agent did not bring along.
    """
    global _leaf
    if _leaf is None:
        name = os.environ.get(VARIABLE, "")
        if not name:
            _leaf = Leaf()
        elif name in plugins.DISTRIBUTIONS:
            _leaf = importlib.import_module("%s.%s" % (plugins.__name__, name)).make_leaf()
        else:
            raise ImportError("%s names %r, and this agent brought no such plug-in along" % (VARIABLE, name))
    return _leaf
