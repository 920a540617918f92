"""The leaf: all that a measurement asks of the board itself, in one place.

Clock, sleep, the kernel's files, programs, and what is done beside a measurement. A simulated board replaces it, and
nothing else, by naming a plug-in in its environment; everywhere else it is the machine.
"""

from __future__ import annotations

import glob
import importlib
import os
import subprocess
import threading
import time
from typing import Callable, List, Optional, Sequence

from . import plugins

VARIABLE = "EDGECOST_LEAF"
"""Names the plug-in whose `make_leaf()` stands in for the machine; set by a simulated board for its own processes."""

MOST_BYTES = 65536
"""So much of a file is read: those of the kernel are smaller."""


class Beside:
    """Something that is done again and again beside a measurement, until it is stopped.

    Args:
        period_s: from one beginning to the next.
        call: what is done; an error ends it, and `error` has it.
    """

    def __init__(self, period_s: float, call: Callable[[], None]) -> None:
        self.error: Optional[BaseException] = None
        self._call = call
        self._period_s = period_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when it is not being done any more."""
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        _be_modest()
        due = time.monotonic()
        while not self._end.wait(max(0.0, due - time.monotonic())):
            try:
                self._call()
            except Exception as error:
                self.error = error
                return
            # what was missed is not made up for: readings in a burst tell no more than one
            due = max(due + self._period_s, time.monotonic())


def _be_modest() -> None:
    """Have the measurement go first: on Linux, priorities are each thread's own."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
    except (AttributeError, OSError):  # Python 3.7 has no native ids
        pass


class Leaf:
    """The machine that this process runs on.

    Attributes:
        simulated: whether it is none, and every figure has to say so.
    """

    simulated = False

    def clock_ns(self) -> int:
        """What durations are taken by: monotonic, the finest there is."""
        return time.perf_counter_ns()

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
        return Beside(period_s, call)


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
