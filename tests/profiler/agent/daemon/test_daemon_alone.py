"""The daemon in this process, with a clock and a disk that fit a test."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from profiler.agent import boardlease
from profiler.agent.boardlease import Lease
from profiler.agent.daemon import daemon
from profiler.agent.daemon.daemon import Daemon
from profiler.agent.daemon.journal import Journal
from profiler.agent.place import Place

Job = dict[str, Any]
Until = Callable[[Callable[[], bool]], None]


class Session:
    """A daemon in a thread, and a host's link to it."""

    def __init__(self, workdir: Path) -> None:
        lease = Lease.take(str(workdir / "lease"))
        assert lease is not None
        self.lease = lease
        lease.describe({}, "5e55")
        self.listener = socket.create_server(("127.0.0.1", 0))
        os.makedirs(workdir / "sessions" / "5e55")
        self.journal = Journal(str(workdir / "journal.jsonl"))
        self.pipe = os.pipe()
        self.daemon = Daemon(Place.of(str(workdir), "5e55"), lease, self.listener, self.journal, self.pipe[0])
        self.thread = threading.Thread(target=self.daemon.run)
        self.thread.start()
        self.links: list[socket.socket] = []

    def attach(self, alone_s: float | None = None, linger_s: float = 60.0) -> Any:
        link = socket.create_connection(self.listener.getsockname(), timeout=20)
        self.links.append(link)
        file = link.makefile("rwb", buffering=0)
        hello = {"op": "hello", "since": 0, "alone_s": alone_s, "linger_s": linger_s}
        file.write(json.dumps(hello).encode() + b"\n")
        assert json.loads(file.readline())["event"] == "hello"
        return file

    def end(self) -> None:
        os.write(self.pipe[1], b"!")
        self.thread.join(20)
        for link in [*self.links, self.listener]:
            link.close()
        for number in self.pipe:
            os.close(number)
        self.journal.close()
        self.lease.close()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    with contextlib.closing(made.listener):
        yield made
        made.end()


@pytest.fixture
def gone(file_job: Any, tmp_path: Path) -> Job:
    return dict(file_job(tmp_path / "gone.onnx", "onnxruntime"))


def test_an_attached_host_hears_that_the_agent_lives(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "HEARTBEAT_S", 0.05)
    host = session.attach()
    for _ in range(3):
        assert json.loads(host.readline()) == {"event": "heartbeat", "running": None}
    host.close()


def test_nothing_wakes_an_agent_that_has_nothing_to_do(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that never sleeps would take a core from what is being timed."""
    session.attach(linger_s=600.0)
    link = session.links[0]
    times: list[float] = []
    patience = Daemon._patience

    def note(self: Daemon) -> float:
        times.append(patience(self))
        return times[-1]

    monkeypatch.setattr(Daemon, "_patience", note)
    link.sendall(b'{"op": "facts"}\n')
    link.recv(1 << 16)
    link.close()
    with contextlib.suppress(TimeoutError):
        session.thread.join(0.3)
    assert len(times) <= 6
    assert times[-1] > 1


def test_a_paused_agent_sleeps_as_well(session: Session, gone: Job, until: Until) -> None:
    host = session.attach(alone_s=0.0)
    session.links.pop().close()
    host.close()
    until(lambda: session.daemon._client is None)
    session.daemon._queue.append(gone)
    assert session.daemon._solitude.paused()
    assert session.daemon._patience() > 1
    assert len(session.journal) == 0


def test_a_host_that_reads_fast_is_not_kept_waiting(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old entries, and requests that came with the hello: nothing else wakes the agent for them."""
    for number in range(500):
        session.journal.add({"event": "started", "id": str(number), "text": "x" * 20_000})
    session.journal.sync()
    monkeypatch.setattr(daemon, "HEARTBEAT_S", 1000.0)
    with socket.create_connection(session.listener.getsockname(), timeout=5) as link, link.makefile("rb") as file:
        link.sendall(b'{"op":"hello","since":0,"alone_s":null,"linger_s":60}\n' + b'{"op":"facts"}\n' * 3)
        heard = [json.loads(file.readline()) for _ in range(504)]
    assert [message["event"] for message in heard] == ["hello", *["started"] * 500, *["facts"] * 3]


def test_the_lease_is_renewed_whatever_happens(session: Session, monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    monkeypatch.setattr(boardlease, "RENEW_S", 0.05)
    session.lease._renew_at = 0.0
    session.attach()  # which wakes it
    lease = session.lease
    seen = {boardlease.read(f"/proc/self/fd/{lease.number}")["renewed_s"]}

    def renewed() -> bool:
        seen.add(boardlease.read(f"/proc/self/fd/{lease.number}").get("renewed_s"))
        return len(seen - {None}) >= 3

    until(renewed)


def test_results_are_told_although_the_disk_is_full_and_written_when_it_is_not(
    session: Session, gone: Job, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(daemon, "SYNC_AGAIN_S", 0.1)
    write, full = os.pwrite, threading.Event()
    full.set()

    def pwrite(number: int, data: bytes, offset: int) -> int:
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(number, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    host = session.attach()
    host.write(json.dumps({"op": "block", "jobs": [gone, gone | {"id": "b"}]}).encode() + b"\n")
    heard = [json.loads(host.readline()) for _ in range(5)]
    assert [message.get("seq") for message in heard] == [None, 0, 1, 2, 3]
    assert session.journal.waiting_bytes > 0
    full.clear()
    until(lambda: session.journal.waiting_bytes == 0)
    assert [json.loads(session.journal.message(seq))["id"] for seq in range(4)] == ["gone.onnx", "gone.onnx", "b", "b"]
    host.close()


def test_nothing_is_told_that_is_not_on_disk(session: Session, gone: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    may_sync, synced = threading.Event(), os.fsync

    def fsync(number: int) -> None:
        may_sync.wait(20)
        synced(number)

    monkeypatch.setattr(os, "fsync", fsync)
    session.attach()
    link = session.links[0]
    link.sendall(json.dumps({"op": "block", "jobs": [gone]}).encode() + b"\n")
    link.settimeout(0.3)
    heard = b""
    with contextlib.suppress(TimeoutError):
        while True:
            heard += link.recv(1 << 16)
    assert b"started" not in heard
    may_sync.set()
    link.settimeout(20)
    while b"result" not in heard:
        heard += link.recv(1 << 16)
    assert [json.loads(line)["event"] for line in heard.splitlines()] == ["queued", "started", "result"]


def test_nobody_goes_while_results_are_in_memory_alone(
    session: Session, gone: Job, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(daemon, "SYNC_AGAIN_S", 0.05)
    sync, full = Journal.sync, threading.Event()
    full.set()
    monkeypatch.setattr(Journal, "sync", lambda self: False if full.is_set() else sync(self))
    host = session.attach(linger_s=0.0)
    host.write(json.dumps({"op": "block", "jobs": [gone]}).encode() + b"\n")
    assert [json.loads(host.readline())["event"] for _ in range(3)] == ["queued", "started", "result"]
    host.close()
    session.links.pop().close()
    until(lambda: session.daemon._client is None)
    session.thread.join(0.2)
    assert session.thread.is_alive()
    full.clear()
    session.thread.join(20)
    assert not session.thread.is_alive()
    assert session.journal.waiting_bytes == 0


def test_no_job_is_begun_while_too_much_waits_for_a_full_disk(
    session: Session, gone: Job, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(daemon, "MOST_WAITING_BYTES", -1)
    host = session.attach()
    host.write(json.dumps({"op": "block", "jobs": [gone]}).encode() + b"\n")
    assert json.loads(host.readline()) == {"event": "queued", "jobs": 1}
    host.write(b'{"op": "facts"}\n')
    assert json.loads(host.readline())["event"] == "facts"
    monkeypatch.setattr(daemon, "MOST_WAITING_BYTES", 0)
    host.write(b'{"op": "dance"}\n')
    assert {json.loads(host.readline())["event"] for _ in range(2)} == {"error", "started"}
    host.close()


def test_a_request_that_fails_is_an_answer(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(workdir: str) -> None:
        raise PermissionError("the files of this board are odd")

    monkeypatch.setattr(daemon, "facts", broken)
    host = session.attach()
    host.write(b'{"op": "facts"}\n')
    assert json.loads(host.readline())["error"] == "PermissionError: the files of this board are odd"
    host.write(b'{"op": "have", "files": []}\n')
    assert json.loads(host.readline())["places"] == []
    host.close()


def test_whoever_never_says_hello_does_not_stay(
    session: Session, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    from profiler.agent.daemon import client

    monkeypatch.setattr(client, "GREETING_S", 0.05)
    with socket.create_connection(session.listener.getsockname(), timeout=20) as silent:
        assert silent.recv(10) == b""
