"""One job at a time in a worker, as a state machine that whoever owns the event loop drives.

    take -> (start) -> import -> load -> ... -> done: a reply, whatever became of the job

Nothing here waits, apart from the moments in which a worker is started or ended: the owner sleeps in select, on
`readers()` and `writers()`, until `deadline()`.
"""

from __future__ import annotations

import json
import signal
import time
from typing import Any, Dict, List, Optional, Sequence

from .. import environments, leaf
from ..facts import moment
from ..lines import LineTooLong
from ..worker import failures
from ..worker.energy import cap_s
from ..worker.pinning import Pins
from ..worker.replies import empty_reply
from ..worker.settings import Settings
from .child import Child, Confinement

PREPARE_S = 50.0
"""For starting a worker and importing a runtime (from a slow card, torch takes half a minute); not the job's time."""

COOLING_MARGIN_S = 5.0
"""A worker that waits for its board to cool down ends that by itself; so much later it counts as stuck."""

SHARED_SIGNALS = (signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGINT)
GRACE_S = 1.0
"""A board that goes down ends all processes, in any order: a job whose worker went that way is not blamed until this
much later, when the agent would have been ended too."""

Reply = Dict[str, Any]


class WorkerDied(Exception):
    """The worker's output has ended, or is not to be understood."""


