"""The conversation with the host: requests in, replies out, and a worker kept alive, ended or replaced.

    host -> agent   {"op": "facts"} | {"op": "fresh_worker"} | {"op": "quit"}
                    {"op": "job", "id", "path", "format", "runtime", "precision", "threads", "inputs", "layout",
                     "expected", "config"}
    agent -> host   {"event": "hello", "protocol", "pid", "python"}   once, at the start
                    {"event": "facts", "facts": {...}}   {"event": "worker", "pid"}
                    {"event": "heartbeat"}   every HEARTBEAT_S while a job runs
                    {"event": "result", "id", "status", ...}   one for each job, whatever became of it
                    {"event": "error", "error"}   for a request that is none

One thread waits for host, worker and clock at once, so that the end of stdin ends everything at any moment.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from typing import Any, BinaryIO, Dict, List, Optional

from . import failures
from .child import Child, Lines, LineTooLong
from .facts import facts, moment
from .runtimes import IMPORTERS
from .timing import Settings
from .worker import empty_reply

PROTOCOL = 1
HEARTBEAT_S = 5.0

PREPARE_S = 50.0
"""For starting a worker and importing a runtime (from a slow card, torch takes half a minute); not the job's time."""


class HostGone(Exception):
    """Nobody is there any more to give results to."""


class WorkerDied(Exception):
    """The worker's output has ended."""


class BadRequest(Exception):
    """The host asked for something that is not in the protocol."""


def check_job(request: Dict[str, Any]) -> None:
    """Refuse a job that could not run for want of a field.

    Raises:
        BadRequest: naming the field.
    """
    texts = ("id", "path", "runtime", "precision", "layout")
    for name in texts:
        if not isinstance(request.get(name), str):
            raise BadRequest("job.%s must be a text" % name)
    if request["runtime"] not in IMPORTERS:
        raise BadRequest("job.runtime must be one of %s" % ", ".join(sorted(IMPORTERS)))
    threads, config = request.get("threads"), request.get("config")
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise BadRequest("job.threads must be a whole number >= 1")
    if not isinstance(config, dict) or not isinstance(config.get("job_timeout_s"), (int, float)):
        raise BadRequest("job.config.job_timeout_s must be a number")
    try:
        Settings.read(config)
    except ValueError as error:
        raise BadRequest("job." + str(error)) from None
    shapes = request.get("inputs")
    if not isinstance(shapes, list) or not all(
        isinstance(shape, list) and all(isinstance(size, int) and size > 0 for size in shape) for shape in shapes
    ):
        raise BadRequest("job.inputs must be a list of shapes")
    expected = request.get("expected")
    if expected is not None and not _is_reference(expected):
        raise BadRequest("job.expected must hold size, rms, and as many values as indices, at least one")


def _is_reference(expected: Any) -> bool:
    if not isinstance(expected, dict) or not isinstance(expected.get("size"), int):
        return False
    indices, values = expected.get("indices"), expected.get("values")
    if not isinstance(indices, list) or not isinstance(values, list) or not 0 < len(indices) == len(values):
        return False
    numbers = [*values, expected.get("rms")]
    inside = all(isinstance(index, int) and 0 <= index < expected["size"] for index in indices)
    return inside and all(isinstance(value, (int, float)) for value in numbers)


