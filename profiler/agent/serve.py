"""The agent proper: answers the host on stdin and stdout, and keeps the worker alive, ended or replaced."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Dict, Optional

from .facts import facts

PROTOCOL = 1
HEARTBEAT_S = 2.0
MAX_LINE = 16 << 20


class HostGone(Exception):
    """The host closed the connection while a job was running."""


def host_gone() -> bool:
    """Whether the other end of stdin is closed."""
    poller = select.poll()
    poller.register(0, 0)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poller.poll(0))


class Worker(object):
    """The child process and the pipe to it; one job at a time."""

    def __init__(self) -> None:
        command = [sys.executable, sys.argv[0], "worker"]
        if not sys.argv[0].endswith(".pyz"):  # run as a module, in development
            command = [sys.executable, "-m", __name__.rsplit(".", 1)[0], "worker"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._buffer = b""

    def send(self, job: Dict[str, Any]) -> None:
        """Hand a job over."""
        assert self.process.stdin is not None
        self.process.stdin.write((json.dumps(job) + "\n").encode())
        self.process.stdin.flush()

    def receive(self, wait_s: float) -> Optional[bytes]:
        """The reply's line; None when there is none yet, b"" when the worker is gone."""
        assert self.process.stdout is not None
        number = self.process.stdout.fileno()
        ready, _, _ = select.select([number], [], [], wait_s)
        if not ready:
            return None
        chunk = os.read(number, 1 << 16)
        if not chunk or len(self._buffer) > MAX_LINE:
            return b""
        self._buffer += chunk
        line, end, rest = self._buffer.partition(b"\n")
        if not end:
            return None
        self._buffer = rest
        return line

    def end(self) -> int:
        """Kill the worker's whole process group; returns its exit status."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            pass
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass
        return self.process.wait()


class Agent(object):
    """The state of one session."""

    def __init__(self, out: Any) -> None:
        self._out = out
        self._lock = threading.Lock()
        self.worker = None  # type: Optional[Worker]

    def say(self, event: str, **fields: Any) -> None:
        """One JSON line to the host."""
        with self._lock:
            self._out.write((json.dumps(dict(fields, event=event)) + "\n").encode())
            self._out.flush()

    def fresh_worker(self) -> Worker:
        """End the worker, if any, and start another."""
        if self.worker is not None:
            self.worker.end()
        self.worker = Worker()
        return self.worker

    def job(self, request: Dict[str, Any]) -> None:
        """Run one job and report it, whatever becomes of the worker."""
        worker = self.worker
        if worker is None or worker.process.poll() is not None:
            worker = self.fresh_worker()
        deadline = time.monotonic() + float(request["config"]["job_timeout_s"])
        spoken = time.monotonic()
        line = None  # type: Optional[bytes]
        try:
            worker.send(request)
            while line is None:
                line = worker.receive(0.25)
                now = time.monotonic()
                if host_gone():
                    raise HostGone
                if line is None and now >= deadline:
                    self._give_up(request, "timed_out", "ran longer than %s s" % request["config"]["job_timeout_s"])
                    return
                if now - spoken >= HEARTBEAT_S:
                    spoken = now
                    self.say("heartbeat")
        except OSError:
            line = b""
        if line:
            self.say("result", id=request["id"], **json.loads(line.decode()))
            return
        status, why = death(self._buried())
        self._report(request, status, why)

    def _buried(self) -> int:
        """The exit status of a worker that ended by itself."""
        worker, self.worker = self.worker, None
        if worker is None:
            return 0
        try:
            worker.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            pass
        return worker.end()

    def _give_up(self, request: Dict[str, Any], status: str, why: str) -> None:
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.end()
        self._report(request, status, why)

    def _report(self, request: Dict[str, Any], status: str, why: str) -> None:
        self.say(
            "result", id=request["id"], status=status, issues=[], samples_ns=[], runs_per_batch=0, load_ns=None,
            first_run_ns=None, warmup_runs=0, output_error=None, energy_mj=None, error=why, env={},
        )  # fmt: skip


def death(status: int) -> Any:
    """(type, words) for the exit status of a worker that died during a job."""
    if status == -signal.SIGKILL:
        return "out_of_memory", "the worker was killed, as the kernel does when memory runs out"
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = "signal %d" % -status
        return "crashed", "the worker died of " + name
    return "crashed", "the worker ended with exit status %d" % status


def serve() -> int:
    """Answer requests until stdin ends; then nothing of ours is left running."""
    agent = Agent(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    agent.say("hello", protocol=PROTOCOL, pid=os.getpid(), python="%d.%d.%d" % sys.version_info[:3])
    try:
        for line in sys.stdin.buffer:
            request = json.loads(line.decode())
            kind = request.get("op")
            if kind == "quit":
                break
            if kind == "facts":
                agent.say("facts", facts=facts())
            elif kind == "fresh_worker":
                agent.say("worker", pid=agent.fresh_worker().process.pid)
            elif kind == "job":
                agent.job(request)
            else:
                agent.say("error", error="unknown request %r" % (kind,))
    except HostGone:
        pass
    finally:
        if agent.worker is not None:
            agent.worker.end()
    return 0
