"""One agent at a time on a board: a locked file, with a text about its holder for whoever finds it taken.

The lock says whether the board is taken; the text says by whom, and until when that is to be believed. Times are those
of CLOCK_BOOTTIME, which nobody sets and which goes on while the board sleeps.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import Any, Dict, Optional

from . import processes

BUSY_EXIT = 75
"""Exit status where somebody else holds the board (EX_TEMPFAIL of sysexits)."""

RENEW_S = 15.0
USUAL_TTL_S = 90.0
MOST_TTL_S = 86400.0
MOST_TEXT_BYTES = 4096

OWNER_FIELDS = ("host", "user", "owner", "pid", "start")
"""What the host tells about itself; `pid` and `start` are of its own process."""


def boot_clock() -> float:
    """Seconds since the board booted."""
    return round(time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)), 3)


def read(path: str) -> Dict[str, Any]:
    """What a lease's file says; {} where it says nothing that could be understood."""
    for _ in range(3):  # it is rewritten in place: a reader may meet it half written
        try:
            with open(path, "rb") as file:
                found = json.loads(file.read(MOST_TEXT_BYTES).decode("utf-8"))
        except (OSError, ValueError, RecursionError):
            time.sleep(0.02)
            continue
        return found if isinstance(found, dict) else {}
    return {}


def holder(path: str) -> Dict[str, Any]:
    """What a lease's file says, and whether its time is up by this board's clock ("now_s", "expired")."""
    found = read(path)
    now = boot_clock()
    try:
        expired = now > float(found["renewed_s"]) + float(found["ttl_s"])
    except (KeyError, TypeError, ValueError):
        expired = False  # a lock without a text: its holder has just begun, or its disk is full
    return dict(found, now_s=now, expired=expired)


def _short(value: Any) -> Any:
    return value[:200] if isinstance(value, str) else value if isinstance(value, int) else None


def _ttl_s(value: Any) -> float:
    """A time to live that leaves time to renew it; the usual one where the owner asks for none."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < MOST_TTL_S:
        return USUAL_TTL_S
    return max(2 * RENEW_S, float(value))


class Lease:
    """A lease that is held as long as the process lives and has not given it back.

    Attributes:
        number: the locked descriptor; a process forked with it holds the lease as well.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._text: Dict[str, Any] = {}
        self._renew_at = 0.0

    @classmethod
    def take(cls, path: str) -> Optional[Lease]:
        """The lease, or None where somebody holds it; OSError where its file cannot be had."""
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(number)
            return None
        except BaseException:
            os.close(number)
            raise
        return cls(number)

    def describe(self, owner: Dict[str, Any], session: str) -> None:
        """Write who holds it: this process, for `owner` and `session`."""
        pid = os.getpid()
        self._text = dict(
            {name: _short(owner.get(name)) for name in OWNER_FIELDS},
            session=session,
            agent_pid=pid,
            agent_start=processes.start_of(pid),
            boot_id=processes.boot_id(),
            since=self._text.get("since") or time.strftime("%Y-%m-%dT%H:%M:%S%z"),  # for people only
            ttl_s=_ttl_s(owner.get("ttl_s")),
        )
        self._renew()

    def renew_at(self) -> float:
        """When, by time.monotonic, `renew_if_due` has something to do."""
        return self._renew_at

    def renew_if_due(self) -> None:
        """Write the time, as often as it takes for nobody to believe that this process hangs."""
        if time.monotonic() >= self._renew_at:
            self._renew()

    def _renew(self) -> None:
        self._renew_at = time.monotonic() + RENEW_S
        text = json.dumps(dict(self._text, renewed_s=boot_clock())).encode("utf-8") + b"\n"
        try:
            os.pwrite(self.number, text, 0)
            os.ftruncate(self.number, len(text))
        except OSError:  # the disk is full: the lock holds without words
            pass

    def close(self) -> None:
        """Give it back, unless a forked process holds it too."""
        os.close(self.number)
