"""How long an agent whose host is gone goes on, and how long it waits for the host to come back."""

from __future__ import annotations

import time
from typing import List, Optional

UNGREETED_LINGER_S = 60.0
"""For an agent to which no host has ever said hello."""


class Solitude:
    """The times that count while nobody is attached; all by time.monotonic.

    Attributes:
        linger_s: so long an idle agent waits.
    """

    def __init__(self) -> None:
        self.linger_s = UNGREETED_LINGER_S
        self._alone_s: Optional[float] = 0.0
        self._alone_since: Optional[float] = time.monotonic()
        self._idle_since: Optional[float] = None

    def ends(self, alone_s: Optional[float], linger_s: float) -> None:
        """A host has come, and said what is to hold when it has gone again."""
        self._alone_s, self.linger_s = alone_s, linger_s
        self._alone_since = self._idle_since = None

    def begins(self) -> None:
        """The host is gone."""
        self._alone_since = time.monotonic()

    def paused(self) -> bool:
        """Whether the host has been gone for longer than it wanted the queue to go on."""
        at = self._pause_at()
        return at is not None and time.monotonic() >= at

    def outlasted(self, idle: bool) -> bool:
        """Told whether there is nobody to serve and nothing to do: whether that has lasted for `linger_s`."""
        if not idle:
            self._idle_since = None
            return False
        now = time.monotonic()
        if self._idle_since is None:
            self._idle_since = now
            return False
        return now >= self._idle_since + self.linger_s

    def deadlines(self) -> List[float]:
        """When one of these answers changes."""
        at = self._pause_at()
        found = [at] if at is not None and not self.paused() else []
        return found if self._idle_since is None else [*found, self._idle_since + self.linger_s]

    def _pause_at(self) -> Optional[float]:
        if self._alone_s is None or self._alone_since is None:
            return None
        return self._alone_since + self._alone_s
