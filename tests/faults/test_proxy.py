"""The proxy does to a link what it says, so that a test of a fault is one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import Proxies, Proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """In front of a server that echoes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def echo(link: socket.socket) -> None:
        with link:
            try:
                while data := link.recv(65536):
                    link.sendall(data)
            except OSError:
                pass

    def accept() -> None:
        try:
            while True:
                threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()
        except OSError:
            pass

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    with Proxies() as proxies:
        yield proxies.add(*listener.getsockname())
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def echoed(link: socket.socket, text: bytes) -> bytes:
    link.sendall(text)
    return link.recv(100)


def test_it_forwards(proxy: Proxy) -> None:
    with connect(proxy) as link:
        assert echoed(link, b"hello") == b"hello"
        assert (proxy.accepted, proxy.open) == (1, 1)


def test_a_cut_ends_every_connection_in_good_order_and_lets_new_ones_in(proxy: Proxy) -> None:
    with connect(proxy) as link, connect(proxy) as other:
        assert echoed(link, b"a") + echoed(other, b"b") == b"ab"
        assert proxy.cut() == 2
        assert (link.recv(1), other.recv(1)) == (b"", b"")
    with connect(proxy) as link:
        assert echoed(link, b"again") == b"again"


def test_a_reset_is_a_reset(proxy: Proxy) -> None:
    with connect(proxy) as link:
        assert echoed(link, b"a") == b"a"
        assert proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            link.recv(1)


def test_a_stall_keeps_the_connection_and_what_was_sent(proxy: Proxy) -> None:
    with connect(proxy) as link:
        assert echoed(link, b"a") == b"a"
        proxy.stall(60)
        link.settimeout(0.3)
        with pytest.raises(TimeoutError):
            echoed(link, b"late")
        proxy.heal()
        link.settimeout(10)
        assert link.recv(100) == b"late"


def test_a_stall_ends_by_itself(proxy: Proxy) -> None:
    with connect(proxy) as link:
        proxy.stall(0.2)
        assert echoed(link, b"a") == b"a"


def test_a_delay_delays_both_ways(proxy: Proxy) -> None:
    with connect(proxy) as link:
        proxy.delay(0.15)
        start = time.monotonic()
        assert echoed(link, b"a") == b"a"
        assert time.monotonic() - start >= 0.3


def test_who_is_refused_is_reset_and_who_is_in_stays(proxy: Proxy) -> None:
    with connect(proxy) as inside:
        assert echoed(inside, b"a") == b"a"
        proxy.refuse(60)
        with pytest.raises(OSError), connect(proxy) as link:
            link.sendall(b"a")
            if not link.recv(1):
                raise ConnectionResetError
        assert echoed(inside, b"b") == b"b"
        proxy.heal()
        with connect(proxy) as link:
            assert echoed(link, b"c") == b"c"


def test_a_black_hole_accepts_and_says_nothing(proxy: Proxy) -> None:
    proxy.swallow(60)
    with connect(proxy) as link:
        link.settimeout(0.3)
        with pytest.raises(TimeoutError):
            echoed(link, b"a")
        proxy.heal()
        link.settimeout(10)
        assert link.recv(100) == b"a"


def test_a_board_that_does_not_listen_is_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    with Proxies() as proxies, pytest.raises(ConnectionResetError), connect(proxies.add(*address)) as link:
        link.recv(1)
