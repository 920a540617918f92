"""The embedded fleet in this process: six SSH boards on loopback, served by a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from profiler.errors import ConfigError, DeviceTimeout, StorageError
from profiler.fleet.devices import load_devices
from profiler.fleet.targets import Device
from profiler.fleet.virtual.boards import BoardFiles, prepare, write_devices
from profiler.fleet.virtual.state import read_state, remove_state, this_process, write_state

if TYPE_CHECKING:
    import asyncssh

    from profiler.fleet.virtual.server import Activity

__all__ = ["Fleet"]

_START_S = 30.0
_STOP_S = 15.0


class Fleet:
    """Six boards below a folder `root`: up between `up()` and `down()`, or inside a `with`.

    Keys, homes and (where they are still free) ports stay the same from one time to the next. One process at a time
    may serve a root.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._listeners: list[asyncssh.SSHAcceptor] = []
        self._activity: Activity | None = None
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
            ConfigError: another process serves this root, or asyncssh is missing.
            StorageError: the root cannot be written.
            DeviceTimeout: a server did not start.
        """
        if self._thread is not None:
            return self
        files = prepare(self.root)
        self._lock = _lock(self.root)
        try:
            ports = self._serve(files, self._last_ports())
            write_devices(self.root, files, ports)
            write_state(self.root, this_process(ports))
        except BaseException:
            self.down()
            raise
        return self

    def _last_ports(self) -> dict[str, int]:
        try:
            return {device.id: device.port for device in self.devices()}
        except ConfigError:
            return {}  # the first time, or somebody has edited the file: any ports will do

    def _serve(self, files: tuple[BoardFiles, ...], wanted: dict[str, int]) -> dict[str, int]:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="edgecost-fleet", daemon=True)
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(self._listen(files, wanted), self._loop)
        try:
            return starting.result(_START_S)
        except TimeoutError as error:
            starting.cancel()
            raise DeviceTimeout(
                f"The embedded fleet did not start within {_START_S:g} s: is this machine busy?"
            ) from error
        except OSError as error:
            raise ConfigError(f"The embedded fleet cannot listen on 127.0.0.1: {error.strerror}.") from error

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()

    async def _listen(self, files: tuple[BoardFiles, ...], wanted: dict[str, int]) -> dict[str, int]:
        from profiler.fleet.virtual.server import Activity, listen

        self._activity = Activity()
        ports = {}
        for part in files:
            name = part.board.id
            try:
                listener = await listen(part, wanted.get(name, 0), self._activity)
            except OSError:
                listener = await listen(part, 0, self._activity)  # somebody else has taken the port of last time
            self._listeners.append(listener)
            ports[name] = listener.get_port()
        return ports

    def down(self) -> None:
        """Stop all boards and end their processes; may be called twice."""
        if self._loop is not None and self._thread is not None:
            stopping = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
            with contextlib.suppress(TimeoutError):
                stopping.result(_STOP_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_S)
            if not self._thread.is_alive():
                self._loop.close()
        self._loop = self._thread = None
        self._listeners.clear()
        if self._lock is not None:
            remove_state(self.root)
            self._lock.close()
            self._lock = None

    async def _close(self) -> None:
        for listener in self._listeners:
            listener.close()
        if self._activity is not None:
            await self._activity.end()
        for listener in self._listeners:
            await listener.wait_closed()
        for _ in range(5):
            await asyncio.sleep(0)  # the pipes of what has ended are closed in the loop's next turns

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
    os.set_inheritable(file.fileno(), False)
    return file
