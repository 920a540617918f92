"""A meter that says a line for every reading, over a serial port, a TCP connection or a program's output.

    12.345678 2.503 W      seconds by the meter's own clock, value, unit (W, mW, uW: power; J, mJ, uJ: energy so far)
    - 2503 mW              no clock: the line counts from when it arrives
    # anything             ignored, as are empty lines

Lines are ASCII and end with a line feed; one that is not of this form is counted and left out. The meter's clock is
laid on the host's by the line that arrived soonest after it was said.
"""

from __future__ import annotations

import math
import os
import selectors
import shlex
import socket
import subprocess
import termios
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Literal, Protocol

from profiler.errors import ConfigError
from profiler.measure.meters.base import Accuracy, Meter, MeterLost, Trace

__all__ = ["CommandSource", "LineMeter", "Reading", "SerialSource", "Source", "TcpSource", "parse_line", "source_of"]

UNITS = {"W": ("power", 1e6), "mW": ("power", 1e3), "uW": ("power", 1.0), "J": ("energy", 1e6), "mJ": ("energy", 1e3),
         "uJ": ("energy", 1.0)}  # fmt: skip

MOST_LINE_BYTES = 256
MOST_READINGS = 5_000_000
CONNECT_S = 5.0
SILENCE_S = 5.0
"""A meter that has said nothing for so long when it is stopped is lost."""

DRIFT = 1e-4
"""Clocks of cheap meters run up to so much faster or slower than the host's."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One line: seconds by the meter's clock (None: it has none), the value in µW or µJ, and which of the two."""

    at_s: float | None
    value: float
    form: str


def parse_line(line: str) -> Reading | None:
    """A line's reading; None for a comment or an empty line.

    Raises:
        ValueError: it is not of the protocol.
    """
    text = line.strip()
    if not text or text.startswith("#"):
        return None
    at, value, unit = text.split()
    form, factor = UNITS.get(unit, ("", math.nan))
    reading = Reading(None if at == "-" else float(at), float(value) * factor, form)
    if not math.isfinite(reading.value) or (reading.at_s is not None and not math.isfinite(reading.at_s)):
        raise ValueError(f"not a reading: {text!r}")
    return reading


class Source(Protocol):
    """Where bytes come from."""

    name: str

    def open(self) -> int:
        """A file descriptor to read from; OSError where there is none."""

    def close(self) -> None:
        """Give it back."""


class TcpSource:
    """A meter that is connected to."""

    def __init__(self, host: str, port: int) -> None:
        self.name = f"tcp:{host}:{port}"
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def open(self) -> int:
        """Connect."""
        self._socket = socket.create_connection(self._address, timeout=CONNECT_S)
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class CommandSource:
    """A program that goes on printing until it is ended."""

    def __init__(self, argv: list[str]) -> None:
        self.name = f"command:{' '.join(argv)}"
        self._argv = argv
        self._process: subprocess.Popen[bytes] | None = None

    def open(self) -> int:
        """Start it."""
        self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def close(self) -> None:
        """End it: asked first, then made to."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None


class SerialSource:
    """A serial port, 8 bits, no parity, one stop bit, no flow control."""

    def __init__(self, path: str, baud: int = 115200) -> None:
        speed = getattr(termios, f"B{baud}", None)
        if not isinstance(speed, int):
            raise ConfigError(f"no serial port runs at {baud} baud; use one such as 9600 or 115200")
        self.name = f"serial:{path}"
        self._path = path
        self._speed = speed
        self._descriptor = -1

    def open(self) -> int:
        """Open it, and set its speed."""
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            settings = termios.tcgetattr(self._descriptor)
            settings[0:4] = [0, 0, termios.CS8 | termios.CREAD | termios.CLOCAL, 0]
            settings[4] = settings[5] = self._speed
            termios.tcsetattr(self._descriptor, termios.TCSANOW, settings)
            termios.tcflush(self._descriptor, termios.TCIFLUSH)
        except termios.error as error:
            self.close()
            raise OSError(f"it is no serial port ({error.args[-1]})") from None
        return self._descriptor

    def close(self) -> None:
        """Close it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def source_of(text: str) -> Source:
    """From what a user types: tcp:HOST:PORT, serial:PATH[:BAUD] or command:WORDS.

    Raises:
        ConfigError: it is none of them.
    """
    kind, _, rest = text.partition(":")
    if kind == "tcp":
        host, _, port = rest.rpartition(":")
        if host and port.isascii() and port.isdigit() and 0 < int(port) < 65536:
            return TcpSource(host.strip("[]"), int(port))
    elif kind == "serial" and rest:
        path, _, baud = rest.rpartition(":")
        return SerialSource(path, int(baud)) if path and baud.isascii() and baud.isdigit() else SerialSource(rest)
    elif kind == "command" and shlex.split(rest):
        return CommandSource(shlex.split(rest))
    raise ConfigError(
        f"{text!r} is no meter; use joulescope, tcp:HOST:PORT, serial:/dev/ttyUSB0:115200 or command:'PROGRAM ...'"
    )


