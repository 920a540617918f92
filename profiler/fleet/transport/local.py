"""The transport protocol by plain subprocesses of this machine: for tests, and for boards that are this machine."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from profiler.errors import DeviceLost, DeviceTimeout
from profiler.fleet.transport.base import MAX_OUTPUT_BYTES, STDERR_TAIL_BYTES, CommandResult, LineBuffer

__all__ = ["LocalChannel", "LocalTransport"]

_CHUNK_BYTES = 65536


class LocalTransport:
    """Commands run as children of this process, with `home` as HOME and working folder."""

    def __init__(self, home: Path, device_id: str = "local") -> None:
        self._home = home
        self._device_id = device_id
        self._channels: list[LocalChannel] = []

    def _environment(self) -> Mapping[str, str]:
        return {**os.environ, "HOME": str(self._home)}

    def _start(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(
                list(argv),
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                cwd=self._home,
                env=self._environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise DeviceLost(
                f"Cannot run {argv[0]!r} on {self._device_id}: {error.strerror}.", self._device_id
            ) from error

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> CommandResult:
        """As Transport.run."""
        with self._start(argv) as process:
            try:
                out, err = process.communicate(stdin, timeout=timeout_s)
            except subprocess.TimeoutExpired as error:
                _kill_group(process)
                raise DeviceTimeout(
                    f"{argv[0]!r} took longer than {timeout_s:g} s on {self._device_id}.", self._device_id
                ) from error
        truncated = max(len(out), len(err)) > MAX_OUTPUT_BYTES
        status = process.returncode if process.returncode >= 0 else -1
        return CommandResult(status, out[:MAX_OUTPUT_BYTES], err[:MAX_OUTPUT_BYTES], truncated)

    def open(self, argv: Sequence[str]) -> LocalChannel:
        """As Transport.open."""
        channel = LocalChannel(self._start(argv), self._device_id)
        self._channels.append(channel)
        return channel

    def put(self, data: bytes, remote: str) -> None:
        """As Transport.put."""
        temporary = f"{remote}.{os.getpid()}.part"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.replace(temporary, remote)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise DeviceLost(
                f"Cannot write {remote} on {self._device_id}: {error.strerror}.", self._device_id
            ) from error

    def exists(self, remote: str) -> bool:
        """As Transport.exists."""
        return os.path.exists(remote)

    def close(self) -> None:
        """As Transport.close."""
        for channel in self._channels:
            channel.close()
        self._channels.clear()


class LocalChannel:
    """A child process that is talked to in lines."""

    def __init__(self, process: subprocess.Popen[bytes], device_id: str) -> None:
        self._process = process
        self._device_id = device_id
        self._lines = LineBuffer()
        self._stderr = b""
        self._eof = False
        self._selector = selectors.DefaultSelector()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            self._selector.register(stream, selectors.EVENT_READ)

    def write_line(self, line: bytes) -> None:
        """As Channel.write_line."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise DeviceLost(f"The command on {self._device_id} no longer reads its input.", self._device_id) from error

    def read_line(self, timeout_s: float) -> bytes | None:
        """As Channel.read_line."""
        deadline = time.monotonic() + timeout_s
        while True:
            line = self._lines.pop()
            if line is not None:
                return line
            if self._eof:
                return None
            ready = self._selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise DeviceTimeout(f"{self._device_id} sent nothing for {timeout_s:g} s.", self._device_id)
            for key, _ in ready:
                self._take(key.fileobj)  # type: ignore[arg-type]  # only streams were registered

    def _take(self, stream: IO[bytes]) -> None:
        data = os.read(stream.fileno(), _CHUNK_BYTES)
        if not data:
            self._selector.unregister(stream)
        if stream is self._process.stdout:
            self._lines.feed(data)
            self._eof = not data
        else:
            self._stderr = (self._stderr + data)[-STDERR_TAIL_BYTES:]

    def stderr_tail(self) -> bytes:
        """As Channel.stderr_tail."""
        stream = self._process.stderr
        while stream is not None and not stream.closed and stream in self._selector.get_map():
            if not any(key.fileobj is stream for key, _ in self._selector.select(0)):
                break
            self._take(stream)
        return self._stderr

    def exit_status(self, timeout_s: float) -> int | None:
        """As Channel.exit_status."""
        try:
            return max(self._process.wait(timeout_s), -1)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """As Channel.close."""
        if self._process.poll() is None:
            _kill_group(self._process)
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        self._process.wait()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
