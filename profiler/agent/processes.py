"""Processes as /proc shows them: which one has a number now, and whether it is the one that had it before."""

from __future__ import annotations

import os
from typing import List, NamedTuple, Optional

from . import leaf

PROC = "/proc"

_AFTER_NAME = 2
"""The name, the second field of /proc/PID/stat, may hold blanks and brackets: fields are counted from its end."""


class Status(NamedTuple):
    """What of /proc/PID/stat matters here; `start` is the time since boot in ticks, as text."""

    state: str
    group: int
    start: str


def status(pid: int) -> Optional[Status]:
    """A process's status; None where there is no such process, or it is only waiting to be reaped."""
    try:
        with open("%s/%d/stat" % (PROC, pid), "rb") as file:
            words = file.read().decode("utf-8", "replace").rpartition(")")[2].split()
        found = Status(words[2 - _AFTER_NAME], int(words[4 - _AFTER_NAME]), words[21 - _AFTER_NAME])
    except (OSError, ValueError, IndexError):
        return None
    return None if found.state in "ZX" else found


def start_of(pid: int) -> str:
    """When a process began, as its kernel counts; "" where there is none."""
    found = status(pid)
    return found.start if found else ""


def runs(pid: int, start: str) -> bool:
    """Whether the process of that number *and* start time is there: a number alone is given out again."""
    return bool(start) and start_of(pid) == start


def all_pids() -> List[int]:
    """The numbers of all processes that can be seen."""
    try:
        return [int(name) for name in os.listdir(PROC) if name.isdigit()]
    except OSError:
        return []


def namespace_of(pid: object) -> str:
    """In which namespace a process's number counts ("self" is this one); "" where this user may not know."""
    try:
        return os.readlink("%s/%s/ns/pid" % (PROC, pid))
    except OSError:
        return ""


def environment_of(pid: int) -> bytes:
    """A process's initial environment as the kernel has it; b"" where this user may not read it."""
    try:
        with open("%s/%d/environ" % (PROC, pid), "rb") as file:
            return file.read()
    except OSError:
        return b""


def boot_id() -> str:
    """Changes with every boot; "" where the kernel does not tell."""
    return leaf.current().read(PROC + "/sys/kernel/random/boot_id") or ""
