"""fleet.json: which process serves a fleet, and whether it still does."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from profiler.fleet.inventory.yamltext import write_atomically
from profiler.fleet.sessions.identity import process_start

__all__ = ["FleetState", "is_alive", "process_start", "read_state", "remove_state", "this_process", "write_state"]

SCHEMA_VERSION = 2


@dataclass(frozen=True, slots=True)
class FleetState:
    """What a serving process writes about itself.

    Attributes:
        pid: of the process.
        start: when it started, in the system's own words: a pid alone may have passed to another process.
        ports: of each board, by id.
        server: what serves them.
        helpers: further processes that serve, each with its start; they outlive a serving process that is killed.
    """

    pid: int
    start: str
    ports: Mapping[str, int]
    server: str = "asyncssh"
    helpers: tuple[tuple[int, str], ...] = ()


def state_path(root: Path) -> Path:
    """Where it lies."""
    return root / "fleet.json"


def this_process(ports: Mapping[str, int], server: str = "asyncssh", helpers: Iterable[int] = ()) -> FleetState:
    """The state in which this process serves, with the processes `helpers`."""
    known = tuple((pid, process_start(pid) or "") for pid in helpers)
    return FleetState(os.getpid(), process_start(os.getpid()) or "", MappingProxyType(dict(ports)), server, known)


def write_state(root: Path, state: FleetState) -> None:
    """Write root/fleet.json; StorageError when that cannot be."""
    value = {
        "schema": SCHEMA_VERSION,
        "pid": state.pid,
        "start": state.start,
        "server": state.server,
        "ports": dict(state.ports),
        "helpers": [list(each) for each in state.helpers],
    }
    write_atomically(state_path(root), json.dumps(value, indent=2) + "\n", mode=0o600)


def read_state(root: Path) -> FleetState | None:
    """The last state written, whether or not its process still lives; None when there is none that can be read."""
    try:
        value = json.loads(state_path(root).read_text(encoding="utf-8"))
        if value["schema"] != SCHEMA_VERSION:
            return None
        ports = {str(name): int(port) for name, port in value["ports"].items()}
        helpers = tuple((int(pid), str(start)) for pid, start in value["helpers"])
        return FleetState(
            int(value["pid"]), str(value["start"]), MappingProxyType(ports), str(value["server"]), helpers
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remove_state(root: Path) -> None:
    """Forget who serves."""
    with contextlib.suppress(OSError):
        state_path(root).unlink()


def is_alive(state: FleetState) -> bool:
    """Whether the very process that wrote the state still runs."""
    return state.pid > 0 and state.start != "" and process_start(state.pid) == state.start
