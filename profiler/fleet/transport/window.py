"""Bounds on what a server can make this host hold: paramiko grants windows and believes lengths, and checks neither.

An honest server has never more on its way than the window that it was granted, and sends no packet near a megabyte. One
that does would fill this host's memory, the latter before it has shown who it is; its connection ends instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import paramiko
from paramiko.buffered_pipe import BufferedPipe
from paramiko.packet import Packetizer

if TYPE_CHECKING:
    _Pipe = BufferedPipe[bytes]
else:
    _Pipe = BufferedPipe

__all__ = ["BoundedPacketizer", "bounded"]

_MOST_PACKET_BYTES = (256 << 10) + 1024
"""OpenSSH's own limit, and room for a checksum."""

_MOST_UNREAD_BYTES = 4 << 20
"""Twice the window that paramiko grants by default, which stdout and stderr share."""


def bounded(channel: paramiko.Channel) -> paramiko.Channel:
    """The same channel with bounded buffers; to be called before a command or subsystem is started in it."""
    channel.in_buffer = _BoundedPipe()
    channel.in_stderr_buffer = _BoundedPipe()
    return channel


class BoundedPacketizer(Packetizer):
    """For `paramiko.Transport`."""

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Read the rest of a packet whose length the server has told."""
        if n > _MOST_PACKET_BYTES:
            raise paramiko.SSHException("the server sends packets that are too long")
        return super().read_all(n, check_rekey)


class _BoundedPipe(_Pipe):
    def feed(self, data: bytes) -> None:
        """Take what has come; called by the connection's own thread, which an exception ends."""
        if len(self) + len(data) > _MOST_UNREAD_BYTES:
            raise paramiko.SSHException("the server sends more than it may")
        super().feed(data)
