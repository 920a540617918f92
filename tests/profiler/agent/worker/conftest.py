"""A board that is not there: files in a dictionary, and time that passes only when something takes it."""

from __future__ import annotations

import errno
import fnmatch
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from profiler.agent import leaf
from profiler.agent.leaf import Leaf

CPU = "/sys/devices/system/cpu/cpu%d/cpufreq/%s"
ZONE = "/sys/class/thermal/thermal_zone%d/%s"

READING_NS = 40
START_S = 1000.0

Content = str | Callable[[float], str | None]


class VirtualBeside:
    def __init__(self, board: VirtualLeaf, period_ns: float, call: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self.board, self.period_ns, self.call, self.due = board, period_ns, call, board.now
        board.besides.append(self)

    def stop(self) -> None:
        if self in self.board.besides:
            self.board.besides.remove(self)


class VirtualLeaf(Leaf):
    """Attributes: files by path, a text or a function of the seconds since START_S; programs by name; refused paths."""

    simulated = True

    def __init__(self) -> None:
        self.now = START_S * 1e9
        self.files: dict[str, Content] = {}
        self.programs: dict[str, Callable[[float], str | None]] = {}
        self.refused: set[str] = set()
        self.written: list[tuple[str, str]] = []
        self.calls: list[tuple[float, list[str]]] = []
        self.besides: list[VirtualBeside] = []
        self.cpus = [0, 1, 2, 3]
        self.evictions = 0

    @property
    def seconds(self) -> float:
        return self.now / 1e9 - START_S

    def pass_ns(self, ns: float) -> None:
        """Time goes by, and what is done beside is done when it is due."""
        end = self.now + ns
        while self.besides:
            first = min(self.besides, key=lambda each: each.due)
            if first.due > end:
                break
            self.now, end = max(self.now, first.due), max(end, first.due)
            first.due += first.period_ns
            first.call()
        self.now = max(self.now, end)

    def clock_ns(self) -> int:
        self.now += READING_NS
        return int(self.now)

    def monotonic(self) -> float:
        return self.now / 1e9

    def sleep(self, seconds: float) -> None:
        self.pass_ns(seconds * 1e9)

    def read(self, path: str) -> str | None:
        found = self.files.get(path)
        return found(self.seconds) if callable(found) else found

    def glob(self, pattern: str) -> list[str]:
        return sorted(fnmatch.filter(self.files, pattern))

    def write(self, path: str, value: str) -> None:
        if path in self.refused or path not in self.files:
            raise OSError(errno.EACCES, "refused")
        self.written.append((path, value))
        self.files[path] = value

    def run(self, argv: Sequence[str], timeout_s: float = 5.0) -> str | None:
        self.calls.append((self.seconds, list(argv)))
        program = self.programs.get(argv[0])
        return program(self.seconds) if program else None

    def beside(self, period_s: float, call: Callable[[], None]) -> Any:
        return VirtualBeside(self, period_s * 1e9, call)

    def affinity(self) -> list[int]:
        return self.cpus

    def bind(self, cpus: Sequence[int]) -> None:
        self.cpus = sorted(cpus)

    def evictor(self, size_bytes: int) -> Callable[[], None]:
        def evict() -> None:
            self.evictions += 1
            self.pass_ns(size_bytes / 8)

        return evict

    # what tests put there

    def core(self, cpu: int, khz: Content = "1500000", governor: str = "schedutil", related: str = "") -> None:
        values: dict[str, Content] = {
            "scaling_governor": governor,
            "scaling_min_freq": "600000",
            "scaling_max_freq": "1500000",
            "scaling_cur_freq": khz,
            "cpuinfo_max_freq": "1500000",
            "related_cpus": related or str(cpu),
            "scaling_driver": "cpufreq-dt",
        }
        for name, value in values.items():
            self.files[CPU % (cpu, name)] = value

    def zone(self, number: int, kind: str, celsius: Callable[[float], float | None]) -> None:
        def temperature(seconds: float) -> str | None:
            value = celsius(seconds)
            return None if value is None else str(round(value * 1000))

        self.files[ZONE % (number, "type")] = kind
        self.files[ZONE % (number, "temp")] = temperature


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> VirtualLeaf:
    """A virtual board in the place of this machine."""
    made = VirtualLeaf()
    monkeypatch.setattr(leaf, "_leaf", made)
    return made
