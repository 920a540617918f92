"""The transport protocol over SSH: keys only, host keys checked before anything is said, a time limit on every wait.

paramiko waits without a limit for several of a server's answers (a command's start, a subsystem's start, a full send
buffer). Whatever may wait so runs under `_within`, which breaks the link when the time is up: a board that has gone
silent costs seconds, never an evening.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Iterator, Sequence

import paramiko

from profiler.errors import DeviceError, DeviceLost, DeviceTimeout
from profiler.fleet.messages import escape
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import CommandResult, quote
from profiler.fleet.transport.handshake import Limits
from profiler.fleet.transport.link import HostKey, Link, fetch_host_key, open_link
from profiler.fleet.transport.ssh_channel import SSHChannel, close, collect
from profiler.fleet.transport.window import bounded

__all__ = ["HostKey", "Limits", "SSHTransport", "connect", "fetch_host_key"]

_CHUNK_BYTES = 32768

_BROKEN_OFF = ("server connection dropped", "socket is closed")
"""What paramiko says of a channel whose far end has ended while the connection holds."""


def connect(device: Device, limits: Limits | None = None) -> SSHTransport:
    """Reach a board, through its jump host if it has one, check who it is, and show it our key.

    Raises:
        Unreachable, DeviceTimeout, HostKeyMismatch, AuthenticationFailed: see profiler.errors.
        ConfigError: `identity_file` or `known_hosts` cannot be read.
    """
    limits = limits or Limits()
    return SSHTransport(open_link(device, limits), limits)


class SSHTransport:
    """A link to one board over SSH; made by `connect`."""

    def __init__(self, link: Link, limits: Limits) -> None:
        self._link = link
        self._limits = limits
        self._sftp: paramiko.SFTPClient | None = None
        self._serial = itertools.count()

    @contextlib.contextmanager
    def _within(self, seconds: float, doing: str) -> Iterator[None]:
        """Turn paramiko's errors into ours, and break the link when this takes longer than `seconds`."""
        expired = threading.Event()

        def cut() -> None:
            expired.set()
            self._link.close()

        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        # SFTPError, ValueError: answers of the file server that are none, or no UTF-8
        except (paramiko.SSHException, paramiko.SFTPError, EOFError, OSError, ValueError) as error:
            name = self._link.device_id
            if expired.is_set() or isinstance(error, TimeoutError) or "timeout" in str(error).lower():
                raise DeviceTimeout(f"{name} took longer than {seconds:g} s for {doing}.", name) from error
            if self._link.is_lost():
                raise DeviceLost(f"{self._link.name} broke during {doing}.", name) from error
            reason = getattr(error, "strerror", None) or str(error)
            if isinstance(error, EOFError) or any(words in reason.lower() for words in _BROKEN_OFF):
                raise DeviceLost(f"{name} broke off {doing}: run this again.", name) from error
            raise DeviceError(f"{name} refused {doing} ({escape(reason, 200)}).", name) from error
        finally:
            timer.cancel()

    def _start(self, argv: Sequence[str]) -> paramiko.Channel:
        with self._within(self._limits.channel_s, f"starting {argv[0]!r}"):
            channel = bounded(self._link.client.open_session(timeout=self._limits.channel_s))
            channel.exec_command(quote(argv))
        return channel

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> CommandResult:
        """As Transport.run."""
        deadline = time.monotonic() + timeout_s
        channel = self._start(argv)
        try:
            with self._within(timeout_s, f"the input of {argv[0]!r}"):
                channel.settimeout(timeout_s)
                try:
                    for start in range(0, len(stdin), _CHUNK_BYTES):
                        channel.sendall(stdin[start : start + _CHUNK_BYTES])
                    channel.shutdown_write()
                except (OSError, EOFError):
                    # a program that ended without reading all of it says by its status how it went
                    if not channel.exit_status_ready() or channel.recv_exit_status() < 0:
                        raise
            return collect(channel, self._link, argv[0], deadline)
        finally:
            close(channel)

    def open(self, argv: Sequence[str]) -> SSHChannel:
        """As Transport.open."""
        return SSHChannel(self._start(argv), self._link, self._sending)

    def _sending(self) -> contextlib.AbstractContextManager[None]:
        return self._within(self._limits.channel_s, "taking a request")

    def _files(self) -> paramiko.SFTPClient:
        if self._sftp is None:
            channel = bounded(self._link.client.open_session(timeout=self._limits.channel_s))
            channel.invoke_subsystem("sftp")
            self._sftp = paramiko.SFTPClient(channel)
        return self._sftp

    def put(self, data: bytes, remote: str) -> None:
        """As Transport.put; the limit is for the whole file."""
        temporary = f"{remote}.{os.getpid()}-{next(self._serial)}.part"
        with self._within(self._limits.transfer_s, f"storing {remote}"):
            sftp = self._files()
            try:
                with sftp.open(temporary, "wb") as file:
                    file.chmod(0o600)
                    file.set_pipelined(True)
                    for start in range(0, len(data), _CHUNK_BYTES):
                        file.write(data[start : start + _CHUNK_BYTES])
                # writes are not waited for one by one: a short file is how a full disk shows
                stored = sftp.stat(temporary).st_size
                if stored != len(data):
                    raise OSError(f"{stored} of {len(data)} bytes arrived; is its disk full?")
                sftp.posix_rename(temporary, remote)
            except OSError:
                with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                    sftp.remove(temporary)
                raise

    def exists(self, remote: str) -> bool:
        """As Transport.exists."""
        with self._within(self._limits.channel_s, f"looking for {remote}"):
            try:
                self._files().stat(remote)
            except FileNotFoundError:
                return False
            return True

    def close(self) -> None:
        """As Transport.close."""
        self._link.close()
