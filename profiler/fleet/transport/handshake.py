"""The first words with an SSH server: reach it, see its key, show it ours. No passwords, no agent, no forwarding."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko

from profiler.errors import AuthenticationFailed, ConfigError, DeviceLost, DeviceTimeout, Unreachable
from profiler.fleet.messages import escape
from profiler.fleet.transport import hostkeys
from profiler.fleet.transport.endpoint import Endpoint
from profiler.fleet.transport.window import BoundedPacketizer

__all__ = ["Limits", "authenticate", "greet", "identities", "reach"]

# without a handler, Python prints paramiko's tracebacks of refused connections to stderr beside our own sentence
logging.getLogger("paramiko").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a server has for each step.

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


def identities(server: Endpoint) -> list[paramiko.PKey]:
    """The private keys to offer.

    Raises:
        ConfigError: there is none that can be used.
    """
    paths = [Path(server.identity_file).expanduser()] if server.identity_file else hostkeys.default_identities()
    if not paths:
        raise ConfigError(
            f"No `identity_file` is named for {server.name} and there is no key in ~/.ssh: "
            "make one with `ssh-keygen -t ed25519` and add its public half to authorized_keys there."
        )
    keys = []
    for path in paths:
        try:
            keys.append(paramiko.PKey.from_path(path))
        except (OSError, ValueError, TypeError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
            if server.identity_file:
                raise ConfigError(_unusable(server, path, error)) from error
    if not keys:
        raise ConfigError(_unusable(server, paths[0], None))
    return keys


def _unusable(server: Endpoint, path: Path, error: Exception | None) -> str:
    if isinstance(error, OSError):
        reason = str(error.strerror)
    elif error is None or isinstance(error, (paramiko.PasswordRequiredException, TypeError)):
        reason = "it has a passphrase, and nobody is there to type it"
    else:
        reason = "it is no private key of a kind we know"
    return (
        f"The private key {path} for {server.name} cannot be used: {reason}; "
        f"correct `identity_file` in {server.section}."
    )


def reach(server: Endpoint, limits: Limits) -> socket.socket:
    """A TCP connection.

    Raises:
        Unreachable: nothing answers there.
    """
    try:
        link = socket.create_connection((server.host, server.port), timeout=limits.connect_s)
    except TimeoutError as error:
        raise Unreachable(
            f"No answer from {server.where} within {limits.connect_s:g} s: {advice(server)}.", server.device_id
        ) from error
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that cannot be encoded
        reason = getattr(error, "strerror", None) or str(error)
        raise Unreachable(f"Cannot reach {server.where} ({reason}): {advice(server)}.", server.device_id) from error
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.dead_peer_s * 1000))
    return link


def advice(server: Endpoint) -> str:
    """What to look at when nothing sensible answers."""
    owner = "that it" if server.is_jump else "that the board"
    return f"check {owner} is on, and its `host` and `port` in {server.section}"


def greet(link: socket.socket | paramiko.Channel, server: Endpoint, limits: Limits) -> paramiko.Transport:
    """Agree on keys with what is at the other end of `link`, which is closed when this fails.

    Raises:
        Unreachable, DeviceTimeout: it is no SSH server, or says nothing.
    """
    client = paramiko.Transport(link, packetizer_class=BoundedPacketizer)
    # longer than the limit below, so that it is this one which ends a silent peer
    client.banner_timeout = client.handshake_timeout = limits.handshake_s + 5.0
    client.auth_timeout = limits.auth_s
    client.channel_timeout = limits.channel_s
    ready = threading.Event()
    try:
        options = client.get_security_options()
        options.key_types = hostkeys.preferred_key_types(server, tuple(options.key_types))
        client.start_client(event=ready)
        if not ready.wait(limits.handshake_s):
            raise DeviceTimeout(
                f"{server.where} accepted a connection, then said nothing for {limits.handshake_s:g} s.",
                server.device_id,
            )
        if not client.is_active():
            reason = escape(str(client.get_exception() or "") or "it closed the connection", 200)
            raise Unreachable(
                f"What answers at {server.where} is no SSH server that we can talk to ({reason}): {advice(server)}.",
                server.device_id,
            )
    except BaseException:
        client.close()
        link.close()
        raise
    return client


def authenticate(server: Endpoint, client: paramiko.Transport, keys: Sequence[paramiko.PKey], limits: Limits) -> None:
    """Show our keys to a server whose own key was accepted, until one is admitted.

    Raises:
        AuthenticationFailed: none is.
        DeviceTimeout, DeviceLost: it does not answer.
    """
    where = f"{server.user}@{server.host}:{server.port} ({server.name})"
    for key in keys:
        try:
            client.auth_publickey(server.user, key)
            if client.is_authenticated():
                return
        except paramiko.BadAuthenticationType:
            raise AuthenticationFailed(
                f"{where} takes no keys: correct `user` in {server.section}, or set `PubkeyAuthentication yes` in its "
                "sshd_config.",
                server.device_id,
            ) from None
        except paramiko.AuthenticationException as error:
            # paramiko tells a timeout apart by its text alone
            if "timeout" in str(error).lower():
                raise DeviceTimeout(
                    f"{where} did not judge our key within {limits.auth_s:g} s.", server.device_id
                ) from error
            if "shut down" in str(error).lower():  # a broken link, and not a word about the key
                raise DeviceLost(f"{where} broke the link while judging our key.", server.device_id) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise DeviceLost(
                f"{where} broke the link while judging our key ({escape(str(error), 200)}).", server.device_id
            ) from error
    offered = ", ".join(key.fingerprint for key in keys)
    raise AuthenticationFailed(
        f"{where} refuses our key ({offered}): add its public half to ~/.ssh/authorized_keys there, "
        f"or correct `user` and `identity_file` in {server.section}.",
        server.device_id,
    )
