"""The board's temperature, and the wait for it to be at rest before a job begins."""

from __future__ import annotations

import collections
import json
import math
import os
from typing import Any, Deque, Dict, Iterable, List, NamedTuple, Optional, Tuple

from ..facts import is_plausible
from ..leaf import Leaf
from .settings import Settings

ZONES = "/sys/class/thermal/thermal_zone*"

WINDOW_S = 10.0
LEAST_SPAN_S = 5.0
LEAST_READINGS = 5
"""Whether the temperature moves is judged by the readings of so many seconds; of fewer, nobody can tell."""

LOOK_S = 1.0
"""Between two looks while waiting."""

SURE = 2.0
"""So many standard errors beyond the limit must a slope lie: sensors show whole degrees, or tenths, and flicker."""


class Thermometer:
    """The temperatures that count on this board.

    Args:
        board: where they are read.
        heat: the job's: "zones", by type (none: all that there are), and "files", globs of further ones.

    Attributes:
        doubtful: whether a zone or file that was declared is missing, or showed what is no temperature; where none
            was declared, whether those that there are showed nothing else.
    """

    def __init__(self, board: Leaf, heat: Dict[str, Any]) -> None:
        zones, files = heat.get("zones") or (), heat.get("files") or ()
        self._board = board
        self.doubtful = False
        every = board.glob(os.path.join(ZONES, "temp"))
        if zones:
            types = {path: board.read(os.path.join(os.path.dirname(path), "type")) for path in every}
            found = [path for path in every if types[path] in zones]
            self.doubtful = bool(set(zones) - set(types.values()))
        else:
            found = []
        for pattern in files:
            matching = board.glob(pattern)
            self.doubtful = self.doubtful or not matching
            found += matching
        self._declared = set(found)
        self._paths = found or every

    def read(self) -> Optional[float]:
        """The hottest of them in °C; None where none shows a temperature."""
        hottest: Optional[int] = None
        odd = False
        for path in self._paths:
            value = self._board.number(path)
            if value is None:
                continue
            if is_plausible(value):
                hottest = value if hottest is None else max(hottest, value)
            else:
                odd = True
                self.doubtful = self.doubtful or path in self._declared
        if hottest is None:
            self.doubtful = self.doubtful or odd
            return None
        return hottest / 1000


class Memory:
    """What is known of the board's heat from earlier jobs.

    The idle temperature is the lowest that this session has seen between jobs. It outlasts workers in a small file of
    the session's folder; the last readings, by which one sees whether the temperature moves, die with the worker.

    Attributes:
        idle_c: the idle temperature; None before the first job.
    """

    def __init__(self) -> None:
        self.idle_c: Optional[float] = None
        self._path = ""
        self._readings: Deque[Tuple[float, float]] = collections.deque(maxlen=500)

    def open(self, path: str) -> None:
        """Keep the idle temperature in this file, and begin with what it holds."""
        if path == self._path:
            return
        self._path = path
        try:
            with open(path, "rb") as file:
                kept = json.loads(file.read(1000).decode("utf-8"))["idle_c"]
        except (OSError, ValueError, KeyError, TypeError):
            return
        if isinstance(kept, (int, float)) and math.isfinite(kept):
            self.idle_c = float(kept)

    def rest_at(self, idle_c: float) -> None:
        """Remember an idle temperature; a full disk does without."""
        if idle_c == self.idle_c:
            return
        self.idle_c = idle_c
        if not self._path:
            return
        try:
            with open(self._path + ".new", "w") as file:
                json.dump({"idle_c": idle_c}, file)
            os.replace(self._path + ".new", self._path)
        except OSError:
            pass

    def add(self, readings: Iterable[Tuple[float, float]]) -> None:
        """Remember temperatures: when, by the leaf's `monotonic`, and °C; in order."""
        self._readings.extend(readings)

    def moves(self, now: float, most_c_per_min: float) -> Optional[bool]:
        """Whether the temperature surely moves faster than that; None while there is too little to tell by."""
        recent = [(at, value) for at, value in self._readings if now - WINDOW_S <= at <= now]
        if len(recent) < LEAST_READINGS or recent[-1][0] - recent[0][0] < LEAST_SPAN_S:
            return None
        slope, error = _slope(recent)
        return 60 * (abs(slope) - SURE * error) > most_c_per_min


def _slope(readings: List[Tuple[float, float]]) -> Tuple[float, float]:
    """The slope of the straight line through these readings, and its standard error; both in °C a second."""
    n = len(readings)
    middle = sum(at for at, _ in readings) / n
    mean = sum(value for _, value in readings) / n
    spread = sum((at - middle) ** 2 for at, _ in readings)
    slope = sum((at - middle) * (value - mean) for at, value in readings) / spread
    rest = sum((value - mean - slope * (at - middle)) ** 2 for at, value in readings) / (n - 2)
    values = sorted({value for _, value in readings})
    steps = [after - before for before, after in zip(values, values[1:])]
    rounding = min(steps) / math.sqrt(12) if steps else 0.0  # a value that stays tells no more than its last digit
    return slope, max(math.sqrt(rest), rounding) / math.sqrt(spread)


class Cooling(NamedTuple):
    """How the wait went: how long it was, and whether the board was still too hot, or moving, at its end."""

    waited_s: float
    too_hot: bool


def cool_down(board: Leaf, thermometer: Thermometer, memory: Memory, settings: Settings) -> Cooling:
    """Wait until the board is at rest: near its idle temperature, and not moving; `cool_s` at most.

    A board without a temperature is not waited for. One that has settled well above what used to be its idle
    temperature (the day is hotter than the night was) is told once as too hot; from then on that is where it idles.
    """
    waited_s, now = 0.0, board.monotonic()
    if settings.cool_s <= 0:
        return Cooling(0.0, False)
    while True:
        value = thermometer.read()
        if value is None:  # there is no sensor, or there is none any more
            return Cooling(waited_s, False)
        memory.add([(now, value)])
        if memory.idle_c is None or value < memory.idle_c:
            memory.rest_at(value)
        assert memory.idle_c is not None
        moves = memory.moves(now, settings.cool_c_per_min)
        if moves is False and value <= memory.idle_c + settings.cool_c:
            return Cooling(waited_s, False)
        left_s = settings.cool_s - waited_s
        if left_s <= 0:
            if moves is False:
                memory.rest_at(value)
            return Cooling(waited_s, True)
        board.sleep(min(LOOK_S, left_s))
        before, now = now, board.monotonic()
        waited_s += max(0.0, now - before)  # of a clock that was set back, one look is waited for once more
