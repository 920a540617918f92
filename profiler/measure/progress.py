"""How campaigns tell what they are doing, without knowing of terminals."""

from __future__ import annotations

import threading
from typing import Protocol

__all__ = ["NullProgress", "PartProgress", "Progress", "SharedProgress"]


class Progress(Protocol):
    """What a campaign calls while it works; the command line shows it, tests collect it."""

    def start(self, total: int, done: int = 0) -> None:
        """The measuring begins, or its length has changed: `total` jobs in all, of which `done` are done."""

    def advance(self, label: str) -> None:
        """One job is journaled; `label` says which."""

    def message(self, text: str) -> None:
        """Something people should know, in one line."""


class NullProgress:
    """Tells nobody."""

    def start(self, total: int, done: int = 0) -> None:
        """Nothing."""

    def advance(self, label: str) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""


class SharedProgress:
    """One progress for campaigns in several threads: their jobs are counted together.

    Args:
        told: is called by one thread at a time.
    """

    def __init__(self, told: Progress) -> None:
        self._told = told
        self._lock = threading.RLock()
        self._totals: dict[int, int] = {}
        self._done: dict[int, int] = {}

    def part(self) -> PartProgress:
        """The progress of one more campaign."""
        with self._lock:
            number = len(self._totals)
            self._totals[number] = self._done[number] = 0
        return PartProgress(self, number)

    def start(self, part: int, total: int, done: int) -> None:
        """One campaign's length is known, or has changed."""
        with self._lock:
            self._totals[part], self._done[part] = total, done
            self._told.start(sum(self._totals.values()), sum(self._done.values()))

    def advance(self, part: int, label: str) -> None:
        """One campaign has journaled a job."""
        with self._lock:
            self._done[part] += 1
            self._told.advance(label)

    def message(self, text: str) -> None:
        """One campaign has something to say."""
        with self._lock:
            self._told.message(text)


class PartProgress:
    """The progress of one campaign among several.

    Attributes:
        advanced: so many jobs has it journaled.
    """

    def __init__(self, shared: SharedProgress, number: int) -> None:
        self.advanced = 0
        self._shared = shared
        self._number = number

    def start(self, total: int, done: int = 0) -> None:
        """See Progress."""
        self._shared.start(self._number, total, done)

    def advance(self, label: str) -> None:
        """See Progress."""
        self.advanced += 1
        self._shared.advance(self._number, label)

    def message(self, text: str) -> None:
        """See Progress."""
        self._shared.message(text)
