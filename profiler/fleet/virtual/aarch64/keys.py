"""The board's keys: its own and the one that it admits, made once."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from profiler.errors import ConfigError
from profiler.fleet.inventory.yamltext import write_atomically

__all__ = ["fingerprint", "public_key"]


def public_key(path: Path) -> str:
    """The public half of the private key at `path` ("ssh-ed25519 AAAA..."), which is made (0600) when it is missing.

    Raises:
        ConfigError: what is there is no such key.
        StorageError: it cannot be written.
    """
    if path.exists():
        try:
            key = load_ssh_private_key(path.read_bytes(), password=None)
        except ValueError as error:
            raise ConfigError(f"{path} is no private key: delete it, and a new one will be made.") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"{path} is no ed25519 key: delete it, and a new one will be made.")
    else:
        key = Ed25519PrivateKey.generate()
        text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode("ascii")
        write_atomically(path, text, mode=0o600)
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")


def fingerprint(public: str) -> str:
    """A public key's fingerprint as devices.yaml has it: "SHA256:..."."""
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")
