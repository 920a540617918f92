"""What a session asks of a link to a board: run a command, hold a conversation in lines, put a file."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from profiler.errors import AgentCrashed

__all__ = ["MAX_LINE_BYTES", "MAX_OUTPUT_BYTES", "Channel", "CommandResult", "LineBuffer", "Transport", "quote"]

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A longer line from a board is nonsense, not a reply."""

MAX_OUTPUT_BYTES = 1024 * 1024
"""Of each of a command's two streams; what is beyond is read and dropped."""

STDERR_TAIL_BYTES = 8 * 1024
"""How much of the end of a conversation's stderr is kept for error messages."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command left behind.

    Attributes:
        exit_status: 0 to 255, or -1 when a signal ended it (or the board did not say).
        stdout, stderr: at most MAX_OUTPUT_BYTES each.
        truncated: whether either stream was longer than that.
    """

    exit_status: int
    stdout: bytes
    stderr: bytes
    truncated: bool = False


class Channel(Protocol):
    """A running command that is talked to in lines. Not thread-safe: one conversation, one thread."""

    def write_line(self, line: bytes) -> None:
        """Send `line` and a newline; DeviceLost when the link is broken, DeviceTimeout when nobody reads."""

    def read_line(self, timeout_s: float) -> bytes | None:
        """The next line without its newline, or None once the command has closed its output.

        Raises:
            DeviceTimeout: no whole line came within the limit (the conversation may go on).
            DeviceLost: the link broke.
            AgentCrashed: a line is longer than MAX_LINE_BYTES.
        """

    def stderr_tail(self) -> bytes:
        """The end of what the command wrote to stderr so far."""

    def exit_status(self, timeout_s: float) -> int | None:
        """The command's exit status once it has ended: None when it has not within the limit, -1 for a signal."""

    def close(self) -> None:
        """End the conversation. Never raises, may be called twice.

        The command finds its input closed. OpenSSH does no more than that, so what shall not outlive its conversation
        must read its input, as the agent does.
        """


class Transport(Protocol):
    """A link to one board. Every argument is quoted, so no remote shell ever interprets one."""

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> CommandResult:
        """Run a command to its end.

        Raises:
            DeviceTimeout: it took longer than `timeout_s`.
            DeviceLost: the link broke.
        """

    def open(self, argv: Sequence[str]) -> Channel:
        """Start a command and talk to it."""

    def put(self, data: bytes, remote: str) -> None:
        """Write a file (absolute path, mode 0600) so that it is there in full or not at all."""

    def exists(self, remote: str) -> bool:
        """Whether there is a file or folder at this absolute path."""

    def close(self) -> None:
        """Break the link. Never raises, may be called twice."""


def quote(argv: Sequence[str]) -> str:
    """`argv` as one line for a POSIX shell in which nothing is special; ValueError for NUL bytes."""
    if any("\0" in word for word in argv):
        raise ValueError("an argument of a command holds a NUL byte")
    return shlex.join(argv)


class LineBuffer:
    """Cuts a stream of bytes into lines of bounded length."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._lines: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take further bytes; AgentCrashed when a line grows beyond the limit."""
        *complete, rest = data.split(b"\n")
        for piece in complete:
            self._grow(piece)
            self._lines.append(b"".join(self._parts))
            self._parts, self._size = [], 0
        self._grow(rest)

    def _grow(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise AgentCrashed(
                f"The board sent a line longer than {self._limit} bytes, which is no reply of the agent."
            )
        if piece:
            self._parts.append(piece)

    def pop(self) -> bytes | None:
        """The oldest whole line, without its newline; None when there is none yet."""
        return self._lines.popleft() if self._lines else None
