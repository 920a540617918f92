"""The transport protocol over SSH: keys only, host keys checked before anything is said, a time limit on every wait.

paramiko waits without a limit for several of a server's answers (a command's start, a subsystem's start, a full send
buffer). Whatever may wait so runs under `_within`, which breaks the link when the time is up: a board that has gone
silent costs seconds, never an evening.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko

from profiler.errors import AuthenticationFailed, ConfigError, DeviceError, DeviceLost, DeviceTimeout, Unreachable
from profiler.fleet.messages import escape
from profiler.fleet.targets import Device
from profiler.fleet.transport import hostkeys
from profiler.fleet.transport.base import CommandResult, quote
from profiler.fleet.transport.ssh_channel import SSHChannel, collect

__all__ = ["Limits", "SSHTransport", "connect", "fetch_fingerprint"]

# without a handler, Python prints paramiko's tracebacks of refused connections to stderr beside our own sentence
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_CHUNK_BYTES = 32768


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a board has for each step.

    Attributes:
        connect_s: to accept the TCP connection.
        handshake_s: to name itself and agree on a key.
        auth_s: to judge one of our keys.
        channel_s: to open a channel and start a command in it, and to take what is sent to it.
        transfer_s: to take one file.
        keepalive_s: between signs of life that we send while idle.
        dead_peer_s: to acknowledge anything at all at TCP level (where the system lets us set it).
    """

    connect_s: float = 10.0
    handshake_s: float = 15.0
    auth_s: float = 20.0
    channel_s: float = 15.0
    transfer_s: float = 120.0
    keepalive_s: float = 15.0
    dead_peer_s: float = 45.0


def connect(device: Device, limits: Limits | None = None) -> SSHTransport:
    """Reach a board, check who it is, and show it our key.

    Raises:
        Unreachable, DeviceTimeout, HostKeyMismatch, AuthenticationFailed: see profiler.errors.
        ConfigError: `identity_file` or `known_hosts` cannot be read.
    """
    limits = limits or Limits()
    identities = _identities(device)
    client = _handshake(device, limits)
    try:
        hostkeys.verify(device, client.get_remote_server_key())
        _authenticate(device, client, identities, limits)
    except BaseException:
        client.close()
        raise
    client.set_keepalive(int(limits.keepalive_s))
    return SSHTransport(device, client, limits)


def fetch_fingerprint(device: Device, limits: Limits | None = None) -> str:
    """The "SHA256:..." fingerprint of the key that the board shows now: not trusted yet, and shown no key of ours."""
    client = _handshake(device, limits or Limits())
    try:
        return str(client.get_remote_server_key().fingerprint)
    finally:
        client.close()


def _identities(device: Device) -> list[paramiko.PKey]:
    paths = [Path(device.identity_file).expanduser()] if device.identity_file else hostkeys.default_identities()
    if not paths:
        raise ConfigError(
            f"Device {device.id!r} names no `identity_file` and there is no key in ~/.ssh: "
            "make one with `ssh-keygen -t ed25519` and add its public half to the board's authorized_keys."
        )
    keys = []
    for path in paths:
        try:
            keys.append(paramiko.PKey.from_path(path))
        except (OSError, ValueError, TypeError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
            if device.identity_file:
                raise ConfigError(_unusable(device, path, error)) from error
    if not keys:
        raise ConfigError(_unusable(device, paths[0], None))
    return keys


def _unusable(device: Device, path: Path, error: Exception | None) -> str:
    if isinstance(error, OSError):
        reason = str(error.strerror)
    elif error is None or isinstance(error, (paramiko.PasswordRequiredException, TypeError)):
        reason = "it has a passphrase, and nobody is there to type it"
    else:
        reason = "it is no private key of a kind we know"
    return (
        f"The private key {path} of device {device.id!r} cannot be used: {reason}; "
        "correct `identity_file` in devices.yaml."
    )


def _handshake(device: Device, limits: Limits) -> paramiko.Transport:
    where = f"{device.id} ({device.host}:{device.port})"
    check = "check that the board is on, and its `host` and `port` in devices.yaml"
    try:
        link = socket.create_connection((device.host, device.port), timeout=limits.connect_s)
    except TimeoutError as error:
        raise Unreachable(f"No answer from {where} within {limits.connect_s:g} s: {check}.", device.id) from error
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that cannot be encoded
        reason = getattr(error, "strerror", None) or str(error)
        raise Unreachable(f"Cannot reach {where} ({reason}): {check}.", device.id) from error
    _detect_dead_peer(link, limits)
    client = paramiko.Transport(link)
    # longer than the limit below, so that it is this one which ends a silent peer
    client.banner_timeout = client.handshake_timeout = limits.handshake_s + 5.0
    client.auth_timeout = limits.auth_s
    client.channel_timeout = limits.channel_s
    ready = threading.Event()
    try:
        options = client.get_security_options()
        options.key_types = hostkeys.preferred_key_types(device, tuple(options.key_types))
        client.start_client(event=ready)
        if not ready.wait(limits.handshake_s):
            raise DeviceTimeout(
                f"{where} accepted a connection, then said nothing for {limits.handshake_s:g} s.", device.id
            )
        if not client.is_active():
            reason = escape(str(client.get_exception() or "it closed the connection"), 200)
            raise Unreachable(
                f"What answers at {where} is no SSH server that we can talk to ({reason}): {check}.", device.id
            )
    except BaseException:
        client.close()
        link.close()
        raise
    return client


def _detect_dead_peer(link: socket.socket, limits: Limits) -> None:
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.dead_peer_s * 1000))


