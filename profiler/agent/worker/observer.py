"""What the board does beside a measurement: it is looked at a few times a second, and batches are judged by it."""

from __future__ import annotations

import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..leaf import Leaf
from . import load
from .clocks import TOLERANCE, Clocks
from .heat import Thermometer
from .interval import median
from .throttle import Span, ThrottleWord, spans, united

MOST_LOOKS = 100000

LEAST_GAP_NS = 50000000
"""Looks that lie closer together than 50 ms say nothing about pressure."""

MOST_LEFT_OUT = 0.5
"""Where more than this share of the batches overlaps the board's slowing down, the rest is doubtful as well."""


class Look(NamedTuple):
    """What was seen at one moment; None where the board does not tell.

    Attributes:
        at_ns: by the leaf's clock.
        mhz: of the fastest core that is used.
        temperature_c: the hottest.
        waited_us: see `load.Load`.
    """

    at_ns: int
    mhz: Optional[float]
    temperature_c: Optional[float]
    waited_us: Optional[int]


class Verdict(NamedTuple):
    """What the looks say about a sampling.

    Attributes:
        samples_ns: the batches that count: all, where none would be left.
        env: for the record; fields that the board does not tell are missing.
        issues: codes.
    """

    samples_ns: List[int]
    env: Dict[str, Any]
    issues: List[str]


class Observer:
    """Looks at the board from `start` to `stop`.

    Args:
        board: what is looked at.
        hz: how often.
        clocks, thermometer, word: by what.
    """

    def __init__(self, board: Leaf, hz: float, clocks: Clocks, thermometer: Thermometer, word: ThrottleWord) -> None:
        self._board = board
        self._period_s = 1 / hz
        self._clocks = clocks
        self._thermometer = thermometer
        self._word = word
        self._looks: List[Look] = []
        self._dips: List[Tuple[int, bool]] = []
        self._slow: List[Tuple[int, bool]] = []
        self._beside: Any = None
        self._load = load.read(board)
        self._error = ""

    def start(self) -> None:
        """Begin, with a first look."""
        self._load = load.read(self._board)
        self.resume()

    def resume(self) -> None:
        """Go on after `stop`."""
        self.look()
        self._beside = self._board.beside(self._period_s, self.look)

    def stop(self) -> None:
        """One more look, and no more after it; may be called twice."""
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.stop()
            self._error = str(beside.error or "")
            self.look()

    def look(self) -> None:
        """See what there is to see now."""
        if len(self._looks) >= MOST_LOOKS:
            return
        at_ns = self._board.clock_ns()
        frequency = self._clocks.read()
        slows = self._word.slows(at_ns)
        if frequency is not None:
            self._dips.append((at_ns, frequency.dips))
        if slows is not None:
            self._slow.append((at_ns, slows))
        mhz = None if frequency is None else frequency.mhz
        self._looks.append(Look(at_ns, mhz, self._thermometer.read(), load.waited_us(self._board)))

    def temperatures(self) -> List[Tuple[int, float]]:
        """When, by the leaf's clock in ns, and °C, of every look that had one."""
        return [(look.at_ns, look.temperature_c) for look in self._looks if look.temperature_c is not None]

    def keep(self, begins_ns: Sequence[int], samples_ns: Sequence[int]) -> List[int]:
        """The batches that do not overlap a time at which the board, as far as is known by now, slowed itself down."""
        slow = self._slow_spans()
        if not slow:
            return list(samples_ns)
        return [took for begin, took in zip(begins_ns, samples_ns) if not _overlaps(begin, begin + took, slow)]

    def _slow_spans(self) -> List[Span]:
        # copies: a look may be going on
        return united(spans(sorted(self._dips)) + spans(sorted(self._slow)))

    def judge(self, begins_ns: Sequence[int], samples_ns: Sequence[int], min_batches: int) -> Verdict:
        """What all the looks say about these batches; at least one."""
        kept = self.keep(begins_ns, samples_ns)
        left_out = len(samples_ns) - len(kept)
        begin, end = min(begins_ns), max(at + took for at, took in zip(begins_ns, samples_ns))
        slow = [span for span in self._slow_spans() if _overlaps(begin, end, [span])]
        looks = [look for look in self._looks if look.at_ns >= begin] or self._looks[-1:]
        steady = [look.mhz for look in looks if look.mhz and not _overlaps(look.at_ns, look.at_ns, slow)]
        shares = load.between(self._load, load.read(self._board))
        issues = {
            "throttled": bool(slow) and (len(kept) < min_batches or left_out > MOST_LEFT_OUT * len(samples_ns)),
            "clock_moved": bool(steady) and max(steady) - min(steady) > TOLERANCE * max(steady),
            "background_load": shares.is_high,
        }
        env = dict(_seen(looks), throttle_events=len(slow), batches_left_out=left_out if kept else 0)
        env.update(pressure_max=_pressure_max(self._looks), steal_share=_rounded(shares.stolen, 4))
        env.update(others_share=_rounded(shares.others, 4), observer_hz=self._achieved_hz())
        if self._error:
            env["observer_error"] = self._error[:200]
        known = {name: value for name, value in env.items() if value is not None}
        return Verdict(kept or list(samples_ns), known, [code for code, applies in issues.items() if applies])

    def _achieved_hz(self) -> Optional[float]:
        """By the usual time from look to look; the first and the last come out of turn."""
        gaps = [after.at_ns - before.at_ns for before, after in zip(self._looks, self._looks[1:])]
        usual = [gap for gap in gaps if gap > self._period_s * 1e9 / 2]
        return round(1e9 / median(usual), 2) if usual else None


def _overlaps(begin: float, end: float, slow: Sequence[Span]) -> bool:
    return any(begin < until and end > since for since, until in slow)


def _seen(looks: Sequence[Look]) -> Dict[str, Any]:
    """Frequencies and the highest temperature."""
    found = [look.mhz for look in looks if look.mhz]
    hottest = max((look.temperature_c for look in looks if look.temperature_c is not None), default=None)
    seen: Dict[str, Any] = {"temperature_max_c": _rounded(hottest, 1)}
    if found:
        seen.update(freq_mhz=round(median(found), 1), freq_min_mhz=min(found), freq_max_mhz=max(found))
    return seen


def _pressure_max(looks: Sequence[Look]) -> Optional[float]:
    """The highest percentage of the time between two looks in which some program waited for a core."""
    found = [
        100 * (after.waited_us - before.waited_us) / ((after.at_ns - before.at_ns) / 1000)
        for before, after in zip(looks, looks[1:])
        if before.waited_us is not None and after.waited_us is not None and after.at_ns - before.at_ns > LEAST_GAP_NS
    ]
    return _rounded(min(100.0, max(0.0, max(found))), 2) if found else None


def _rounded(value: Optional[float], digits: int) -> Optional[float]:
    return None if value is None or not math.isfinite(value) else round(value, digits)
