"""Boards of this machine as a process of their own: what `edgecost fleet up`, `down` and `status` do."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import profiler
from profiler.errors import ConfigError, DeviceTimeout, StorageError
from profiler.fleet.virtual.leftovers import end_processes
from profiler.fleet.virtual.loopback import ServerName
from profiler.fleet.virtual.state import FleetState, is_alive, process_start, read_state, remove_state

__all__ = ["FleetStatus", "start", "start_module", "status", "stop"]

_START_S = 45.0
_STOP_S = 20.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """Whether a fleet is up.

    Attributes:
        up: whether a process serves it now.
        pid: that process, or None.
        ports: of each board by id; empty when down.
        devices_path: its devices.yaml.
        log_path: what the process wrote.
        stale: a status file was found whose process is gone.
    """

    up: bool
    pid: int | None
    ports: Mapping[str, int]
    devices_path: Path
    log_path: Path
    stale: bool = False


def status(root: Path) -> FleetStatus:
    """Look, and change nothing."""
    state = read_state(root)
    alive = state is not None and is_alive(state)
    return FleetStatus(
        up=alive,
        pid=state.pid if state is not None and alive else None,
        ports=state.ports if state is not None and alive else MappingProxyType({}),
        devices_path=root / "devices.yaml",
        log_path=root / "fleet.log",
        stale=state is not None and not alive,
    )


def start(root: Path, server: ServerName = "asyncssh", boards: str = "loopback") -> FleetStatus:
    """Start a process that serves the fleet and outlives this one; nothing when it is up already.

    Args:
        root: the fleet's folder.
        server: what serves the boards.
        boards: which boards: "loopback" or "simulated".

    Raises:
        ConfigError: the process ended at once (its own words are in the message).
        DeviceTimeout: it did not come up in time; it has been ended again.
        StorageError: the root cannot be written.
    """
    arguments = ["--root", str(root.absolute()), "--server", server, "--boards", boards]
    return start_module(root, "profiler.fleet.virtual.serve", arguments)


def start_module(root: Path, module: str, arguments: Sequence[str]) -> FleetStatus:
    """As `start`, with any module that serves boards and writes root/fleet.json once they are up."""
    now = status(root)
    if now.up:
        return now
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        now.log_path.touch(mode=0o600)
    except OSError as error:
        raise StorageError(f"The fleet's folder {root} cannot be written: {error.strerror}; choose another.") from error
    pid = _spawn([sys.executable, "-m", module, *arguments], now.log_path)
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        state = read_state(root)
        if state is not None and state.pid == pid and is_alive(state):
            return status(root)
        if process_start(pid) is None:
            raise ConfigError(f"The embedded fleet did not start: {_last_words(now.log_path)}")
        time.sleep(_POLL_S)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    raise DeviceTimeout(f"The embedded fleet did not come up within {_START_S:g} s: see {now.log_path}.")


def _spawn(command: list[str], log: Path) -> int:
    """Start a process that is nobody's child here, so that nobody need wait for it; its pid."""
    # it must find this very package, installed or not, wherever the command was typed
    paths = [str(Path(profiler.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    script = 'log=$1; shift; "$@" > "$log" 2>&1 < /dev/null & echo $!'
    shell = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(log), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
        check=True,
        text=True,
    )
    return int(shell.stdout)


def _last_words(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        if lines:
            return lines[-1][:500]
    return f"it said nothing; see {log}."


def stop(root: Path) -> bool:
    """End the serving process; whether there was one. A status file that is stale is removed.

    Raises:
        ConfigError: the process is another user's.
        DeviceTimeout: it could not be ended.
    """
    state = read_state(root)
    if state is None:
        return False
    if not is_alive(state):
        _clear(root, state)
        return False
    for number, patience_s in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, 5.0)):
        try:
            os.kill(state.pid, number)
        except ProcessLookupError:
            break
        except PermissionError as error:
            raise ConfigError(
                f"The embedded fleet is process {state.pid} of another user: ask them to end it."
            ) from error
        deadline = time.monotonic() + patience_s
        while is_alive(state) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        if not is_alive(state):
            break
    else:
        raise DeviceTimeout(f"The embedded fleet (process {state.pid}) does not end: end it by hand.")
    _clear(root, state)
    return True


def _clear(root: Path, state: FleetState) -> None:
    """End what a serving process that was killed has left behind, then forget it."""
    end_processes(root.glob("boards/*/home"), state.helpers)
    remove_state(root)
