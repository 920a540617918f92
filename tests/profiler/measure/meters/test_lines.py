from __future__ import annotations

import contextlib
import os
import pty
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from profiler.errors import ConfigError
from profiler.measure.meters.base import Accuracy, MeterLost
from profiler.measure.meters.lines import CommandSource, LineMeter, SerialSource, TcpSource, parse_line, source_of


@pytest.mark.parametrize(
    ("line", "reading"),
    [
        ("12.5 2.503 W", (12.5, 2_503_000.0, "power")),
        ("- 250 mW\r", (None, 250_000.0, "power")),
        ("1e3 7 uJ", (1000.0, 7.0, "energy")),
    ],
)
def test_a_line_is_time_value_unit(line: str, reading: tuple[float | None, float, str]) -> None:
    found = parse_line(line)
    assert found is not None
    assert (found.at_s, found.value, found.form) == reading


@pytest.mark.parametrize("line", ["", "  ", "# hello"])
def test_comments_say_nothing(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize("line", ["1 2", "1 2 V", "a 2 W", "1 b W", "1 nan W", "inf 1 W", "1 2 W 3"])
def test_what_is_no_reading_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        parse_line(line)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tcp:meter.lab:3000", "tcp:meter.lab:3000"),
        ("serial:/dev/ttyUSB0", "serial:/dev/ttyUSB0"),
        ("serial:/dev/ttyUSB0:9600", "serial:/dev/ttyUSB0"),
        ("command:meter --rate 10", "command:meter --rate 10"),
    ],
)
def test_a_source_as_a_user_types_it(text: str, name: str) -> None:
    assert source_of(text).name == name


@pytest.mark.parametrize("text", ["", "tcp:host", "tcp:host:99999", "serial:", "serial:/dev/x:17", "command:", "usb:1"])
def test_what_is_no_source_is_told(text: str) -> None:
    with pytest.raises(ConfigError):
        source_of(text)


def test_a_scope_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="board-in"):
        LineMeter(TcpSource("127.0.0.1", 1), "mains")


@pytest.fixture
def server() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Serves one connection by a function; returns its port."""
    threads, sockets = [], []

    def serve(talk: Callable[[socket.socket], None]) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def work() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):  # the meter hung up
                talk(connection)

        threads.append(threading.Thread(target=work, daemon=True))
        threads[-1].start()
        return int(listening.getsockname()[1])

    yield serve
    for each in sockets:
        each.close()
    for thread in threads:
        thread.join(5)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_real_tcp_meter_with_a_clock_of_its_own(server: Callable[[Callable[[socket.socket], None]], int]) -> None:
    done = threading.Event()

    def talk(connection: socket.socket) -> None:
        for n in range(50):
            text = f"{5000 + n * 0.01:.4f} {2 + n % 2} W\n".encode()
            connection.sendall(text[:7])
            time.sleep(0.01)
            connection.sendall(text[7:])  # lines come in pieces
        connection.sendall(b"# a word\nnonsense\n")
        done.wait(10)

    meter = LineMeter(TcpSource("127.0.0.1", server(talk)), "board-in", Accuracy(gain_u=0.01))
    before = time.monotonic()
    with meter:
        meter.start()
        until(lambda: meter.garbled == 1)
        trace = meter.stop()
    done.set()
    assert trace.scope == "board-in"
    assert trace.form == "power"
    assert len(trace.values) == 50
    assert trace.values[:2] == (2e6, 3e6)
    gaps = [b - a for a, b in zip(trace.times_s, trace.times_s[1:], strict=False)]
    assert gaps == pytest.approx([0.01] * 49, abs=1e-6)  # the meter's own, laid on the host's clock
    assert before <= trace.times_s[0] <= time.monotonic()
    assert trace.accuracy.gain_u == 0.01
    assert trace.time_u_s > 0


def test_a_meter_that_hangs_up_is_lost(server: Callable[[Callable[[socket.socket], None]], int]) -> None:
    meter = LineMeter(TcpSource("127.0.0.1", server(lambda c: c.sendall(b"1 2 W\n"))), "wall")
    meter.start()
    until(lambda: meter._ended != "")
    with pytest.raises(MeterLost, match="stopped talking: it hung up"):
        meter.stop()


def test_nobody_at_the_address_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(MeterLost, match="cannot be opened"):
        LineMeter(TcpSource("127.0.0.1", port), "wall").start()
    with pytest.raises(MeterLost, match="cannot be opened"):
        LineMeter(CommandSource(["/no/such/program"]), "wall").start()


PROGRAM = """
import time
for n in range(10**6):
    print("-", 1500 + n % 3, "mW", flush=True)
    time.sleep(0.005)
"""


def test_a_real_program_that_prints_lines_and_is_ended() -> None:
    source = CommandSource([sys.executable, "-c", PROGRAM])
    meter = LineMeter(source, "wall")
    for _ in range(2):  # it can be started again
        meter.start()
        process = source._process
        assert process is not None
        until(lambda: len(meter._readings) > 20)
        trace = meter.stop()
        assert set(trace.values) <= {1.5e6, 1.501e6, 1.502e6}
        assert list(trace.times_s) == sorted(trace.times_s)
        assert process.poll() is not None


def test_a_program_that_says_nothing_of_use() -> None:
    meter = LineMeter(
        CommandSource([sys.executable, "-u", "-c", "print('volts'); import time; time.sleep(60)"]), "wall"
    )
    meter.start()
    until(lambda: meter.garbled == 1)
    with pytest.raises(MeterLost, match="no reading, and 1 lines that are no readings"):
        meter.stop()


def test_power_and_energy_do_not_mix() -> None:
    program = "print('1 2 W\\n2 3 J', flush=True); import time; time.sleep(60)"
    meter = LineMeter(CommandSource([sys.executable, "-c", program]), "wall")
    meter.start()
    until(lambda: len(meter._readings) == 2)
    with pytest.raises(MeterLost, match="mixes"):
        meter.stop()


def test_a_serial_port() -> None:
    master, slave = pty.openpty()
    try:
        meter = LineMeter(SerialSource(os.ttyname(slave), 9600), "board-in")
        meter.start()
        for n in range(5):
            os.write(master, f"{n} 1.5 W\n".encode())
        until(lambda: len(meter._readings) == 5)
        assert meter.stop().values == (1.5e6,) * 5
    finally:
        os.close(master)
        os.close(slave)


def test_a_file_is_no_serial_port() -> None:
    with pytest.raises(MeterLost, match="no serial port"):
        LineMeter(SerialSource("/dev/null"), "wall").start()
