"""The embedded fleet: six boards on loopback, up for as long as this process wants them."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Protocol, Self

from profiler.errors import ConfigError, StorageError
from profiler.fleet.devices import load_devices
from profiler.fleet.targets import Device
from profiler.fleet.virtual.boards import BoardFiles, prepare, write_devices
from profiler.fleet.virtual.in_process import InProcess
from profiler.fleet.virtual.openssh import OpenSSH
from profiler.fleet.virtual.state import read_state, remove_state, this_process, write_state

__all__ = ["SERVERS", "Fleet", "ServerName", "Servers"]

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


SERVERS: dict[ServerName, Callable[[], Servers]] = {"asyncssh": InProcess, "openssh": OpenSSH}
"""What a fleet can be served by: in this process, or by OpenSSH's sshd where that is installed."""


class Fleet:
    """Six boards below a folder `root`: up between `up()` and `down()`, or inside a `with`.

    Keys, homes and (where they are still free) ports stay the same from one time to the next. One process at a time
    may serve a root.

    Args:
        root: folder of keys, homes and status.
        server: a key of SERVERS.
    """

    def __init__(self, root: Path, server: ServerName = "asyncssh") -> None:
        self.root = root
        self._kind = server
        self._servers: Servers | None = None
        self._lock: IO[bytes] | None = None

    @property
    def devices_path(self) -> Path:
        """The devices.yaml that lists the boards; written by `up`."""
        return self.root / "devices.yaml"

    def devices(self) -> tuple[Device, ...]:
        """The boards as `load_devices` reads them."""
        return load_devices(self.devices_path)

    def up(self) -> Self:
        """Start all boards; returns when each of them listens.

        Raises:
            ConfigError: another process serves this root, or asyncssh (or sshd) is missing.
            StorageError: the root cannot be written.
            DeviceTimeout: a server did not start.
        """
        if self._servers is not None:
            return self
        files = prepare(self.root)
        self._lock = _lock(self.root)
        try:
            self._servers = SERVERS[self._kind]()
            ports = self._servers.start(files, self._last_ports())
            write_devices(self.root, files, ports, self._servers.user)
            write_state(self.root, this_process(ports, self._servers.name))
        except BaseException:
            self.down()
            raise
        return self

    def _last_ports(self) -> dict[str, int]:
        try:
            return {device.id: device.port for device in self.devices()}
        except ConfigError:
            return {}  # the first time, or somebody has edited the file: any ports will do

    def down(self) -> None:
        """Stop all boards and end their processes; may be called twice."""
        servers, self._servers = self._servers, None
        if servers is not None:
            servers.stop()
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
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        state = read_state(root)
        by = f"process {state.pid}" if state is not None else "another process"
        raise ConfigError(
            f"The embedded fleet at {root} is up already ({by}): use {root / 'devices.yaml'}, or end it with "
            "`edgecost fleet down`."
        ) from error
    return file
