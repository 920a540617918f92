"""The leaf of a simulated board: its clock, its files and its programs, in virtual time."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import VERSION
from .files import Files
from .machine import Due, Machine

if TYPE_CHECKING:
    from profiler.agent.leaf import Beside, Leaf
else:
    from ...leaf import Beside, Leaf

VARIABLE = "EDGECOST_SIMULATED"
"""Names the file that says what board this is; it keeps what lasts in the same folder."""


def make_leaf() -> SimulatedLeaf:
    """The leaf that the environment asks for.

    Raises:
        ImportError: the environment names no board, or one that cannot be read.
    """
    path = os.environ.get(VARIABLE, "")
    try:
        with open(path, encoding="utf-8") as file:
            spec: dict[str, Any] = json.load(file)
    except (OSError, ValueError) as error:
        raise ImportError(f"{VARIABLE} names no simulated board: {error}") from error
    return SimulatedLeaf(Machine(spec, os.path.dirname(os.path.abspath(path))))


class VirtualBeside(Beside):
    """Something that is done beside a measurement at virtual times."""

    def __init__(self, machine: Machine, period_s: float, call: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self._machine = machine
        self._wanted = call
        self._due: Due = machine.beside(period_s, self._do)

    def stop(self) -> None:
        """It is not done any more."""
        self._machine.forget(self._due)

    def _do(self) -> None:
        try:
            self._wanted()
        except Exception as error:  # noqa: BLE001 (as of a thread: it ends, and whoever asks is told)
            self.error = error
            self.stop()


class SimulatedLeaf(Leaf):
    """A simulated board in the place of the machine.

    Attributes:
        machine: the board.
    """

    simulated = True

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.files = Files(machine)
        self._bound: list[int] = []
        self.runtimes = {"simulated": VERSION}

    def clock_ns(self) -> int:
        """See Leaf."""
        return self.machine.clock_ns()

    def monotonic(self) -> float:
        """See Leaf."""
        return self.machine.clock_ns() / 1e9

    def sleep(self, seconds: float) -> None:
        """See Leaf; no real time passes."""
        self.machine.sync()
        self.machine.rest(max(0.0, seconds))

    def read(self, path: str) -> str | None:
        """See Leaf."""
        self.machine.sync()
        return self.files.read(path)

    def glob(self, pattern: str) -> list[str]:
        """See Leaf."""
        self.machine.sync()
        return self.files.glob(pattern)

    def write(self, path: str, value: str) -> None:
        """See Leaf."""
        self.machine.sync()
        self.files.write(path, value)

    def run(self, argv: Sequence[str], timeout_s: float = 5.0) -> str | None:
        """See Leaf; no program is started."""
        self.machine.sync()
        return self.files.run(argv)

    def beside(self, period_s: float, call: Callable[[], None]) -> Beside:
        """See Leaf; `call` is called at virtual times, by whoever lets them pass."""
        return VirtualBeside(self.machine, period_s, call)

    def affinity(self) -> list[int]:
        """See Leaf; the cores are the simulated board's."""
        return self._bound or list(range(self.machine.spec["cpus"]))

    def bind(self, cpus: Sequence[int]) -> None:
        """See Leaf; OSError where the simulated board has no such core."""
        if not set(cpus) <= set(range(self.machine.spec["cpus"])):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._bound = sorted(cpus)

    def evictor(self, size_bytes: int) -> Callable[[], None]:
        """See Leaf; no memory is written."""
        seconds = size_bytes / self.machine.spec["roofline"]["bytes_per_s"]

        def evict() -> None:
            self.machine.rest(seconds)
            self.machine.evicted = True

        return evict
