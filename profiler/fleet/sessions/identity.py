"""Who is asking: this host, its user and this process, in words that a board can keep and another host compare."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import secrets
import socket
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from profiler.fleet.targets import Device

__all__ = ["host_id", "is_dead", "owner_json", "owner_name", "passing_session_id", "process_start", "session_id"]

_MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


@cache
def host_id() -> str:
    """Tells hosts apart: 16 hexadecimal digits, the same after a reboot.

    The host's name goes in beside the machine id, which clones of one disk image and containers have in common.
    """
    words = [socket.gethostname()]
    for path in _MACHINE_IDS:
        try:
            words.append(path.read_text(encoding="ascii").strip())
            break
        except (OSError, ValueError):
            continue
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def session_id(device: Device, results_dir: Path, run_id: str) -> str:
    """The name of the board's journal for one run: the same whenever the same user here goes on with that run."""
    parts = [host_id(), str(os.getuid()), str(results_dir.absolute()), device.id, run_id]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def passing_session_id() -> str:
    """The name of a session that nobody will come back to."""
    return secrets.token_hex(16)


def owner_name() -> str:
    """Such as "alice@laptop", for people."""
    return f"{_user()}@{socket.gethostname()}"


def owner_json() -> str:
    """Who holds a board's lease, for its lease file: one line."""
    value = {
        "host": host_id(),
        "user": _user(),
        "owner": owner_name(),
        "pid": os.getpid(),
        "start": process_start(os.getpid()) or "",
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return json.dumps(value)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in many containers
        return str(os.getuid())


def process_start(pid: int) -> str | None:
    """When a process started: text to compare, not to read. None when there is no such process.

    On Linux its words are the boot, the namespace of process numbers, and the kernel's count.
    """
    try:
        # the 22nd field, counted after the name in parentheses, which may itself hold spaces and parentheses
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        if fields[0] == "Z":
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')} {fields[19]}"
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return None
    # systems without /proc
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def is_dead(pid: int, start: str) -> bool:
    """Whether a process of this host, described by its `process_start`, is known to be gone.

    One of another namespace (a container beside this one) cannot be seen from here and counts as alive.
    """
    here = (process_start(os.getpid()) or "").split()
    then = start.split()
    if not start or len(here) != len(then):
        return False
    if len(then) == 3 and here[0] == then[0] and here[1] != then[1]:
        return False
    return process_start(pid) != start
