"""The processes of a virtual board: whoever has its home as HOME, whatever group or session it has moved to.

Agents are detached from the connection that started them, and outlive even a server that was killed; on a real board a
power cut would end them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from profiler.fleet.sessions.identity import process_start

__all__ = ["end_processes", "processes_of"]

_GONE_S = 10.0
_POLL_S = 0.01


def processes_of(homes: Iterable[Path]) -> dict[int, str]:
    """The processes of this user that were started with one of these homes as HOME: number and start."""
    wanted = {b"HOME=" + os.fsencode(home.resolve()) for home in homes}
    found = {}
    for pid in _pids():
        with contextlib.suppress(OSError):
            if wanted.isdisjoint(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
                continue
            start = process_start(pid)
            if start is not None and pid != os.getpid():
                found[pid] = start
    return found


def _pids() -> Iterator[int]:
    with contextlib.suppress(OSError):  # no /proc: then there is nothing to find
        yield from (int(name) for name in os.listdir("/proc") if name.isdigit())


def end_processes(homes: Iterable[Path], others: Iterable[tuple[int, str]] = ()) -> int:
    """Kill the processes of these homes, those started meanwhile included, and others by number and start.

    Returns:
        How many there were.
    """
    places = tuple(homes)
    ended: set[tuple[int, str]] = set()
    deadline = time.monotonic() + _GONE_S
    while time.monotonic() < deadline:
        alive = {*processes_of(places).items(), *(each for each in others if process_start(each[0]) == each[1])}
        if not alive:
            break
        for pid, start in alive - ended:
            _kill(pid, start)
        ended |= alive
        time.sleep(_POLL_S)
    return len(ended)


def _kill(pid: int, start: str) -> None:
    """Kill that very process: a descriptor of it stays with it when the number passes to another."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(pid)
        try:
            if process_start(pid) == start:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)
