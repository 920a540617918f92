"""One job at a time: a lock on this host for boards that share a machine, one on the board against other hosts."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import hashlib
import os
import re
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from profiler.errors import DeviceBusy, StorageError

__all__ = ["BOARD_LEASE", "BUSY_EXIT", "machine_lease", "owner_text"]

BUSY_EXIT = 75
"""Exit status of BOARD_LEASE when somebody else holds the board (EX_TEMPFAIL of sysexits)."""

BOARD_LEASE = f"""\
import fcntl, os, sys, time
path, owner, wait_s = sys.argv[1], sys.argv[2], float(sys.argv[3])
lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
end = time.monotonic() + wait_s
while True:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        break
    except BlockingIOError:
        if time.monotonic() >= end:
            sys.stderr.write(os.pread(lock, 300, 0).decode("utf-8", "replace"))
            sys.exit({BUSY_EXIT})
        time.sleep(0.1)
os.ftruncate(lock, 0)
os.pwrite(lock, owner.encode("utf-8"), 0)
os.set_inheritable(lock, True)
os.execv(sys.executable, [sys.executable, "-u"] + sys.argv[4:])
"""
"""What a board's Python (3.7 or later) runs to take the lease `argv[1]` for the owner `argv[2]`, waiting at most
`argv[3]` seconds, and then to become the agent `argv[4:]`: the lock is the agent's, and ends when it ends, however."""

_POLL_S = 0.05


def owner_text(purpose: str) -> str:
    """Who holds a lease, for whoever finds it taken."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return f"{purpose} of {_user()}@{socket.gethostname()} (process {os.getpid()}, since {now})"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in many containers
        return str(os.getuid())


@contextlib.contextmanager
def machine_lease(machine: str, purpose: str, *, wait_s: float, folder: Path | None = None) -> Iterator[None]:
    """Hold this host's lease on a machine; boards that share one wait here for their turn.

    The lock is a file below the system's temporary folder: it excludes other processes and threads of this user on this
    host, and vanishes with its holder, even a killed one.

    Raises:
        DeviceBusy: somebody held it for all of `wait_s`; the message names them.
        StorageError: the lock's folder cannot be written.
    """
    path = _lock_path(machine, folder)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StorageError(
            f"The lease {path} cannot be written: {error.strerror}; set TMPDIR to another folder."
        ) from error
    try:
        _take(descriptor, machine, wait_s)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner_text(purpose).encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)  # which releases it


def _take(descriptor: int, machine: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                owner = os.pread(descriptor, 300, 0).decode("utf-8", "replace") or "another process"
                raise DeviceBusy(
                    f"The machine {machine!r} is in use: {owner}; wait for it, or end it, and run this again.", machine
                ) from None
        time.sleep(_POLL_S)


def _lock_path(machine: str, folder: Path | None) -> Path:
    if folder is None:
        folder = Path(tempfile.gettempdir()) / f"edgecost-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise StorageError(f"The folder of leases {folder} cannot be made: {error.strerror}; set TMPDIR.") from error
    # in a folder that everybody can write to, somebody else may have made this one first
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise StorageError(
            f"The folder of leases {folder} belongs to somebody else: set TMPDIR to a folder of your own."
        )
    name = re.sub(r"[^A-Za-z0-9-]+", "_", machine)[:40]
    return folder / f"{name}-{hashlib.sha256(machine.encode()).hexdigest()[:12]}.lease"
