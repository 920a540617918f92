"""Governors and clocks: set for a job, and put back whatever happens.

What was there before stands in a file of the board's folder before anything is changed. Whoever finds the file and
nobody at work puts everything back: the worker before another job and at its end, the agent when its worker is gone,
when it ends, and when the next one begins.
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..cpus import CPUFREQ
from ..leaf import Leaf

FILE = "pinned.json"
BOOT = "/proc/sys/kernel/random/boot_id"
MOST_BYTES = 1 << 20

NAMES = ("scaling_governor", "scaling_min_freq", "scaling_max_freq")

HOLDING = ("performance", "powersave", "userspace")
"""Governors that do not move the clock by themselves."""

TOLERANCE = 0.01
"""A frequency that is read back may be the nearest that the board has."""

Before = List[List[Any]]
"""Of each core its number, and what its files held."""

_changing = threading.Lock()
"""A worker that is told to end while it pins puts back what it has just set, and sets nothing more."""


class Wish(NamedTuple):
    """How a job wants its cores: a governor ("": as it is) and a clock in kHz (None: as it is)."""

    governor: str
    khz: Optional[int]

    @classmethod
    def of(cls, board: Dict[str, Any]) -> Wish:
        """What a job's "board" asks for."""
        clock = board.get("clock") or "unpinned"
        return cls(board.get("governor") or "", None if clock == "unpinned" else round(float(clock) * 1000))


class Pins:
    """The governors and clocks of one board.

    Args:
        board: where they are set.
        folder: the board's, where the file is kept.
    """

    def __init__(self, board: Leaf, folder: str) -> None:
        self._board = board
        self._path = os.path.join(folder, FILE)

    def hold(self, cpus: Sequence[int], wish: Wish) -> bool:
        """See to it that these cores are as wished for, and all others as they were; whether they are.

        Nothing is asked for where nothing is wished for, and nothing is written where it is so already.
        """
        with _changing:
            wanted = {str(cpu): list(wish) for cpu in self._policies(cpus)} if wish != Wish("", None) else {}
            kept = self._read()
            if kept is not None and kept.get("wanted") != wanted:
                self._put_back(kept)
                kept = None
            if not wanted:
                return wish == Wish("", None)
            if all(self._is_held(int(cpu), wish) for cpu in wanted):
                return True
            if kept is None and not self._remember(wanted, self._before()):
                return False
            # all of them, so that one that is refused does not leave the others apart
            refused = [cpu for cpu in wanted if not self._set(int(cpu), wish)]
            return not refused

    def restore(self) -> int:
        """Put back what was there before, if anything was changed; on how many cores that was refused."""
        with _changing:
            return self._restore()

    def restore_and_stop(self) -> None:
        """The same, for a process that is about to end: from now on nobody in it sets anything."""
        _changing.acquire()
        self._restore()

    def _restore(self) -> int:
        kept = self._read()
        return 0 if kept is None else self._put_back(kept)

    # What was there before

    def _read(self) -> Optional[Dict[str, Any]]:
        try:
            with open(self._path, "rb") as file:
                kept = json.loads(file.read(MOST_BYTES).decode("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            kept = None
        if not isinstance(kept, dict) or not _is_saved(kept.get("before")):
            self._forget()  # it is renamed into place whole: this is none of ours
            return None
        if kept.get("boot") != self._boot():  # a board begins anew with every boot
            self._forget()
            return None
        return kept

    def _boot(self) -> str:
        return self._board.read(BOOT) or ""

    def _before(self) -> Before:
        """What could not be put back so far."""
        kept = self._read()
        return [] if kept is None else kept["before"]

    def _remember(self, wanted: Dict[str, Any], left: Before) -> bool:
        """Keep what there is on these cores; and what is `left`, which is older and put back last."""
        before = []
        for cpu in sorted({int(cpu) for cpu in wanted} - {cpu for cpu, _ in left}):
            values = {name: self._board.read(CPUFREQ % (cpu, name)) for name in NAMES}
            before.append([cpu, {name: value for name, value in values.items() if value is not None}])
        return self._keep({"boot": self._boot(), "wanted": wanted, "before": before + left})

    def _keep(self, kept: Dict[str, Any]) -> bool:
        text = json.dumps(kept)
        try:
            with open(self._path + ".new", "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(self._path + ".new", self._path)
        except OSError:  # what cannot be put back is not changed
            return False
        return True

    def _forget(self) -> None:
        try:
            os.unlink(self._path)
        except OSError:
            pass

    def _put_back(self, kept: Dict[str, Any]) -> int:
        """How many cores could not be; what they were is kept for another try."""
        failed = [[cpu, values] for cpu, values in kept["before"] if not self._is_put_back(cpu, values)]
        if failed:
            self._keep(dict(kept, wanted={}, before=failed))
        else:
            self._forget()
        return len(failed)

    def _is_put_back(self, cpu: int, values: Dict[str, Any]) -> bool:
        low, high = (_whole(values.get(name)) for name in NAMES[1:])
        done = low is None or high is None or self._set_range(cpu, low, high)
        return (not values.get(NAMES[0]) or self._write(cpu, NAMES[0], values[NAMES[0]])) and done

    # The kernel's files

    def _policies(self, cpus: Sequence[int]) -> List[int]:
        """One CPU of each policy; where there is no cpufreq, the CPUs themselves, which will refuse."""
        found: Dict[str, int] = {}
        for cpu in cpus:
            found.setdefault(self._board.read(CPUFREQ % (cpu, "related_cpus")) or "cpu%d" % cpu, cpu)
        return sorted(found.values())

    def _is_held(self, cpu: int, wish: Wish) -> bool:
        if wish.governor and self._board.read(CPUFREQ % (cpu, NAMES[0])) != wish.governor:
            return False
        return wish.khz is None or all(_near(value, wish.khz) for value in self._range(cpu))

    def _range(self, cpu: int) -> Tuple[Optional[int], Optional[int]]:
        return self._board.number(CPUFREQ % (cpu, NAMES[1])), self._board.number(CPUFREQ % (cpu, NAMES[2]))

    def _set(self, cpu: int, wish: Wish) -> bool:
        done = not wish.governor or self._write(cpu, NAMES[0], wish.governor)
        if wish.khz is not None:
            done = self._set_range(cpu, wish.khz, wish.khz) and done
        return done and self._is_held(cpu, wish)

    def _set_range(self, cpu: int, low: int, high: int) -> bool:
        """The lower end is never above the upper one on the way: the kernel refuses that."""
        highest = self._range(cpu)[1]
        order = [(NAMES[1], low), (NAMES[2], high)]
        if highest is None or low > highest:
            order.reverse()
        refused = [name for name, value in order if not self._write(cpu, name, str(value))]
        return not refused

    def _write(self, cpu: int, name: str, value: str) -> bool:
        path = CPUFREQ % (cpu, name)
        if self._board.read(path) == value:
            return True
        try:
            self._board.write(path, value)
        except OSError:
            return False
        return True


def _near(value: Optional[int], khz: int) -> bool:
    return value is not None and abs(value - khz) <= TOLERANCE * khz


def _whole(text: Any) -> Optional[int]:
    return int(text) if isinstance(text, str) and text.isdigit() else None


def _is_saved(before: Any) -> bool:
    """Whether this is a list of [CPU, {file: value}]."""
    return isinstance(before, list) and all(
        isinstance(item, list) and len(item) == 2 and isinstance(item[0], int) and isinstance(item[1], dict)
        for item in before
    )
