"""Commands that run over an SSH channel: read to their end, or talked to in lines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import paramiko

from profiler.errors import DeviceLost, DeviceTimeout
from profiler.fleet.transport.base import MAX_OUTPUT_BYTES, STDERR_TAIL_BYTES, CommandResult, LineBuffer
from profiler.fleet.transport.link import Link

__all__ = ["SSHChannel", "close", "collect"]

_CHUNK_BYTES = 65536
_SLICE_S = 0.25
"""How long to wait for stdout before looking at stderr, which shares the channel's window with it."""

_STATUS_S = 5.0
"""For an exit status that follows the end of the output."""


def close(channel: paramiko.Channel) -> None:
    """Close a channel, be its link up or down; never raises."""
    with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
        channel.close()


@contextlib.contextmanager
def _link_needed(link: Link, when: str) -> Iterator[None]:
    """Who has read much grants the sender a new window, and paramiko's EOFError says that there is no link for that."""
    try:
        yield
    except EOFError as error:
        raise DeviceLost(f"{link.name} broke {when}.", link.device_id) from error


def collect(channel: paramiko.Channel, link: Link, name: str, deadline: float) -> CommandResult:
    """Read a command to its end; what exceeds MAX_OUTPUT_BYTES is dropped.

    Raises:
        DeviceTimeout: `deadline` (of time.monotonic) passed.
        DeviceLost: the link broke.
    """
    device_id, streams = link.device_id, (bytearray(), bytearray())
    truncated = False

    def keep(stream: bytearray, data: bytes) -> None:
        nonlocal truncated
        truncated = truncated or len(stream) + len(data) > MAX_OUTPUT_BYTES
        stream += data[: MAX_OUTPUT_BYTES - len(stream)]

    while True:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise DeviceTimeout(f"{name!r} did not end in time on {device_id}.", device_id)
        channel.settimeout(min(_SLICE_S, remaining))
        data: bytes | None
        with _link_needed(link, f"while {name!r} ran"):
            try:
                data = channel.recv(_CHUNK_BYTES)
            except TimeoutError:
                data = None
            # one EOF ends both streams, so whatever stderr there is has arrived by now
            while channel.recv_stderr_ready():
                keep(streams[1], channel.recv_stderr(_CHUNK_BYTES))
        if data == b"":
            break
        keep(streams[0], data or b"")
    if not channel.status_event.wait(max(0.0, deadline - time.monotonic())):
        raise DeviceTimeout(f"{name!r} closed its output and did not end in time on {device_id}.", device_id)
    if channel.exit_status == -1 and link.is_lost():
        raise DeviceLost(f"{link.name} broke while {name!r} ran.", device_id)
    return CommandResult(channel.exit_status, bytes(streams[0]), bytes(streams[1]), truncated)


class SSHChannel:
    """A command on a board that is talked to in lines; made by SSHTransport.open."""

    def __init__(
        self,
        channel: paramiko.Channel,
        link: Link,
        sending: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        self._channel = channel
        self._link = link
        self._device_id = link.device_id
        self._sending = sending
        self._lines = LineBuffer()
        self._stderr = b""
        self._eof = False

    def write_line(self, line: bytes) -> None:
        """As Channel.write_line."""
        with self._sending():
            self._channel.settimeout(None)  # the limit is that of `sending`
            try:
                self._channel.sendall(line + b"\n")
            except OSError as error:
                if not self._channel.closed or not self._link.is_active():  # a limit cut the link: said elsewhere
                    raise
                # the far end ended between two requests: paramiko says "Socket is closed" of the channel
                raise DeviceLost(
                    f"{self._device_id}: the program on the board ended and no longer takes requests.", self._device_id
                ) from error

    def read_line(self, timeout_s: float) -> bytes | None:
        """As Channel.read_line."""
        deadline = time.monotonic() + timeout_s
        while True:
            line = self._lines.pop()
            if line is not None:
                return line
            if self._eof:
                self._check_link()
                return None
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise DeviceTimeout(f"{self._device_id} sent nothing for {timeout_s:g} s.", self._device_id)
            self._channel.settimeout(min(_SLICE_S, remaining))
            with contextlib.suppress(TimeoutError), _link_needed(self._link, "while the board was listened to"):
                data = self._channel.recv(_CHUNK_BYTES)
                self._eof = not data
                self._lines.feed(data)
            self._drain_stderr()

    def _check_link(self) -> None:
        """Raise DeviceLost when the output ended because the link did, and not the command."""
        status = self.exit_status(_STATUS_S)
        if status in (None, -1) and self._link.is_lost():
            raise DeviceLost(f"{self._link.name} broke.", self._device_id)

    def _drain_stderr(self) -> None:
        while self._channel.recv_stderr_ready():
            with _link_needed(self._link, "while the board was listened to"):
                data = self._channel.recv_stderr(_CHUNK_BYTES)
            if not data:
                return
            self._stderr = (self._stderr + data)[-STDERR_TAIL_BYTES:]

    def stderr_tail(self) -> bytes:
        """As Channel.stderr_tail."""
        self._drain_stderr()
        return self._stderr

    def exit_status(self, timeout_s: float) -> int | None:
        """As Channel.exit_status."""
        return self._channel.exit_status if self._channel.status_event.wait(timeout_s) else None

    def close(self) -> None:
        """As Channel.close."""
        close(self._channel)
