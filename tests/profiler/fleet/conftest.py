from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from profiler.fleet.targets import Device
from profiler.fleet.virtual.loopback import Fleet


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Six boards, up for the whole test run."""
    with Fleet(tmp_path_factory.mktemp("fleet")) as up:
        yield up


@pytest.fixture(scope="session")
def boards(fleet: Fleet) -> dict[str, Device]:
    return {device.id: device for device in fleet.devices()}


@pytest.fixture
def board(boards: dict[str, Device]) -> Device:
    return boards["ort-fp32-t1"]


@pytest.fixture(scope="session")
def openssh_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The same six behind OpenSSH's sshd, for the tests that are made only where it is installed."""
    with Fleet(tmp_path_factory.mktemp("openssh"), "openssh") as up:
        yield up


@pytest.fixture
def openssh_board(openssh_fleet: Fleet) -> Device:
    return openssh_fleet.devices()[0]


@pytest.fixture
def fresh_board(board: Device, tmp_path: Path) -> Device:
    """A board whose workdir nobody else uses."""
    return replace(board, workdir=f"~/{tmp_path.name}")


@pytest.fixture
def devices_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "devices.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def proxy(board: Device) -> Iterator[Proxy]:
    """Between us and `board`."""
    with Proxy(board.host, board.port) as between:
        yield between


class Proxy:
    """A TCP proxy that can fall silent or break: how links are lost without leaving the machine."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._stalled = threading.Event()
        self._ended = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def stall(self) -> None:
        """Take no more bytes and give none: a peer that has gone without a word."""
        self._stalled.set()

    def cut(self) -> None:
        """Reset every connection."""
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                thread = threading.Thread(target=self._forward, args=(near, far), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        with near, far, contextlib.suppress(OSError):
            while not self._ended.is_set():
                ready, _, _ = select.select([near, far], [], [], 0.05)
                for end in ready:
                    if self._stalled.is_set():
                        self._ended.wait()
                        return
                    data = end.recv(65536)
                    if not data:
                        return
                    (far if end is near else near).sendall(data)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)
