"""The worker: a process of its own that loads and times one artefact after the other, so that a crash is contained.

daemon -> worker   a job as the host sent it; end of file: the worker ends at once, with all that it has started
worker -> daemon   {"event": "ready"}, {"event": "stage", "stage": ...} before each step, {"event": "result", ...}
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from typing import Any, Callable, Dict

from .attempt import run_job
from .bench import Bench
from .confine import CannotConfine, confine

UNFIT_EXIT = 3
"""Exit status of a worker that cannot be what it is meant to be."""


def work(limits: Dict[str, Any]) -> int:
    """Answer jobs on what was stdout when the process began, until stdin ends.

    Args:
        limits: what this process may use; see `confine`.
    """
    # runtimes chatter on stdout: the protocol keeps the real one and everybody else gets stderr
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _be_expendable()
    try:
        confine(limits)
    except CannotConfine as error:
        sys.stderr.write("%s\n" % error)
        return UNFIT_EXIT

    def say(message: Dict[str, Any]) -> None:
        answers.write(json.dumps(message, allow_nan=False) + "\n")
        answers.flush()

    bench = Bench()
    jobs = _incoming(bench.leave)
    say({"event": "ready"})
    while True:
        request = jobs.get()
        say(dict(run_job(request, bench, say), event="result"))


def _incoming(leave: Callable[[], None]) -> queue.Queue[Dict[str, Any]]:
    """Jobs as a thread reads them, which ends the process as soon as nobody can want its result any more.

    The thread sleeps in read() while jobs are timed, and takes nothing from them.

    Args:
        leave: what there is to do then, in no time.
    """
    source = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    jobs: queue.Queue[Dict[str, Any]] = queue.Queue()

    def read() -> None:
        try:
            for line in source:
                jobs.put(json.loads(line.decode("utf-8")))
        finally:
            try:
                leave()
            except Exception as error:  # it ends all the same
                sys.stderr.write("%s\n" % error)
            if os.getpgrp() == os.getpid():  # what a runtime has started ends as well
                os.killpg(0, signal.SIGKILL)
            os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return jobs


def _be_expendable() -> None:
    """Have the kernel take this process first when memory runs out, and keep its cores off the board's small disk."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass
