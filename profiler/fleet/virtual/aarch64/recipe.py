"""What the board's system is made of."""

from __future__ import annotations

import hashlib
import json

__all__ = ["ACCOUNTS", "ARCHITECTURE", "HOME", "PACKAGES", "UID", "USER", "digest"]

ARCHITECTURE = "arm64"

PACKAGES: tuple[str, ...] = (
    "base-files",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "gzip",
    "libgcc-s1",
    "libstdc++6",
    "openssh-server",
    "python3",
    "sed",
    "tar",
)
"""With all that they depend on; what a small board image has, and no package installer."""

USER = "edgecost"
UID = 61_000
"""Belongs to nobody on usual systems: the board's user must own nothing on this machine but the board's home."""

HOME = f"/home/{USER}"

# packages are unpacked and none of their scripts is run, so that the accounts they would make are written here
ACCOUNTS: dict[str, str] = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/usr/sbin/nologin\n"
        "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
        f"{USER}:x:{UID}:{UID}::{HOME}:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    ),
    "etc/group": f"root:x:0:\n{USER}:x:{UID}:\nnogroup:x:65534:\n",
    "etc/shadow": f"root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n{USER}:*:19000:0:99999:7:::\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/hostname": "qemu-aarch64\n",
}
"""Files that packages leave to their installation scripts."""

_LAYOUT = 1
"""Raised when the way of unpacking changes, so that roots of the old way are not taken for new ones."""


def digest(release: str) -> str:
    """Names the root that is built from this recipe and a release of the distribution."""
    parts = [_LAYOUT, release, ARCHITECTURE, PACKAGES, ACCOUNTS]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