class LineMeter(Meter):
    """See the module; `clock` is the host's monotonic one."""

    def __init__(
        self,
        source: Source,
        scope: str,
        accuracy: Accuracy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(scope, accuracy)
        self.name = source.name
        self.garbled = 0
        self._source = source
        self._clock = clock
        self._readings: list[tuple[float, Reading]] = []
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._ended = ""

    def start(self) -> None:
        """Open the source, and read it until `stop`."""
        self._readings, self._ended, self.garbled = [], "", 0
        self._stop.clear()
        try:
            descriptor = self._source.open()
        except OSError as error:
            raise MeterLost(f"the meter {self.name} cannot be opened: {error.strerror or error}") from None
        self._thread = threading.Thread(target=self._read, args=(descriptor,), daemon=True)
        self._thread.start()

    def so_far(self) -> Trace:
        """Its clock laid on the host's."""
        readings = list(self._readings)  # in one step, while the other thread may add to them
        if not readings:
            heard = f", and {self.garbled} lines that are no readings" if self.garbled else ""
            raise MeterLost(f"the meter {self.name} gave no reading{heard}; a line is `SECONDS VALUE UNIT`")
        silent_s = self._clock() - readings[-1][0]
        if self._ended or silent_s > SILENCE_S:
            raise MeterLost(f"the meter {self.name} stopped talking: {self._ended or f'silent for {silent_s:.0f} s'}")
        return _trace(self.name, self.scope, self.accuracy, readings)

    def forget(self, before_s: float) -> None:
        """By when the lines arrived."""
        del self._readings[: bisect_left(self._readings, before_s, key=itemgetter(0))]

    def close(self) -> None:
        """Stop reading, and give the source back."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
            self._source.close()

    def _read(self, descriptor: int) -> None:
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while not self._stop.is_set():
                if not selector.select(0.1):
                    continue
                try:
                    data = os.read(descriptor, 65536)
                except OSError as error:
                    self._ended = error.strerror or str(error)
                    return
                arrived = self._clock()
                if not data:
                    self._ended = "it hung up"
                    return
                *lines, rest = (rest + data).split(b"\n")
                rest = rest[-MOST_LINE_BYTES:]
                for line in lines:
                    self._take(line, arrived)

    def _take(self, line: bytes, arrived: float) -> None:
        try:
            reading = parse_line(line.decode("ascii"))
        except ValueError:  # also what is not ASCII, and too few or many words
            self.garbled += 1
            return
        if reading is not None and len(self._readings) < MOST_READINGS:
            self._readings.append((arrived, reading))


def _trace(name: str, scope: str, accuracy: Accuracy, found: list[tuple[float, Reading]]) -> Trace:
    forms = {reading.form for _, reading in found}
    clocked = {reading.at_s is not None for _, reading in found}
    if len(forms) > 1 or len(clocked) > 1:
        raise MeterLost(f"the meter {name} mixes power and energy, or lines with and without a time")
    form: Literal["power", "energy"] = "energy" if forms == {"energy"} else "power"
    if clocked == {True}:
        times = [reading.at_s or 0.0 for _, reading in found]
        delays = [arrived - at for (arrived, _), at in zip(found, times, strict=True)]
        soonest = min(delays)
        ordered = sorted(delays)
        # even the soonest took some time: about as long as the soonest differs from the usual one
        unsure_s = ordered[len(ordered) // 2] - soonest + DRIFT * (times[-1] - times[0])
        times = [at + soonest for at in times]
    else:
        times, unsure_s = [arrived for arrived, _ in found], 0.05
    if any(b < a for a, b in zip(times, times[1:], strict=False)):
        raise MeterLost(f"the clock of the meter {name} went backwards")
    values = tuple(reading.value for _, reading in found)
    return Trace(name, scope, form, tuple(times), values, unsure_s, accuracy)
