"""The boards' SSH servers in this process: asyncssh, in a thread with an event loop of its own; no root is needed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from profiler.errors import ConfigError, DeviceTimeout
from profiler.fleet.virtual.boards import USER, BoardFiles

if TYPE_CHECKING:
    import asyncssh

    from profiler.fleet.virtual.server import Activity

__all__ = ["InProcess"]

_Result = TypeVar("_Result")

_START_S = 30.0
_STOP_S = 15.0


class InProcess:
    """All boards behind asyncssh; started once, stopped once."""

    name = "asyncssh"
    user = USER

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="edgecost-fleet", daemon=True)
        self._served: dict[str, tuple[asyncssh.SSHAcceptor, Activity]] = {}

    def start(self, files: Sequence[BoardFiles], wanted: Mapping[str, int]) -> dict[str, int]:
        """Listen for every board, at the port wanted where it is free; the ports by id.

        Raises:
            DeviceTimeout: this takes too long.
            ConfigError: this machine does not let us listen.
        """
        self._thread.start()
        return self._await(self._listen(files, wanted))

    def start_one(self, part: BoardFiles, port: int) -> None:
        """Listen for a board at exactly this port; raises as `start`."""
        self._await(self._listen_at(part, port))

    def stop_one(self, board_id: str) -> None:
        """Listen no more, and end the board's connections with the commands that run on them."""
        self._await(self._close_one(board_id))

    def cut(self, board_id: str) -> None:
        """Break the board's connections."""
        self._await(self._break(board_id))

    def pids(self) -> list[int]:
        """Processes of the servers: none but this one, which needs no ending."""
        return []

    def _await(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        doing = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return doing.result(_START_S)
        except TimeoutError as error:
            doing.cancel()
            raise DeviceTimeout(
                f"The embedded fleet did not answer within {_START_S:g} s: is this machine busy?"
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
        ports = {}
        for part in files:
            name = part.board.id
            try:
                ports[name] = await self._listen_at(part, wanted.get(name, 0))
            except OSError:
                ports[name] = await self._listen_at(part, 0)  # somebody else has taken the port of last time
        return ports

    async def _listen_at(self, part: BoardFiles, port: int) -> int:
        from profiler.fleet.virtual.server import Activity, listen

        activity = Activity()
        listener = await listen(part, port, activity)
        self._served[part.board.id] = listener, activity
        return listener.get_port()

    async def _close_one(self, board_id: str) -> None:
        if board_id in self._served:
            listener, activity = self._served.pop(board_id)
            listener.close()
            await activity.end()
            await listener.wait_closed()

    async def _break(self, board_id: str) -> None:
        if board_id in self._served:
            for connection in tuple(self._served[board_id][1].connections):
                connection.abort()

    async def _close(self) -> None:
        for listener, _ in self._served.values():
            listener.close()
        await asyncio.gather(*(self._close_one(board_id) for board_id in tuple(self._served)))
        for _ in range(5):
            await asyncio.sleep(0)  # the pipes of what has ended are closed in the loop's next turns