class Runner:
    """Runs jobs for a daemon.

    A worker may set governors and clocks: they are put back whenever it is gone, and when there is nothing to do.

    Args:
        workdir: where the board's environments are, and what its governors and clocks were.
        folder: where workers live, with whatever a runtime leaves in the folder that it is started in.
    """

    def __init__(self, workdir: str, folder: str) -> None:
        self._workdir = workdir
        self._folder = folder
        self._child: Optional[Child] = None
        self._job: Optional[Dict[str, Any]] = None
        self._reply: Optional[Reply] = None
        self._stage = "start"
        self._deadline = 0.0
        self._limit_s = 0.0
        self._began = 0.0
        self._kills = 0
        self._fresh = False
        self._taken_up = False
        self._blame_at = 0.0
        self._ended_by = 0
        self._pins = Pins(leaf.current(), workdir)
        self._pinned = False

    @property
    def running(self) -> Optional[str]:
        """The id of the job in hand."""
        return self._job["id"] if self._job is not None else None

    def take(self, job: Dict[str, Any]) -> None:
        """Begin a job; there must be none in hand."""
        assert self._job is None
        self._job, self._reply = job, None
        self._kills = failures.kernel_kills()
        self._began = time.monotonic()
        self._limit_s = PREPARE_S
        self._deadline = self._began + self._limit_s
        self._taken_up = False
        self._blame_at = 0.0
        # a worker found dead before it takes this job up has died of something else: there is one more try
        self._fresh = self._child is None or not self._child.lives()
        try:
            self._begin(job)
        except WorkerDied as error:
            self._died(error)

    def result(self) -> Optional[Reply]:
        """The reply to the job in hand, once there is one; then there is no job in hand any more."""
        if time.monotonic() < self._blame_at:
            return None
        reply, self._reply = self._reply, None
        if reply is not None:
            reply["env"]["attempt_s"] = round(time.monotonic() - self._began, 3)
            self._job = None
        return reply

    def drop(self) -> None:
        """End the worker, and with it the job in hand."""
        self._job = self._reply = None
        self._end_worker()

    def rest(self) -> None:
        """There is no further job for now: the board's governors and clocks are put back."""
        if self._pinned and self._job is None:
            self._pins.restore()
            self._pinned = False

    # The owner's select

    def readers(self) -> List[int]:
        """Descriptors on which the worker may say something."""
        child = self._child
        if child is None:
            return []
        return [child.out.number] + ([] if child.err_ended else [child.err])

    def writers(self) -> List[int]:
        """The worker's input, while it has not taken all that it was sent."""
        return [self._child.input] if self._child is not None and self._child.unsent else []

    def deadline(self) -> Optional[float]:
        """When somebody must look at this again at the latest, by time.monotonic."""
        if self._job is None:
            return None
        return max(self._began, self._blame_at) if self._reply is not None else self._deadline

    def attend(self, ready: Sequence[int]) -> None:
        """Do what the ready descriptors and the clock ask for."""
        child = self._child
        try:
            if child is not None:
                self._hear(child, ready)
            if self._job is not None and self._reply is None and time.monotonic() >= self._deadline:
                self._timed_out()
        except WorkerDied as error:
            self._died(error)

    def _hear(self, child: Child, ready: Sequence[int]) -> None:
        if child.err in ready and not child.err_ended:
            child.hear_chatter()
        if child.input in ready:
            self._flush(child)
        if child.out.number not in ready:
            return
        try:
            child.out.feed()
        except LineTooLong as error:
            raise WorkerDied("the worker wrote %s" % error) from None
        while True:
            line = child.out.pop()
            if line is None:
                break
            self._on_message(child, line)
        if child.out.ended:
            raise WorkerDied()

    def _on_message(self, child: Child, line: bytes) -> None:
        try:
            message = json.loads(line.decode("utf-8"))
            event = message["event"]
            if event == "ready":
                child.ready = True
                self._hand_over(child)
            elif self._job is not None and event == "stage":
                self._enter(str(message["stage"]))
            elif self._job is not None and event == "result" and message["id"] == self._job["id"]:
                del message["event"]
                message["env"]["attempt_s"] = None  # a reply without an env would be none
                self._reply = message
        except (ValueError, TypeError, KeyError, RecursionError):
            raise WorkerDied("the worker wrote what is no message during %s" % self._stage) from None

    def _enter(self, stage: str) -> None:
        assert self._job is not None
        limit_s = _limit_s(self._job, self._stage, stage) if self._taken_up or stage == "cooling" else None
        if limit_s is not None:
            self._deadline = time.monotonic() + limit_s
            self._limit_s = limit_s
        self._taken_up = True
        self._stage = stage

    # The worker

    def _begin(self, job: Dict[str, Any]) -> None:
        """See to it that a worker fit for the job gets it, now or when it is ready."""
        self._stage = "start"
        try:
            site = environments.site_for(self._workdir, job["runtime"])
        except environments.EnvironmentBroken as error:
            raise WorkerDied(str(error)) from None
        cpus = job.get("cpus")
        wanted = Confinement(site, None if cpus is None else tuple(sorted(set(cpus))), job.get("memory_mb"))
        child = self._child
        if child is not None and (job.get("fresh") or child.confinement != wanted or not child.lives()):
            self._end_worker()
            self._fresh = True
        if self._child is None:
            try:
                self._child = Child(wanted, self._folder)
            except OSError as error:
                raise WorkerDied("no worker process can be started: %s" % error) from None
        if self._child.ready:
            self._hand_over(self._child)

    def _hand_over(self, child: Child) -> None:
        if self._job is None or self._stage != "start":
            return
        child.forget_chatter()
        self._stage = "import"
        try:
            child.send(dict(self._job, place={"board": self._workdir, "session": self._folder}))
            self._pinned = True
        except OSError:
            raise WorkerDied() from None

    def _flush(self, child: Child) -> None:
        try:
            child.flush()
        except OSError:
            raise WorkerDied() from None

    def _died(self, error: WorkerDied) -> None:
        """The worker is no more: try another, or blame the job in hand."""
        job, said = self._job, str(error)
        end = self._end_worker(failures.kernel_kills() > self._kills)
        if job is None or self._reply is not None:
            return
        if not self._fresh and not self._taken_up:
            self._fresh = True
            try:
                self._begin(job)
                return
            except WorkerDied as again:
                said = str(again)
                end = self._end_worker()
        if said:
            end = failures.Death("crashed", failures.shorten(said))
        elif self._ended_by in SHARED_SIGNALS and end.status == "crashed":
            self._blame_at = time.monotonic() + GRACE_S
        self._fail(end)

    def _timed_out(self) -> None:
        assert self._job is not None
        stage = self._stage
        self._end_worker()
        self._fail(failures.Death("timed_out", "ended after %g s, during %s" % (self._limit_s, stage)))

    def _fail(self, end: failures.Death) -> None:
        assert self._job is not None
        self._reply = dict(empty_reply(self._job["id"]), status=end.status, error=end.error, env=moment())

    def _end_worker(self, killed_for_memory: bool = False) -> failures.Death:
        """End the worker, if there is one; how it ended."""
        child, self._child = self._child, None
        if child is None:
            return failures.Death("crashed", "there was no worker")
        status = child.end()
        self._pins.restore()
        self._pinned = False
        self._ended_by = -status
        return failures.death(status, self._stage, child.last_words(), killed_for_memory)


def _limit_s(job: Dict[str, Any], left: str, entered: str) -> Optional[float]:
    """The time for what comes after entering a stage; None where the time that runs already is for that as well.

    A job's own time begins once its runtime is there; waiting for the board to cool down, and the spells of an energy
    measurement, are no part of it.
    """
    own_s = float(job["config"]["job_timeout_s"])
    if entered == "cooling":
        return Settings.read(job["config"]).cool_s + COOLING_MARGIN_S
    if left == "cooling":
        return PREPARE_S
    if entered == "energy":
        return own_s + cap_s(Settings.read(job["config"]))
    return own_s if left == "import" else None
