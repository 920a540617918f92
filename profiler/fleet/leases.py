"""Boards that share a machine take turns: a lock on this host that is held while one of them works.

Against other hosts there is the lease on the board itself, which its agent holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from profiler.errors import DeviceBusy, StorageError
from profiler.fleet.sessions.identity import owner_name

__all__ = ["machine_lease", "owner_text"]

_POLL_S = 0.02


def owner_text(purpose: str) -> str:
    """Who holds a lease, for whoever finds it taken."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return f"{purpose} of {owner_name()} (process {os.getpid()}, since {now})"


@contextlib.contextmanager
def machine_lease(machine: str, purpose: str, *, wait_s: float, folder: Path | None = None) -> Iterator[None]:
    """Hold this host's lease on a machine; boards that share one wait here for their turn.

    The lock is a file below the system's temporary folder: it excludes other processes and threads of this user on this
    host, and vanishes with its holder, even a killed one.

    Raises:
        DeviceBusy: somebody held it for all of `wait_s`; the message names them.
        StorageError: the lock's folder cannot be written.
    """
    deadline = time.monotonic() + wait_s
    path = _lock_path(machine, folder)
    with _opened(path) as lock:
        # who waits stands at the gate: without it, the holder of a moment ago would nearly always be the next one too
        with _opened(path.with_suffix(".gate")) as gate:
            _take(gate, lock, machine, deadline)
            _take(lock, lock, machine, deadline)
        os.ftruncate(lock, 0)
        os.pwrite(lock, owner_text(purpose).encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(lock, 0)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A lock file; closing it releases it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StorageError(
            f"The lease {path} cannot be written: {error.strerror}; set TMPDIR to another folder."
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, lock: int, machine: str, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                owner = os.pread(lock, 300, 0).decode("utf-8", "replace") or "another process"
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
