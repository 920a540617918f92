"""The embedded fleet: boards on loopback, up for as long as this process wants them."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Protocol, Self

from profiler.errors import ConfigError, StorageError
from profiler.fleet.inventory.devices import load_devices
from profiler.fleet.targets import Device
from profiler.fleet.virtual.boards import BOARDS, BoardFiles, FleetBoard, prepare, write_devices
from profiler.fleet.virtual.in_process import InProcess
from profiler.fleet.virtual.leftovers import end_processes
from profiler.fleet.virtual.openssh import OpenSSH
from profiler.fleet.virtual.state import is_alive, read_state, remove_state, this_process, write_state

__all__ = ["SERVERS", "Fleet", "ServerName", "Servers"]

_DYING_S = 5.0

ServerName = Literal["asyncssh", "openssh"]


class Servers(Protocol):
    """What serves the boards."""

    @property
    def name(self) -> str:
        """Its key in SERVERS."""

    @property
    def user(self) -> str:
        """Who can log in."""

    def start(self, files: Sequence[BoardFiles], wanted: Mapping[str, int]) -> dict[str, int]:
        """Serve every board, at the port wanted where it is free; the ports by id."""

    def stop(self) -> None:
        """End the servers and all that runs on them; after a start that failed half-way too."""

    def start_one(self, part: BoardFiles, port: int) -> None:
        """Serve a board that was stopped, at exactly this port."""

    def stop_one(self, board_id: str) -> None:
        """End a board's server, its connections and the commands on them."""

    def cut(self, board_id: str) -> None:
        """Break a board's connections."""

    def pids(self) -> Iterable[int]:
        """Processes that serve, beside this one."""


SERVERS: dict[ServerName, Callable[[], Servers]] = {"asyncssh": InProcess, "openssh": OpenSSH}
"""What a fleet can be served by: in this process, or by OpenSSH's sshd where that is installed."""


class Fleet:
    """Boards below a folder `root`: up between `up()` and `down()`, or inside a `with`.

    Keys, homes and (where they are still free) ports stay the same from one time to the next. One process at a time
    may serve a root.

    Args:
        root: folder of keys, homes and status.
        server: a key of SERVERS.
        boards: which ones; by default six configurations of this machine.
    """

    def __init__(self, root: Path, server: ServerName = "asyncssh", boards: Sequence[FleetBoard] = BOARDS) -> None:
        self.root = root
        self._boards = tuple(boards)
        self._kind = server
        self._servers: Servers | None = None
        self._lock: IO[bytes] | None = None
        self._files: dict[str, BoardFiles] = {}
        self._ports: dict[str, int] = {}

    @property
    def devices_path(self) -> Path:
        """The devices.yaml that lists the boards; written by `up`."""
        return self.root / "devices.yaml"

    def devices(self) -> tuple[Device, ...]:
        """The boards as `load_devices` reads them."""
        return load_devices(self.devices_path)

    def home(self, board_id: str) -> Path:
        """A board's home on this machine; KeyError while the fleet is down."""
        return self._files[board_id].home

    def up(self) -> Self:
        """Start all boards; returns when each of them listens.

        Raises:
            ConfigError: another process serves this root, or asyncssh (or sshd) is missing.
            StorageError: the root cannot be written.
            DeviceTimeout: a server did not start.
        """
        if self._servers is not None:
            return self
        files = prepare(self.root, self._boards)
        self._lock = _lock(self.root)
        try:
            # what a fleet of this root that was killed has left behind
            left = read_state(self.root)
            end_processes((part.home for part in files), left.helpers if left is not None else ())
            self._files = {part.board.id: part for part in files}
            self._servers = SERVERS[self._kind]()
            self._ports = self._servers.start(files, self._last_ports())
            write_devices(self.root, files, self._ports, self._servers.user)
            self._write_state()
        except BaseException:
            self.down()
            raise
        return self

    def stop_board(self, board_id: str, *, kill_agent: bool = True) -> None:
        """A board goes off: nothing listens at its port any more, and nothing of it runs; its home stays.

        Args:
            board_id: which; nothing happens when it is off.
            kill_agent: False leaves its detached agent at work, as when only the SSH server ends.
        """
        self._up().stop_one(board_id)
        if kill_agent:
            end_processes([self._files[board_id].home])

    def start_board(self, board_id: str) -> None:
        """The board comes back, at the same port and with the same key; one that is on is switched off first.

        Raises:
            ConfigError: the port is taken now.
        """
        self._up().stop_one(board_id)
        self._up().start_one(self._files[board_id], self._ports[board_id])
        self._write_state()

    def cut(self, board_id: str) -> None:
        """Break a board's connections; the board stays."""
        self._up().cut(board_id)

    def _up(self) -> Servers:
        if self._servers is None:
            raise ConfigError(f"The embedded fleet at {self.root} is not up in this process.")
        return self._servers

    def _write_state(self) -> None:
        servers = self._up()
        write_state(self.root, this_process(self._ports, servers.name, servers.pids()))

    def _last_ports(self) -> dict[str, int]:
        try:
            return {device.id: device.port for device in self.devices()}
        except ConfigError:
            return {}  # the first time, or somebody has edited the file: any ports will do

    def down(self) -> None:
        """Stop all boards and end their processes, detached agents included; may be called twice."""
        servers, self._servers = self._servers, None
        if servers is not None:
            servers.stop()
            end_processes(part.home for part in self._files.values())
        if self._lock is not None:
            remove_state(self.root)
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()


def _lock(root: Path) -> IO[bytes]:
    """Hold root/fleet.lock for as long as the returned file is open."""
    path = root / "fleet.lock"
    try:
        file = path.open("ab")
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.") from error
    deadline = time.monotonic() + _DYING_S
    try:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                state = read_state(root)
                # one that was just killed keeps its lock until the last of its threads is gone
                if state is None or is_alive(state) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
    except OSError as error:
        file.close()
        state = read_state(root)
        by = f"process {state.pid}" if state is not None else "another process"
        raise ConfigError(
            f"The embedded fleet at {root} is up already ({by}): use {root / 'devices.yaml'}, or end it with "
            "`edgecost fleet down`."
        ) from error
    return file
