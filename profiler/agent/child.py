"""The parent's end of the worker: start it, hear it, learn how it died, end it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from typing import Any, Dict, List, Optional, Tuple

MOST_LINE_BYTES = 16 << 20
MOST_LAST_WORDS_BYTES = 4096
CHUNK_BYTES = 65536

DYING_S = 2.0
"""Between the end of a worker's output and its own end."""


class LineTooLong(Exception):
    """Somebody wrote more than any message holds without ending the line."""


class Lines:
    """Splits what arrives at a file descriptor into lines; reads only when told that there is something.

    Attributes:
        number: the descriptor.
        ended: whether the other end is closed.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.ended = False
        self._buffer = bytearray()
        self._whole: List[bytes] = []

    def feed(self) -> None:
        """Read what is there (blocks if there is nothing)."""
        chunk = os.read(self.number, CHUNK_BYTES)
        self.ended = not chunk
        self._buffer += chunk
        if b"\n" in chunk:
            *whole, rest = bytes(self._buffer).split(b"\n")
            self._whole += whole
            self._buffer = bytearray(rest)
        if len(self._buffer) > MOST_LINE_BYTES:
            raise LineTooLong("a line of more than %d bytes" % MOST_LINE_BYTES)

    def pop(self) -> Optional[bytes]:
        """The oldest whole line, without its end; None where there is none yet."""
        return self._whole.pop(0) if self._whole else None


def worker_command() -> Tuple[List[str], Dict[str, str]]:
    """How to start a worker from the same code that runs here, be it a zipapp or a source tree; and its environment."""
    environment = dict(os.environ)
    # a BLAS that numpy brings along would start threads of its own; no runtime here asks for it
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    archive = getattr(globals().get("__loader__"), "archive", None)
    if archive:
        return [sys.executable, "-u", os.path.abspath(archive), "worker"], environment
    package = __name__.rsplit(".", 1)[0]
    root = os.path.abspath(__file__)
    for _ in range(package.count(".") + 2):
        root = os.path.dirname(root)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    return [sys.executable, "-u", "-m", package, "worker"], environment


class Child:
    """A running worker, in a process group of its own.

    Attributes:
        process: its process.
        out: what it says.
        ready: whether it has said that it is.
    """

    def __init__(self) -> None:
        command, environment = worker_command()
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.out = Lines(self.process.stdout.fileno())
        self.err = self.process.stderr.fileno()
        self.err_ended = False
        self.ready = False
        self._last_words = bytearray()

    def send(self, request: Dict[str, Any]) -> None:
        """Hand a request over; OSError where the worker is dead."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode("utf-8") + b"\n")
        self.process.stdin.flush()

    def hear_chatter(self) -> None:
        """Take what is on its stderr, so that it never has to wait; only the end is kept."""
        chunk = os.read(self.err, CHUNK_BYTES)
        self.err_ended = not chunk
        self._last_words = (self._last_words + chunk)[-MOST_LAST_WORDS_BYTES:]

    def last_words(self) -> str:
        """The last line or two of its stderr, as one."""
        lines = self._last_words.decode("utf-8", "replace").strip().splitlines()
        return " ".join(lines[-2:])[-300:]

    def forget_chatter(self) -> None:
        """Begin a job with nothing said: older words are not about it."""
        self._last_words.clear()

    def end(self) -> int:
        """Wait for a worker whose output has ended, kill any other with all it has started; returns its exit status."""
        if self.out.ended:  # it is about to end, if it has not yet
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(DYING_S)
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
        status = self.process.wait()
        # what it had still said; whoever else may hold the pipe is not waited for
        while not self.err_ended and select.select([self.err], [], [], 0)[0]:
            self.hear_chatter()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):  # a request that could not be delivered is still in the buffer
                    stream.close()
        return status
