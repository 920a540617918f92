"""The daemon's end of a worker: start it, hear it, learn how it died, end it and all that it has started."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .. import processes
from ..lines import CHUNK_BYTES, Lines

MOST_LAST_WORDS_BYTES = 4096

DYING_S = 2.0
"""Between the end of a worker's output and its own end."""

KILLING_S = 10.0
"""A killed process may be held up by a driver for so long; then it is left behind."""

POLL_S = 0.01

MARK = "EDGECOST_AGENT"
"""The variable by which processes of an agent are known (see `stale`): "<pid>.<start>" of the agent."""


class Confinement(NamedTuple):
    """What a worker is started with; a job that needs another one needs another worker.

    Attributes:
        site: the folder that its runtime is loaded from; None for the board's own Python.
        cpus: those that it is bound to; None for all.
        memory_mb: how much it may use; None for no limit.
    """

    site: Optional[str] = None
    cpus: Optional[Tuple[int, ...]] = None
    memory_mb: Optional[int] = None


def worker_command(confinement: Confinement) -> Tuple[List[str], Dict[str, str]]:
    """How to start a worker from the same code that runs here, be it a zipapp or a source tree; and its environment."""
    environment = dict(os.environ)
    # a BLAS that numpy brings along would start threads of its own; no runtime here asks for it
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    # ONNX Runtime 1.31 and later report their use from a thread of their own and leave files in the board's home
    environment.setdefault("ORT_DISABLE_TELEMETRY", "1")
    environment[MARK] = "%d.%s" % (os.getpid(), processes.start_of(os.getpid()))
    paths = [environment.get("PYTHONPATH")]
    limits = json.dumps({"cpus": confinement.cpus, "memory_mb": confinement.memory_mb})
    archive = getattr(globals().get("__loader__"), "archive", None)
    if archive:
        command = [sys.executable, "-u", os.path.abspath(archive), "worker", limits]
    else:
        package = __name__.rsplit(".", 2)[0]
        root = os.path.abspath(__file__)
        for _ in range(package.count(".") + 3):
            root = os.path.dirname(root)
        paths.insert(0, root)
        command = [sys.executable, "-u", "-m", package, "worker", limits]
    if confinement.site is not None:
        paths.insert(0, confinement.site)
        environment["PYTHONNOUSERSITE"] = "1"
    if any(paths):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return command, environment


class Child:
    """A running worker, in a session and process group of its own.

    Args:
        confinement: what it is started with; by default nothing.
        folder: that it is started in; by default this process's.

    Attributes:
        process: its process.
        out: what it says.
        ready: whether it has said that it is.
    """

    def __init__(self, confinement: Optional[Confinement] = None, folder: Optional[str] = None) -> None:
        self.confinement = confinement or Confinement()
        command, environment = worker_command(self.confinement)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=environment,
            cwd=folder,
            start_new_session=True,
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.input = self.process.stdin.fileno()
        os.set_blocking(self.input, False)
        self.out = Lines(self.process.stdout.fileno())
        self.err = self.process.stderr.fileno()
        self.err_ended = False
        self.ready = False
        self.unsent = b""
        self._last_words = bytearray()

    def send(self, request: Dict[str, Any]) -> None:
        """Hand a request over; what the pipe does not take at once is `unsent`. OSError where the worker is dead."""
        self.unsent += json.dumps(request).encode("utf-8") + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send on what is unsent, as far as the pipe takes it."""
        with contextlib.suppress(BlockingIOError):
            while self.unsent:
                self.unsent = self.unsent[os.write(self.input, self.unsent[:CHUNK_BYTES]) :]

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

    def lives(self) -> bool:
        """Whether it has not ended. It is not reaped by this: until `end` its number stays that of its group."""
        return self.process.returncode is None and _exit_of(self.process.pid) is None

    def end(self) -> int:
        """Wait for a worker whose output has ended, kill any other; with all that it has started. Its exit status."""
        if self.process.returncode is None:
            deadline = time.monotonic() + (DYING_S if self.out.ended else 0.0)
            while self.lives() and time.monotonic() < deadline:
                time.sleep(POLL_S)
            with contextlib.suppress(OSError):  # before it is reaped: afterwards the group's number may be another's
                os.killpg(self.process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(KILLING_S)
        # what it had still said; whoever else may hold the pipe is not waited for
        while not self.err_ended and select.select([self.err], [], [], 0)[0]:
            self.hear_chatter()
        self.err_ended = True
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        status = self.process.returncode
        return -signal.SIGKILL if status is None else status


def _exit_of(pid: int) -> Any:
    """Something about how a child ended, which stays to be reaped; None while it runs."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
