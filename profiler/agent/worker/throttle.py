"""The word of bits by which a board tells that it slows itself down."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Tuple

from ..leaf import Leaf

STICKY_BIT = 16
"""A bit that means "now" has a twin so many places higher, which stays set from then until the board is rebooted."""

COMMAND_S = 1.0
"""Between two calls of a program: each of them is a new process on the board that is being timed."""

WORD = re.compile(r"(?:^|[=\s])(?:0x)?([0-9a-fA-F]{1,16})$")

Span = Tuple[float, float]


class ThrottleWord:
    """Reads the word: from a file, which costs next to nothing, or else from a program.

    Args:
        board: where it is read.
        heat: the job's: "throttle_file" (a glob), "throttle_command", and "throttle_bits", those that mean "now" (none:
            all below STICKY_BIT).
    """

    def __init__(self, board: Leaf, heat: Dict[str, Any]) -> None:
        self._board = board
        pattern = heat.get("throttle_file")
        paths = board.glob(pattern) if pattern else []
        self._path = paths[0] if paths else ""
        self._command: List[str] = [] if paths else list(heat.get("throttle_command") or ())
        self._now = sum(1 << bit for bit in heat.get("throttle_bits") or () if bit < STICKY_BIT)
        self._now = self._now or (1 << STICKY_BIT) - 1
        self._asked_ns: Optional[int] = None
        self._sticky: Optional[int] = None

    def slows(self, at_ns: int) -> Optional[bool]:
        """Whether the board slows itself down, or has done so since it was last asked.

        None where it does not tell, or is not to be asked again yet.
        """
        if self._path:
            text = self._board.read(self._path)
        elif self._command and self._is_due(at_ns):
            self._asked_ns = at_ns
            text = self._board.run(self._command)
        else:
            return None
        word = parse(text)
        if word is None:
            return None
        sticky = word >> STICKY_BIT & self._now
        # what was set long ago says nothing about now
        newly = sticky & ~self._sticky if self._sticky is not None else 0
        self._sticky = sticky
        return bool(word & self._now or newly)

    def _is_due(self, at_ns: int) -> bool:
        # a clock that was set back does not put it off
        return self._asked_ns is None or not self._asked_ns <= at_ns < self._asked_ns + COMMAND_S * 1e9


def parse(text: Optional[str]) -> Optional[int]:
    """The word in such texts as "throttled=0x50005", or "50005" as the kernel's file has it: hexadecimal both."""
    match = WORD.search((text or "").strip())
    return int(match.group(1), 16) if match else None


def spans(readings: List[Tuple[int, bool]]) -> List[Span]:
    """When something was true at the most: from the last reading before that said no to the first one after."""
    found: List[Span] = []
    before, since = float("-inf"), None
    for at, is_true in readings:
        if is_true and since is None:
            since = before
        elif not is_true and since is not None:
            found.append((since, at))
            since = None
        before = at
    return found if since is None else [*found, (since, float("inf"))]


def united(found: List[Span]) -> List[Span]:
    """The same, where those that overlap are one."""
    merged: List[Span] = []
    for begin, end in sorted(found):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged
