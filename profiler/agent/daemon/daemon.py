"""The detached agent: one process for a session, which outlives every link to its host.

    host  <--ssh-->  relay.py  <--unix socket-->  daemon.py  <--pipes-->  worker.py

One thread sleeps in select until the host, the worker, a signal or the clock has something for it; it imports no
runtime and keeps out of the way of what is being timed. What it knows is in the journal, which is brought to disk
before anybody is told of it.
"""

from __future__ import annotations

import collections
import os
import select
import socket
import sys
import time
from typing import Any, Deque, Dict, List, Optional

from .. import processes
from ..boardlease import Lease
from ..facts import facts
from ..jobs import BadRequest
from ..place import Place
from ..worker import failures
from . import requests
from .client import Client, ClientGone
from .holdings import Survey
from .journal import Journal
from .runner import Runner
from .solitude import Solitude

PROTOCOL = 2
HEARTBEAT_S = 5.0
SYNC_AGAIN_S = 5.0
"""Between attempts to write to a full disk."""

FAREWELL_S = 2.0
"""For the last words to be taken."""

SURVEY_TURN_S = 0.2
"""So long files are hashed before anybody else gets a turn."""

MOST_QUEUED = 20000
MOST_WAITING_BYTES = 64 << 20
"""So much a full disk may leave in memory before no further job is begun."""


class Daemon:
    """One session's agent.

    Args:
        place: where it is.
        lease: of the board; described and renewed here.
        listener: where relays connect.
        journal: of the session.
        alarm: a descriptor that becomes readable when the process is told to end.
    """

    def __init__(self, place: Place, lease: Lease, listener: socket.socket, journal: Journal, alarm: int) -> None:
        self._place = place
        self._lease = lease
        self._listener = listener
        self._journal = journal
        self._alarm = alarm
        self._runner = Runner(place.workdir, place.folder)
        self._queue: Deque[Dict[str, Any]] = collections.deque()
        self._client: Optional[Client] = None
        self._survey: Optional[Survey] = None
        self._solitude = Solitude()
        self._beat_at = 0.0
        self._sync_again_at: Optional[float] = None
        self._ending = ""
        self.forget = False

    def run(self) -> None:
        """Serve until told to end, or until there is nobody and nothing left to serve; no worker is left behind."""
        try:
            while not self._ending:
                self._work()
                if not self._ending:
                    self._wait()
            self._farewell()
        finally:
            self._runner.drop()

    # One turn of the loop

    def _work(self) -> None:
        """Everything that can be done without waiting."""
        self._lease.renew_if_due()
        reply = self._runner.result()
        if reply is not None:
            self._journal.add(dict(reply, event="result"))
        self._hear_client()
        taken = self._next_job()
        self._sync()
        if taken is not None:
            self._runner.take(taken)
        elif not self._queue:
            self._runner.rest()
        self._tell_client()
        self._retire()

    def _next_job(self) -> Optional[Dict[str, Any]]:
        """The job whose turn it is, its beginning journaled: it shares a sync with the end of the one before."""
        full = self._journal.waiting_bytes > MOST_WAITING_BYTES
        if self._ending or full or self._survey is not None or self._runner.running is not None:
            return None
        if not self._queue or self._solitude.paused():
            return None
        job = self._queue.popleft()
        self._journal.add({"event": "started", "id": job["id"]})
        return job

    def _sync(self) -> None:
        was_full = self._sync_again_at is not None
        if self._sync_again_at is not None and time.monotonic() < self._sync_again_at:
            return
        done = self._journal.sync()
        self._sync_again_at = None if done else time.monotonic() + SYNC_AGAIN_S
        if done == was_full:
            log("the journal can be written again" if done else "the disk takes no entries: they are kept in memory")

    def _retire(self) -> None:
        """End, if nobody comes back for what is not being done."""
        idle = self._runner.running is None and (not self._queue or self._solitude.paused()) and self._client is None
        # what the disk does not take would be lost
        if self._solitude.outlasted(idle and not self._journal.waiting_bytes):
            self._ending = self._ending or "nobody has come for %g s" % self._solitude.linger_s

    # Waiting

    def _wait(self) -> None:
        """Sleep until there is something to do; take in what there is to hear."""
        readers: List[int] = [self._alarm, self._listener.fileno(), *self._runner.readers()]
        writers = self._runner.writers()
        client = self._client
        if client is not None and client.listening() and self._survey is None:
            readers.append(client.number)
        if client is not None and client.unsent():
            writers.append(client.number)
        ready, able, _ = select.select(readers, writers, [], self._patience())
        if self._alarm in ready:
            self._ending = "it was told to end"
        self._runner.attend(ready + able)
        if client is not None and client.number in ready:
            try:
                client.feed()
            except ClientGone as error:
                self._part(str(error))
        if self._listener.fileno() in ready:
            self._accept()

    def _patience(self) -> float:
        """Seconds until the clock has something to do."""
        client = self._client
        if self._survey is not None or (client is not None and client.has_more(len(self._journal))):
            return 0.0
        times = [self._lease.renew_at(), self._runner.deadline(), self._sync_again_at]
        if client is not None:
            times += [client.deadline(), self._beat_at if client.greeted else None]
        times += self._solitude.deadlines()
        now = time.monotonic()
        return max(0.0, min(at - now for at in times if at is not None))

    # The host

    def _accept(self) -> None:
        """Whoever comes replaces whoever is there: a link that is gone may not look so from here for long."""
        try:
            link, _ = self._listener.accept()
        except OSError:  # gone again
            return
        if self._client is not None:
            self._part("another has attached")
        self._client = Client(link)

    def _part(self, why: str) -> None:
        assert self._client is not None
        log("a host was attached: %s" % why)
        if self._client.greeted:
            self._solitude.begins()
        self._client.close()
        self._client = self._survey = None

    def _hear_client(self) -> None:
        """Answer what the host has asked, in order."""
        while self._client is not None and not self._ending:
            if self._survey is not None and not self._surveyed(self._client, self._survey):
                return
            line = self._client.pop() if self._client.listening() else None
            if line is None:
                return
            try:
                self._answer(self._client, requests.read(line))
            except BadRequest as error:
                self._client.say("error", error=failures.shorten(str(error)))
            except Exception as error:  # whatever a board's files hold: the jobs go on
                log("a request failed: %s" % failures.describe(error))
                self._client.say("error", error=failures.describe(error))

    def _surveyed(self, client: Client, survey: Survey) -> bool:
        """Hash on for a moment; whether it is done."""
        pause_at = time.monotonic() + SURVEY_TURN_S
        while survey.step():
            if time.monotonic() >= pause_at:
                return False
        client.say("missing", places=survey.missing)
        self._survey = None
        return True

    def _answer(self, client: Client, request: requests.Request) -> None:
        if isinstance(request, requests.Owner):
            self._lease.describe(request.owner, self._place.session)
        elif isinstance(request, requests.Hello):
            self._hello(client, request)
        elif not client.greeted:
            raise BadRequest("say hello first")
        elif isinstance(request, requests.FactsWanted):
            client.say("facts", facts=facts(self._place.workdir))
        elif isinstance(request, requests.Have):
            if self._runner.running is not None:
                raise BadRequest("have cannot be answered while a job runs: hashing would disturb it")
            self._survey = Survey(request.files)
        elif isinstance(request, requests.Block):
            client.say("queued", jobs=self._enqueue(request.jobs))
        elif isinstance(request, requests.Drop):
            self._queue.clear()
            self._runner.drop()
            client.say("dropped")
        elif isinstance(request, requests.Quit):
            self._ending = "the host has no more work"
            self.forget = request.forget

    def _hello(self, client: Client, hello: requests.Hello) -> None:
        pid, entries = os.getpid(), len(self._journal)
        self._solitude.ends(hello.alone_s, hello.linger_s)
        client.say(
            "hello",
            protocol=PROTOCOL,
            pid=pid,
            start=processes.start_of(pid),
            boot_id=processes.boot_id(),
            session=self._place.session,
            python="%d.%d.%d" % sys.version_info[:3],
            entries=entries,
            running=self._runner.running,
            queued=len(self._queue),
        )
        client.greet(hello.since, entries)
        self._beat_at = time.monotonic() + HEARTBEAT_S

    def _enqueue(self, jobs: List[Dict[str, Any]]) -> int:
        """Queue the jobs that are not done, running or queued yet; how many of these are still to come to an end."""
        if len(self._queue) + len(jobs) > MOST_QUEUED:
            raise BadRequest("no more than %d jobs can wait" % MOST_QUEUED)
        waiting = {job["id"] for job in self._queue} | {self._runner.running}
        pending = set()
        for job in jobs:
            if job["id"] in self._journal.ended:
                continue
            pending.add(job["id"])
            if job["id"] not in waiting:
                waiting.add(job["id"])
                self._queue.append(job)
        return len(pending)

    def _tell_client(self) -> None:
        """Tell the host what is new, as far as it listens."""
        client = self._client
        if client is None:
            return
        now = time.monotonic()
        try:
            client.tell(self._journal)
            if client.greeted and now >= self._beat_at:
                client.beat(self._runner.running)
                self._beat_at = now + HEARTBEAT_S
            client.flush()
            deadline = client.deadline()
            if deadline is not None and now >= deadline:
                raise ClientGone("it takes or says nothing")
        except ClientGone as error:
            self._part(str(error))

    def _farewell(self) -> None:
        """Keep what there is, and say goodbye as far as that is heard."""
        log(self._ending)
        self._runner.drop()
        self._journal.sync()
        client = self._client
        if client is None:
            return
        client.say("bye", why=self._ending)
        deadline = time.monotonic() + FAREWELL_S
        try:
            client.flush()
            while client.unsent() and time.monotonic() < deadline:
                select.select([], [client.number], [], max(0.0, deadline - time.monotonic()))
                client.flush()
        except ClientGone:
            pass
        client.close()


def log(words: str) -> None:
    """A line in the agent's log, for people; a full disk is no reason to stumble."""
    try:
        sys.stderr.write("%s %s\n" % (time.strftime("%Y-%m-%d %H:%M:%S"), words))
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
