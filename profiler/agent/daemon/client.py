"""The host at the other end of a relay: its requests one by one, and what it is told, as fast as it takes it."""

from __future__ import annotations

import json
import socket
import time
from typing import Any, Optional

from ..lines import CHUNK_BYTES, Lines, LineTooLong
from .journal import Journal

ENOUGH_UNSENT_BYTES = 1 << 20
"""Entries are taken from the journal, and requests are answered, only while less than this waits to be sent: however
little a host reads, the daemon stays small."""

STUCK_S = 120.0
"""A host that takes nothing for so long although there is something for it is gone."""

GREETING_S = 60.0
"""Whoever attaches says hello within this time."""


class ClientGone(Exception):
    """The link is closed or broken, or the host does not keep to the protocol."""


class Client:
    """One attached host.

    Args:
        link: a connected stream socket, which this object closes.

    Attributes:
        greeted: whether it has said hello.
    """

    def __init__(self, link: socket.socket) -> None:
        link.setblocking(False)
        self._link = link
        self._lines = Lines(link.fileno())
        self._unsent = bytearray()
        self._cursor: Optional[int] = None  # the next entry of the journal to be told
        self._replay_end = 0
        self._moved_at = time.monotonic()
        self.greeted = False

    @property
    def number(self) -> int:
        """Its descriptor."""
        return self._lines.number

    def greet(self, since: int, entries: int) -> None:
        """From now on it is told the journal's entries, beginning with `since` of the `entries` that there are."""
        self.greeted = True
        self._cursor = min(since, entries)
        self._replay_end = entries

    # What it asks

    def listening(self) -> bool:
        """Whether its next request can be answered now: not before it was told all old entries and has read enough."""
        replaying = self._cursor is not None and self._cursor < self._replay_end
        return not replaying and len(self._unsent) < ENOUGH_UNSENT_BYTES

    def feed(self) -> None:
        """Read what is there.

        Raises:
            ClientGone: the end, or a line longer than any request.
        """
        try:
            self._lines.feed()
        except BlockingIOError:
            return
        except OSError as error:
            raise ClientGone("the link broke: %s" % error) from None
        except LineTooLong as error:
            raise ClientGone("it sent %s" % error) from None
        if self._lines.ended:
            raise ClientGone("it is gone")

    def pop(self) -> Optional[bytes]:
        """Its next request, if there is one."""
        return self._lines.pop()

    # What it is told

    def say(self, event: str, **fields: Any) -> None:
        """One message, sent with the next `flush`."""
        if not self._unsent:
            self._moved_at = time.monotonic()
        self._unsent += json.dumps(dict(fields, event=event), allow_nan=False).encode("utf-8") + b"\n"

    def beat(self, running: Optional[str]) -> None:
        """A sign of life, where it is not being told something anyhow."""
        if not self._unsent:
            self.say("heartbeat", running=running)

    def tell(self, journal: Journal) -> None:
        """Its next entries of the journal, as many as it is likely to take.

        Raises:
            ClientGone: an old entry cannot be read any more: it must not be passed over in silence.
        """
        while self._cursor is not None and self._cursor < len(journal) and len(self._unsent) < ENOUGH_UNSENT_BYTES:
            try:
                entry = journal.message(self._cursor)
            except OSError as error:
                raise ClientGone("it cannot be told entry %d: %s" % (self._cursor, error)) from None
            if not self._unsent:
                self._moved_at = time.monotonic()
            self._unsent += entry
            self._cursor += 1

    def has_more(self, entries: int) -> bool:
        """Whether it can be served at once: nothing that arrives would wake whoever waits for it.

        Args:
            entries: so many are in the journal.
        """
        behind = self._cursor is not None and self._cursor < entries and len(self._unsent) < ENOUGH_UNSENT_BYTES
        return behind or (self._lines.waiting() and self.listening())

    def unsent(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._unsent)

    def flush(self) -> None:
        """Send what the link takes without waiting.

        Raises:
            ClientGone: it takes nothing any more.
        """
        try:
            while self._unsent:
                sent = self._link.send(self._unsent[:CHUNK_BYTES])
                del self._unsent[:sent]
                self._moved_at = time.monotonic()
        except BlockingIOError:
            pass
        except OSError as error:
            raise ClientGone("the link broke: %s" % error) from None

    def deadline(self) -> Optional[float]:
        """When it counts as gone, by time.monotonic, unless it takes or says something before."""
        if self._unsent:
            return self._moved_at + STUCK_S
        return None if self.greeted else self._moved_at + GREETING_S

    def close(self) -> None:
        """Break the link."""
        self._link.close()
