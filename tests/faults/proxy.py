"""A TCP proxy in front of a board, by which a link is hurt without leaving the machine and without rights.

    with Proxies() as proxies:
        proxy = proxies.add(board.host, board.port)      # connect to proxy.port instead of board.port
        proxy.cut(); proxy.reset(); proxy.stall(2.0); proxy.delay(0.2, lasting_s=3.0); proxy.refuse(1.0)

Every call acts at once, from any thread, and returns when it has acted. What lasts ends by itself, or by `heal`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

_CHUNK_BYTES = 65536
_ANSWER_S = 10.0
_NOW = 0.0


class Proxies:
    """The proxies of a fleet, all served by one thread; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxies", daemon=True)
        self._proxies: list[Proxy] = []

    def add(self, host: str, port: int) -> Proxy:
        """A proxy in front of an address, listening on a port of its own on 127.0.0.1."""
        proxy = Proxy(host, port, self._do)
        self._do(proxy.listen)
        self._proxies.append(proxy)
        return proxy

    def _do(self, action: Callable[..., Any], *arguments: Any) -> Any:
        async def run() -> Any:
            found = action(*arguments)
            return await found if asyncio.iscoroutine(found) else found

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_ANSWER_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for proxy in self._proxies:
            self._do(proxy.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_S)
        self._loop.close()


class Proxy:
    """One proxy; made by `Proxies.add`.

    Attributes:
        port: where it listens.
        accepted: connections that it has let through so far.
    """

    def __init__(self, host: str, port: int, do: Callable[..., Any]) -> None:
        self._target = (host, port)
        self._do = do
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stalled_until = _NOW
        self._refusing_until = _NOW
        self._swallowing_until = _NOW
        self._delay = (0.0, _NOW)
        self.port = 0
        self.accepted = 0

    # What tests and the chaos run do

    def cut(self) -> int:
        """Close both sides of every connection in good order, as a peer does that ends; how many there were."""
        return int(self._do(self._end, False))

    def reset(self) -> int:
        """Reset both sides of every connection, as a router does that has forgotten them; how many there were."""
        return int(self._do(self._end, True))

    def stall(self, seconds: float) -> None:
        """Take and give no byte for a while, and keep all connections: a link that is down and comes back."""
        self._do(setattr, self, "_stalled_until", time.monotonic() + seconds)

    def delay(self, seconds: float, lasting_s: float = float("inf")) -> None:
        """Deliver everything later by so much, for a while."""
        self._do(setattr, self, "_delay", (seconds, time.monotonic() + lasting_s))

    def refuse(self, seconds: float) -> None:
        """Reset whoever connects, for a while; connections that are open stay."""
        self._do(setattr, self, "_refusing_until", time.monotonic() + seconds)

    def swallow(self, seconds: float) -> None:
        """Let whoever connects wait without a word, for a while: a black hole for new connections."""
        self._do(setattr, self, "_swallowing_until", time.monotonic() + seconds)

    def heal(self) -> None:
        """End what lasts."""
        self._do(self._heal)

    @property
    def open(self) -> int:
        """How many connections go through it now."""
        return int(self._do(lambda: len(self._pairs)))

    # In the loop

    async def listen(self) -> None:
        """Begin."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """End all connections and stop listening."""
        self._server.close()
        self._end(False)
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def _heal(self) -> None:
        self._stalled_until = self._refusing_until = self._swallowing_until = _NOW
        self._delay = (0.0, _NOW)

    def _end(self, hard: bool) -> int:
        ended = tuple(self._pairs)
        for pair in ended:
            for writer in pair:
                _shut(writer, hard)
        return len(ended)

    async def _serve(self, from_near: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if time.monotonic() < self._refusing_until:
                _shut(near, True)
                return
            while time.monotonic() < self._swallowing_until:
                await asyncio.sleep(0.02)
            await self._forward(from_near, near)
        except asyncio.CancelledError:
            pass  # the server's own callback would print it
        finally:
            self._tasks.discard(task)
            near.close()

    async def _forward(self, from_near: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        try:
            from_far, far = await asyncio.open_connection(*self._target)
        except OSError:  # nobody listens there: the one who connected shall learn it
            _shut(near, True)
            return
        self.accepted += 1
        pair = (near, far)
        self._pairs.add(pair)
        both = [asyncio.ensure_future(self._pump(from_near, far)), asyncio.ensure_future(self._pump(from_far, near))]
        try:
            # one direction's end ends both: SSH never half-closes a connection
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pairs.discard(pair)
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            near.close()
            far.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK_BYTES):
                seconds, until = self._delay
                if time.monotonic() < until:
                    await asyncio.sleep(seconds)
                while time.monotonic() < self._stalled_until:
                    await asyncio.sleep(0.02)
                sink.write(data)
                await sink.drain()


def _shut(writer: asyncio.StreamWriter, hard: bool) -> None:
    link = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if hard:  # closing with a linger time of zero is what sends RST
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            link.shutdown(socket.SHUT_RDWR)
    writer.transport.abort()