class Agent:
    """One host's session.

    Args:
        source: where requests come from.
        sink: where replies go.
    """

    def __init__(self, source: Lines, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._child: Optional[Child] = None
        self._stage = "start"
        self._busy = False

    def say(self, event: str, **fields: Any) -> None:
        """One line to the host."""
        try:
            self._sink.write(json.dumps(dict(fields, event=event), allow_nan=False).encode("utf-8") + b"\n")
            self._sink.flush()
        except OSError:
            raise HostGone() from None

    def serve(self) -> None:
        """Answer until "quit" or the end of the requests; no worker is left behind."""
        try:
            self.say("hello", protocol=PROTOCOL, pid=os.getpid(), python="%d.%d.%d" % sys.version_info[:3])
            while True:
                line = self._next_request()
                if line is None or not self._answer(line):
                    return
        except HostGone:
            return
        finally:
            self._end_worker()

    def _next_request(self) -> Optional[bytes]:
        while True:
            line = self._source.pop()
            if line is not None or self._source.ended:
                return line
            self._source.feed()

    def _answer(self, line: bytes) -> bool:
        """Do what a request asks for; whether the conversation goes on."""
        try:
            request = json.loads(line.decode("utf-8"))
            kind = request.get("op") if isinstance(request, dict) else None
            if kind == "quit":
                return False
            if kind == "facts":
                self.say("facts", facts=facts())
            elif kind == "fresh_worker":
                self._end_worker()
                self.say("worker", pid=self._ready_worker(time.monotonic() + PREPARE_S).process.pid)
            elif kind == "job":
                check_job(request)
                self.say("result", **self._job(request))
            else:
                raise BadRequest("unknown request %r" % (kind,))
        except (BadRequest, ValueError) as error:  # ValueError: not UTF-8, or not JSON
            self.say("error", error=failures.shorten(str(error)))
        except (WorkerDied, TimeoutError) as error:
            why = str(error) or self._end_worker().error
            self.say("error", error=failures.shorten("the worker does not start: " + why))
        return True

    # Jobs

    def _job(self, request: Dict[str, Any]) -> Dict[str, Any]:
        kills = failures.kernel_kills()
        limit_s = float(request["config"]["job_timeout_s"])
        self._busy = True
        try:
            return self._attend(request, limit_s)
        except WorkerDied as error:
            end = self._end_worker(killed_for_memory=failures.kernel_kills() > kills)
            if str(error):
                end = failures.Death("crashed", failures.shorten(str(error)))
        except TimeoutError:
            stage = self._stage
            self._end_worker()
            took = PREPARE_S if stage in ("start", "import") else limit_s
            end = failures.Death("timed_out", "ended after %g s, during %s" % (took, stage))
        finally:
            self._busy = False
        return dict(empty_reply(request["id"]), status=end.status, error=end.error, env=moment())

    def _attend(self, request: Dict[str, Any], limit_s: float) -> Dict[str, Any]:
        """Have the worker do a job, whose time begins once its runtime is imported.

        Raises:
            WorkerDied, TimeoutError: it did not come to a result.
        """
        deadline = time.monotonic() + PREPARE_S
        child = self._begin(request, deadline)
        while True:
            message = self._hear(child, deadline)
            if message["event"] == "result":
                del message["event"]
                return message
            if self._stage == "import":
                deadline = time.monotonic() + limit_s
            self._stage = message["stage"]

    def _begin(self, request: Dict[str, Any], deadline: float) -> Child:
        """Hand a job to a worker and see it taken up: one found dead before that died of something else."""
        try:
            return self._hand_over(request, deadline)
        except WorkerDied:
            self._end_worker()
            return self._hand_over(request, deadline)

    def _hand_over(self, request: Dict[str, Any], deadline: float) -> Child:
        child = self._ready_worker(deadline)
        child.forget_chatter()
        try:
            child.send(request)
        except BrokenPipeError:
            raise WorkerDied() from None
        self._stage = self._hear(child, deadline)["stage"]
        return child

    def _ready_worker(self, deadline: float) -> Child:
        """The worker that is there, if it lives, or a new one."""
        if self._child is not None and self._child.process.poll() is not None:
            self._end_worker()
        self._stage = "start"
        if self._child is None:
            try:
                self._child = Child()
            except OSError as error:
                raise WorkerDied("no worker process can be started: %s" % error) from None
        if not self._child.ready:
            self._hear(self._child, deadline)
            self._child.ready = True
        self._stage = "import"
        return self._child

    def _hear(self, child: Child, deadline: float) -> Dict[str, Any]:
        """The worker's next message; meanwhile the host is told that all is well, and watched."""
        beat_at = time.monotonic() + HEARTBEAT_S
        while True:
            line = child.out.pop()
            if line is not None:
                message = json.loads(line.decode("utf-8"))
                assert isinstance(message, dict)
                return message
            now = time.monotonic()
            if now >= deadline:
                raise TimeoutError()
            if now >= beat_at:
                if self._busy:
                    self.say("heartbeat")
                beat_at = now + HEARTBEAT_S
            self._wait(child, min(deadline, beat_at) - now)

    def _wait(self, child: Child, seconds: float) -> None:
        """Sleep until somebody has said something, or has gone."""
        if self._source.ended:
            raise HostGone()
        watched: List[int] = [self._source.number, child.out.number]
        heard, _, _ = select.select(watched + ([] if child.err_ended else [child.err]), [], [], max(0.0, seconds))
        if child.err in heard:
            child.hear_chatter()
        if self._source.number in heard:
            self._source.feed()
        if child.out.number in heard:
            child.out.feed()
            if child.out.ended:
                raise WorkerDied()

    def _end_worker(self, killed_for_memory: bool = False) -> failures.Death:
        """End the worker, if there is one; how it ended."""
        child, self._child = self._child, None
        if child is None:
            return failures.Death("crashed", "there was no worker")
        status = child.end()
        return failures.death(status, self._stage, child.last_words(), killed_for_memory)


def serve() -> int:
    """Serve the host at stdin and stdout; returns the exit status."""

    ends = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

    def leave(number: int, frame: Any) -> None:
        for each in ends:  # once is enough: the worker is to be ended undisturbed
            signal.signal(each, signal.SIG_IGN)
        raise HostGone()

    for each in ends:
        signal.signal(each, leave)
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        Agent(Lines(0), sink).serve()
    except HostGone:  # by a signal, outside the conversation
        return 0
    except LineTooLong as error:
        sys.stderr.write("%s\n" % error)
        return 1
    return 0
