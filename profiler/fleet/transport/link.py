"""The way to a board: one SSH connection, or a second one inside a first to its jump host.

Both servers are verified and shown a key in the same manner; nothing but the second connection is forwarded.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass

import paramiko

from profiler.errors import DeviceError, DeviceLost, DeviceTimeout, Unreachable
from profiler.fleet.messages import escape
from profiler.fleet.targets import Device
from profiler.fleet.transport import handshake, hostkeys
from profiler.fleet.transport.endpoint import Endpoint, board_of, jump_of
from profiler.fleet.transport.handshake import Limits

__all__ = ["HostKey", "Link", "fetch_host_key", "open_link"]

_PROHIBITED, _CONNECT_FAILED = 1, 2
"""Of RFC 4254's reasons why a channel is not opened."""


class Link:
    """An admitted connection to a board, and the one that it runs through, if any.

    Args:
        board: the server at its end.
        client: the connection to it.
        outer: the jump host and the connection to that.
    """

    def __init__(
        self, board: Endpoint, client: paramiko.Transport, outer: tuple[Endpoint, paramiko.Transport] | None = None
    ) -> None:
        self.device_id = board.device_id
        self.client = client
        self._outer = outer

    def is_active(self) -> bool:
        """Whether the board can still be talked to."""
        return self.client.is_active()

    def is_lost(self) -> bool:
        """As `not is_active()`, for a moment when channels have ended."""
        self.client.join(0.2)  # a dying transport closes its channels a moment before it calls itself inactive
        return not self.client.is_active()

    @property
    def name(self) -> str:
        """What to call the link: that to the jump host where it is this one which has broken."""
        if self._outer is not None and not self._outer[1].is_active():
            return f"The link to {self._outer[0].where}"
        return f"The link to {self.device_id}"

    def close(self) -> None:
        """Break it; never raises, may be called twice."""
        # the outer one first: the inner one's thread may wait for it to take bytes
        for client in (self._outer[1] if self._outer else None, self.client):
            with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
                if client is not None:
                    client.close()


def open_link(device: Device, limits: Limits) -> Link:
    """Reach a board, through its jump host if it has one; check who each is, and show each our key.

    Raises:
        Unreachable, DeviceTimeout, HostKeyMismatch, AuthenticationFailed, DeviceLost: which says of which of the two.
        ConfigError: a key file cannot be read.
    """
    board, jump = board_of(device), jump_of(device)
    keys = handshake.identities(board)  # a key that is missing is found before anybody is disturbed
    outer = None
    if jump is not None:
        outer = (jump, _admitted(jump, handshake.identities(jump), limits))
    try:
        return Link(board, _admitted(board, keys, limits, outer), outer)
    except BaseException:
        if outer is not None:
            outer[1].close()
        raise


@dataclass(frozen=True, slots=True)
class HostKey:
    """What a server shows of itself.

    Attributes:
        kind: such as "ssh-ed25519".
        fingerprint: "SHA256:...".
    """

    kind: str
    fingerprint: str


def fetch_host_key(device: Device, limits: Limits | None = None, *, of_jump: bool = False) -> HostKey:
    """The key that the board, or its jump host, shows now: not trusted yet, and shown no key of ours.

    The jump host on the way to a board must be known already.

    Raises:
        Unreachable, DeviceTimeout, HostKeyMismatch, AuthenticationFailed: as `open_link`.
    """
    limits = limits or Limits()
    board, jump = board_of(device), jump_of(device)
    outer = None
    if of_jump and jump is not None:
        board, jump = jump, None
    if jump is not None:
        outer = (jump, _admitted(jump, handshake.identities(jump), limits))
    try:
        client = _greeted(board, limits, outer)
        try:
            key = client.get_remote_server_key()
            return HostKey(key.get_name(), str(key.fingerprint))
        finally:
            client.close()
    finally:
        if outer is not None:
            outer[1].close()


def _admitted(
    server: Endpoint,
    keys: list[paramiko.PKey],
    limits: Limits,
    outer: tuple[Endpoint, paramiko.Transport] | None = None,
) -> paramiko.Transport:
    client = _greeted(server, limits, outer)
    try:
        hostkeys.verify(server, client.get_remote_server_key())
        handshake.authenticate(server, client, keys, limits)
    except BaseException:
        client.close()
        raise
    client.set_keepalive(int(limits.keepalive_s))
    return client


def _greeted(
    server: Endpoint, limits: Limits, outer: tuple[Endpoint, paramiko.Transport] | None = None
) -> paramiko.Transport:
    if outer is None:
        return handshake.greet(handshake.reach(server, limits), server, limits)
    try:
        return handshake.greet(_forwarded(server, limits, *outer), server, limits)
    except (Unreachable, DeviceTimeout) as error:
        if outer[1].is_active():
            raise
        raise DeviceLost(f"The link to {outer[0].where} broke: run this again.", server.device_id) from error


def _forwarded(server: Endpoint, limits: Limits, jump: Endpoint, client: paramiko.Transport) -> paramiko.Channel:
    """A connection from the jump host to the board."""
    # paramiko's own limit does not cover the sending of the request
    timer = threading.Timer(limits.channel_s + 1.0, client.close)
    timer.daemon = True
    timer.start()
    try:
        return client.open_channel(
            "direct-tcpip", (server.host, server.port), ("127.0.0.1", 0), timeout=limits.channel_s
        )
    except paramiko.ChannelException as error:
        raise _refused(server, jump, error) from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        if "timeout" in str(error).lower() or timer.finished.is_set():
            raise DeviceTimeout(
                f"{jump.where} did not connect us with {server.where} within {limits.channel_s:g} s: check that the "
                "board is on and that the jump host can reach it.",
                server.device_id,
            ) from error
        raise DeviceLost(
            f"The link to {jump.where} broke ({escape(str(error), 200)}): run this again.", server.device_id
        ) from error
    finally:
        timer.cancel()


def _refused(server: Endpoint, jump: Endpoint, error: paramiko.ChannelException) -> DeviceError:
    if error.code == _PROHIBITED:
        return DeviceError(
            f"{jump.where} does not forward connections to {server.host}:{server.port}: set `AllowTcpForwarding yes` "
            "(and `PermitOpen`, where it is used) in its sshd_config, or correct `jump` in devices.yaml.",
            server.device_id,
        )
    reason = "" if error.code == _CONNECT_FAILED else f" (reason {error.code})"
    return Unreachable(
        f"{jump.where} works, and cannot reach {server.where} from there{reason}: {handshake.advice(server)}, as seen "
        "from the jump host.",
        server.device_id,
    )
