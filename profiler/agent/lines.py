"""Lines of bytes from a file descriptor, bounded."""

from __future__ import annotations

import os
from typing import List, Optional

MOST_LINE_BYTES = 16 << 20
CHUNK_BYTES = 65536


class LineTooLong(Exception):
    """Somebody wrote more than any message holds without ending the line."""


class Lines:
    """Splits what arrives at a file descriptor into lines; reads only when told that there is something.

    Attributes:
        number: the descriptor.
        ended: whether the other end is closed.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.ended = False
        self._buffer = bytearray()
        self._whole: List[bytes] = []

    def feed(self) -> None:
        """Read what is there (blocks if there is nothing).

        Raises:
            LineTooLong: the line that has begun is longer than any message.
        """
        chunk = os.read(self.number, CHUNK_BYTES)
        self.ended = not chunk
        self._buffer += chunk
        if b"\n" in chunk:
            *whole, rest = bytes(self._buffer).split(b"\n")
            self._whole += whole
            self._buffer = bytearray(rest)
        if len(self._buffer) > MOST_LINE_BYTES:
            raise LineTooLong("a line of more than %d bytes" % MOST_LINE_BYTES)

    def waiting(self) -> bool:
        """Whether a whole line is there."""
        return bool(self._whole)

    def pop(self) -> Optional[bytes]:
        """The oldest whole line, without its end; None where there is none yet."""
        return self._whole.pop(0) if self._whole else None
