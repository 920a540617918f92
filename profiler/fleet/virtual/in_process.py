"""The boards' SSH servers in this process: asyncssh, in a thread with an event loop of its own; no root is needed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from profiler.errors import ConfigError, DeviceTimeout
from profiler.fleet.virtual.boards import USER, BoardFiles

if TYPE_CHECKING:
    import asyncssh

    from profiler.fleet.virtual.server import Activity

__all__ = ["InProcess"]

_START_S = 30.0
_STOP_S = 15.0


class InProcess:
    """All boards behind asyncssh; started once, stopped once."""

    name = "asyncssh"
    user = USER

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="edgecost-fleet", daemon=True)
        self._listeners: list[asyncssh.SSHAcceptor] = []
        self._activity: Activity | None = None

    def start(self, files: Sequence[BoardFiles], wanted: Mapping[str, int]) -> dict[str, int]:
        """Listen for every board, at the port wanted where it is free; the ports by id.

        Raises:
            DeviceTimeout: this takes too long.
            ConfigError: this machine does not let us listen.
        """
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

    def stop(self) -> None:
        """End every command, every connection and the thread."""
        if self._thread.is_alive():
            stopping = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
            with contextlib.suppress(TimeoutError):
                stopping.result(_STOP_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_S)
        if not self._thread.is_alive():
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self, files: Sequence[BoardFiles], wanted: Mapping[str, int]) -> dict[str, int]:
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

    async def _close(self) -> None:
        for listener in self._listeners:
            listener.close()
        if self._activity is not None:
            await self._activity.end()
        for listener in self._listeners:
            await listener.wait_closed()
        for _ in range(5):
            await asyncio.sleep(0)  # the pipes of what has ended are closed in the loop's next turns
