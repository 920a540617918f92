"""The host's end, as the daemon sees it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from profiler.agent.daemon import client as module
from profiler.agent.daemon.client import Client, ClientGone
from profiler.agent.daemon.journal import Journal


@pytest.fixture
def ends() -> Iterator[tuple[Client, socket.socket]]:
    ours, theirs = socket.socketpair()
    client = Client(ours)
    yield client, theirs
    client.close()
    theirs.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(str(tmp_path / "journal.jsonl"))
    for number in range(10):
        made.add({"event": "started", "id": f"j{number}", "text": "x" * 300_000})
    made.sync()
    yield made
    made.close()


def read_all(theirs: socket.socket) -> int:
    theirs.setblocking(False)
    total = 0
    try:
        while True:
            total += len(theirs.recv(1 << 20))
    except BlockingIOError:
        return total


def test_a_host_that_does_not_read_gets_no_more_than_a_little_ahead(
    ends: tuple[Client, socket.socket], journal: Journal
) -> None:
    client, theirs = ends
    client.greet(0, len(journal))
    assert not client.listening()
    for _ in range(20):
        client.tell(journal)
        client.flush()
    assert client._cursor < 10  # type: ignore[operator]
    assert len(client._unsent) < module.ENOUGH_UNSENT_BYTES + 310_000
    total = 0
    while client.unsent() or not client.listening():
        total += read_all(theirs)
        client.tell(journal)
        client.flush()
    total += read_all(theirs)
    assert total == sum(len(journal.message(seq)) for seq in range(10))


def test_a_host_that_takes_nothing_for_long_is_gone(
    ends: tuple[Client, socket.socket], journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, theirs = ends
    now = time.monotonic()
    assert client.deadline() == pytest.approx(now + module.GREETING_S, abs=5)
    client.greet(0, len(journal))
    assert client.deadline() is None
    client.tell(journal)
    client.flush()
    assert client.deadline() == pytest.approx(now + module.STUCK_S, abs=5)
    monkeypatch.setattr(time, "monotonic", lambda: now + 1000)
    read_all(theirs)
    client.flush()
    assert client.deadline() == now + 1000 + module.STUCK_S  # it has taken something: slow is not gone


def test_a_sign_of_life_does_not_pile_up(ends: tuple[Client, socket.socket]) -> None:
    client, theirs = ends
    for _ in range(3):
        client.beat(None)
    client.flush()
    theirs.setblocking(False)
    assert theirs.recv(1000) == b'{"running": null, "event": "heartbeat"}\n'


def test_an_end_is_noticed_from_either_side(ends: tuple[Client, socket.socket]) -> None:
    client, theirs = ends
    theirs.sendall(b"last\n")
    client.feed()
    theirs.close()
    with pytest.raises(ClientGone, match="it is gone"):
        client.feed()
    assert client.pop() == b"last"
    client.say("facts")
    with pytest.raises(ClientGone, match="the link broke"):
        client.flush()


def test_an_entry_that_the_disk_lost_ends_the_link(ends: tuple[Client, socket.socket], journal: Journal) -> None:
    client, _ = ends
    import os

    os.pwrite(journal.number, b"!", 50)
    client.greet(0, len(journal))
    with pytest.raises(ClientGone, match="cannot be told entry 0"):
        client.tell(journal)