def _authenticate(
    device: Device, client: paramiko.Transport, identities: Sequence[paramiko.PKey], limits: Limits
) -> None:
    where = f"{device.user}@{device.host}:{device.port} ({device.id})"
    for key in identities:
        try:
            client.auth_publickey(device.user, key)
            if client.is_authenticated():
                return
        except paramiko.BadAuthenticationType:
            raise AuthenticationFailed(
                f"{where} takes no keys: correct `user` in devices.yaml, or set `PubkeyAuthentication yes` in the "
                "board's sshd_config.",
                device.id,
            ) from None
        except paramiko.AuthenticationException as error:
            # paramiko tells a timeout apart by its text alone
            if "timeout" in str(error).lower():
                raise DeviceTimeout(f"{where} did not judge our key within {limits.auth_s:g} s.", device.id) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise DeviceLost(f"{where} broke the link while judging our key ({error}).", device.id) from error
    offered = ", ".join(key.fingerprint for key in identities)
    raise AuthenticationFailed(
        f"{where} refuses our key ({offered}): add its public half to ~/.ssh/authorized_keys there, "
        "or correct `user` and `identity_file` in devices.yaml.",
        device.id,
    )


class SSHTransport:
    """A link to one board over SSH; made by `connect`."""

    def __init__(self, device: Device, client: paramiko.Transport, limits: Limits) -> None:
        self._device = device
        self._client = client
        self._limits = limits
        self._sftp: paramiko.SFTPClient | None = None
        self._serial = itertools.count()

    @contextlib.contextmanager
    def _within(self, seconds: float, doing: str) -> Iterator[None]:
        """Turn paramiko's errors into ours, and break the link when this takes longer than `seconds`."""
        expired = threading.Event()

        def cut() -> None:
            expired.set()
            self._client.close()

        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (paramiko.SSHException, EOFError, OSError) as error:
            name = self._device.id
            if expired.is_set() or isinstance(error, TimeoutError) or "timeout" in str(error).lower():
                raise DeviceTimeout(f"{name} took longer than {seconds:g} s for {doing}.", name) from error
            if not self._client.is_active():
                raise DeviceLost(f"The link to {name} broke during {doing}.", name) from error
            reason = getattr(error, "strerror", None) or str(error)
            raise DeviceError(f"{name} refused {doing} ({escape(reason, 200)}).", name) from error
        finally:
            timer.cancel()

    def _start(self, argv: Sequence[str]) -> paramiko.Channel:
        with self._within(self._limits.channel_s, f"starting {argv[0]!r}"):
            channel = self._client.open_session(timeout=self._limits.channel_s)
            channel.exec_command(quote(argv))
        return channel

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> CommandResult:
        """As Transport.run."""
        deadline = time.monotonic() + timeout_s
        channel = self._start(argv)
        try:
            with self._within(timeout_s, f"the input of {argv[0]!r}"):
                channel.settimeout(timeout_s)
                for start in range(0, len(stdin), _CHUNK_BYTES):
                    channel.sendall(stdin[start : start + _CHUNK_BYTES])
                channel.shutdown_write()
            return collect(channel, self._client, self._device.id, argv[0], deadline)
        finally:
            channel.close()

    def open(self, argv: Sequence[str]) -> SSHChannel:
        """As Transport.open."""
        return SSHChannel(self._start(argv), self._client, self._device.id, self._sending)

    def _sending(self) -> contextlib.AbstractContextManager[None]:
        return self._within(self._limits.channel_s, "taking a request")

    def _files(self) -> paramiko.SFTPClient:
        if self._sftp is None:
            self._sftp = paramiko.SFTPClient.from_transport(self._client)
        if self._sftp is None:  # the stub's idea of from_transport; it raises instead
            raise paramiko.SSHException("no SFTP")
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
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            self._client.close()
