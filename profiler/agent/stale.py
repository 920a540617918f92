"""Ends agents that nobody wants any more, and what is left of agents that ended without clearing up."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import List, Tuple

from . import boardlease, leaf, processes
from .daemon.child import MARK
from .place import lease_of
from .worker.pinning import Pins

TERM_S = 2.0
KILL_S = 5.0
POLL_S = 0.02

REFUSED_EXIT = 1


def end(workdir: str, pid: int, start: str) -> int:
    """End the agent that holds the lease, if it is that process; returns the exit status.

    Numbers of processes are given out again: start time, boot and the lease's own words must all fit. An agent that
    has gone meanwhile needs no ending.
    """
    found = boardlease.read(lease_of(workdir))
    named = (found.get("agent_pid"), found.get("agent_start"), found.get("boot_id"))
    if named != (pid, start, processes.boot_id()):
        return _refuse("the lease of %s does not name process %d of start %s" % (workdir, pid, start))
    status = processes.status(pid)
    if status is not None and status.start != start:
        return _refuse("process %d began at %s, not at %s" % (pid, status.start, start))
    if status is not None:
        group = status.group if status.group == pid else None  # an agent leads its group; any other is not its own
        for number, patience_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, KILL_S)):
            _signal(pid, group, number)
            if _gone(pid, start, patience_s):
                break
        else:
            return _refuse("process %d cannot be ended" % pid)
    sweep()
    Pins(leaf.current(), workdir).restore()  # if it was killed, it could not
    return 0


def _refuse(why: str) -> int:
    sys.stderr.write(why + "\n")
    return REFUSED_EXIT


def _signal(pid: int, group: object, number: int) -> None:
    try:
        if group is not None:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except OSError:
        pass


def _gone(pid: int, start: str, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while processes.runs(pid, start):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def sweep() -> int:
    """Kill what agents that are gone have left behind (a worker, and all that it started); how many processes.

    They are known by a variable in their environment, which names their agent by number and start time.
    """
    orphans = [pid for pid, agent in _marked() if not processes.runs(*agent)]
    for pid in orphans:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue
    return len(orphans)


def _marked() -> List[Tuple[int, Tuple[int, str]]]:
    """The processes that carry the mark, each with its agent.

    Those of another namespace (a container's, seen by the root outside) are passed over: their agents' numbers count
    there, not here.
    """
    found = []
    ours = processes.namespace_of("self")
    prefix = MARK.encode("ascii") + b"="
    for pid in processes.all_pids():
        if processes.namespace_of(pid) != ours:
            continue
        for word in processes.environment_of(pid).split(b"\0"):
            number, _, start = word[len(prefix) :].decode("ascii", "replace").partition(".")
            if word.startswith(prefix) and number.isdigit():
                found.append((pid, (int(number), start)))
    return found
