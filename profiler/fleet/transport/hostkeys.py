"""Whether the key a board shows is the key we know: pinned fingerprints, known_hosts files, and nothing else."""

from __future__ import annotations

import binascii
import os
from pathlib import Path

import paramiko

from profiler.errors import ConfigError, HostKeyMismatch
from profiler.fleet.transport.endpoint import Endpoint

__all__ = ["default_identities", "describe", "known_keys", "preferred_key_types", "verify"]

_SIGNATURES_OF_RSA = ("rsa-sha2-512", "rsa-sha2-256")


def describe(key: paramiko.PKey) -> str:
    """Such as "ssh-ed25519 SHA256:..."."""
    return f"{key.get_name()} {key.fingerprint}"


def known_keys(server: Endpoint) -> tuple[list[paramiko.PKey], list[paramiko.PKey]]:
    """The keys that the server's known_hosts file accepts for it, and those that it marks as revoked.

    paramiko's own reader passes over "@revoked" lines, so that a revoked key which is also listed plainly would be
    accepted; here they are read and refused.

    Raises:
        ConfigError: the file that devices.yaml names is missing or cannot be read.
    """
    path = Path(server.known_hosts or "~/.ssh/known_hosts").expanduser()
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        if server.known_hosts is None and isinstance(error, FileNotFoundError):
            return [], []
        raise ConfigError(
            f"The known_hosts file {path} of {server.name} cannot be read ({error.strerror}): "
            f"correct `known_hosts` in {server.section}, or pin the key there as `host_key`."
        ) from error
    accepted, revoked = paramiko.HostKeys(), paramiko.HostKeys()
    for line in lines:
        marker, _, rest = line.strip().partition(" ")
        _add(revoked if marker == "@revoked" else accepted, rest if marker == "@revoked" else line)
    return _lookup(accepted, server), _lookup(revoked, server)


def _add(keys: paramiko.HostKeys, line: str) -> None:
    line = line.strip()
    if not line or line.startswith(("#", "@")):
        return
    try:
        entry = paramiko.hostkeys.HostKeyEntry.from_line(line)
    except (paramiko.hostkeys.InvalidHostKey, paramiko.SSHException, binascii.Error, ValueError, UnicodeError):
        return  # a line that cannot be read accepts nobody, so it is safe to pass over
    if entry is None or entry.key is None:
        return
    for name in entry.hostnames or ():
        keys.add(name, entry.key.get_name(), entry.key)


def _lookup(keys: paramiko.HostKeys, server: Endpoint) -> list[paramiko.PKey]:
    # OpenSSH writes "[host]:port" for every port but 22
    name = server.host if server.port == 22 else f"[{server.host}]:{server.port}"
    found = keys.lookup(name)
    return [key for key in found.values() if key is not None] if found is not None else []


def preferred_key_types(server: Endpoint, offered: tuple[str, ...]) -> tuple[str, ...]:
    """`offered` (all that we can do) with the types first that we know of this server.

    A server has several host keys and shows one: it must be asked for the one that is known.
    """
    if server.host_key is not None:
        return offered
    known: list[str] = []
    for key in known_keys(server)[0]:
        known += _SIGNATURES_OF_RSA if key.get_name() == "ssh-rsa" else (key.get_name(),)
    return tuple(sorted(offered, key=lambda name: name not in known))


def verify(server: Endpoint, key: paramiko.PKey) -> None:
    """Accept the key that a server showed, or raise HostKeyMismatch; nothing is ever remembered by itself."""
    where, owner = server.where, "the jump host" if server.is_jump else "the board"
    changed = f"if {owner} was set up anew, accept it with {server.trust}; otherwise another machine may be answering."
    if server.host_key is not None:
        if key.fingerprint != server.host_key:
            raise HostKeyMismatch(
                f"The host key of {where} has changed: {server.host_key} is pinned and it shows {describe(key)}; "
                f"{changed}",
                server.device_id,
            )
        return
    accepted, revoked = known_keys(server)
    if any(key.asbytes() == other.asbytes() for other in revoked):
        raise HostKeyMismatch(
            f"The host key of {where}, {describe(key)}, is marked @revoked in known_hosts: do not connect.",
            server.device_id,
        )
    if any(key.asbytes() == other.asbytes() for other in accepted):
        return
    if accepted:
        names = ", ".join(describe(other) for other in accepted)
        raise HostKeyMismatch(
            f"The host key of {where} has changed: known_hosts has {names} and it shows {describe(key)}; {changed}",
            server.device_id,
        )
    raise HostKeyMismatch(
        f"The host key of {where} is unknown: it shows {describe(key)}; compare that with `ssh-keygen -lf` on "
        f"{owner}, then accept it with {server.trust}.",
        server.device_id,
    )


def default_identities() -> list[Path]:
    """The user's own private keys, newest kind first, that exist."""
    folder = Path("~/.ssh").expanduser()
    names = ("id_ed25519", "id_ecdsa", "id_rsa")
    return [folder / name for name in names if os.access(folder / name, os.R_OK)]
