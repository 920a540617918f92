"""Relays: who gets the board, and how a relay ends."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from profiler.agent import relay

OTHER = "fedcba9876543210"

Attach = Callable[..., Any]
Until = Callable[[Callable[[], bool]], None]
Alive = Callable[[int], bool]


def test_a_second_session_is_told_who_has_the_board(attach: Attach, workdir: Path) -> None:
    first = attach()
    hello = first.hello()
    second = attach(session=OTHER, wait_s=0.0)
    status, words = second.close()
    assert status == 75
    lease = json.loads(words)
    assert (lease["host"], lease["user"], lease["owner"]) == ("lab", "ada", "a test")
    assert (lease["agent_pid"], lease["agent_start"], lease["boot_id"]) == (hello.pid, hello.start, hello.boot_id)
    assert lease["session"] == first.folder.name
    assert lease["renewed_s"] <= lease["now_s"] < lease["renewed_s"] + lease["ttl_s"]
    assert lease["expired"] is False


def unread(agent: Any) -> int:
    """Bytes that its relay has not taken from the link yet."""
    return int.from_bytes(fcntl.ioctl(agent.process.stdin, termios.FIONREAD, b"\0" * 4), sys.byteorder)


def test_a_session_waits_for_the_board_and_gets_it(attach: Attach, until: Until) -> None:
    first = attach()
    first.hello()
    second = attach(session=OTHER, wait_s=60.0)
    second.send({"op": "hello", "since": 0, "alone_s": None, "linger_s": 60.0})
    until(lambda: unread(second) == 0)  # kept for the agent that will be
    assert first.quit() == 0
    assert second.hear().session == OTHER


def test_whoever_waits_for_the_board_and_loses_the_link_ends(attach: Attach) -> None:
    attach().hello()
    second = attach(session=OTHER, wait_s=60.0)
    second.send(b"{}\n")
    assert second.close() == (0, "")


def test_two_relays_that_come_at_once_find_one_agent(attach: Attach) -> None:
    relays = [attach(wait_s=60.0) for _ in range(4)]
    pids = set()
    for each in relays:
        each.send({"op": "hello", "since": 0, "alone_s": None, "linger_s": 60.0})
    for each in relays:
        assert each.process.stdout is not None
        line = each.process.stdout.readline()  # nothing, where another came after it
        if line:
            pids.add(json.loads(line)["pid"])
    assert len(pids) == 1


def test_the_end_of_the_link_ends_the_relay_alone(attach: Attach, alive: Alive) -> None:
    agent = attach()
    agent.hello()
    assert agent.close() == (0, "")
    assert alive(agent.pid)


def test_what_was_said_before_the_link_ended_is_handed_on(attach: Attach, until: Until, alive: Alive) -> None:
    agent = attach()
    agent.hello()
    agent.send({"op": "quit", "forget": False})
    agent.close()
    until(lambda: not alive(agent.pid))


def test_what_the_agent_does_not_take_at_once_is_handed_on_too() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        up = relay._Pipe(0, ours.fileno(), b"x" * 3_000_000)
        up.write()
        assert up.unsent
        taken: list[int] = []
        reader = threading.Thread(target=lambda: taken.append(len(theirs.recv(3_000_000, socket.MSG_WAITALL))))
        reader.start()
        up.drain(20)
        reader.join(20)
        assert taken == [3_000_000]


def test_an_agent_that_vanishes_is_told(attach: Attach) -> None:
    agent = attach()
    agent.hello()
    os.kill(agent.pid, signal.SIGKILL)
    status, words = agent.process.wait(20), agent.close()[1]
    assert status == 70
    assert words.startswith("the agent is gone: ")
    assert "begins with 0 entries" in words  # the last words of its log


def test_paths_may_be_longer_than_a_sockets_address(attach: Attach, tmp_path: Path) -> None:
    workdir = tmp_path / ("a" * 100) / ("b" * 100)
    workdir.mkdir(parents=True)
    agent = attach(workdir=workdir)
    assert agent.hello().entries == 0
    assert agent.quit() == 0


def test_paths_may_be_relative_to_wherever_it_is_started(pyz: Path, workdir: Path, good_job: Any) -> None:
    """Workers start from the same file, and modules are still read from it later on."""
    requests = [
        {"op": "hello", "since": 0, "alone_s": None, "linger_s": 60.0},
        {"op": "block", "jobs": [good_job]},
    ]
    command = [sys.executable, pyz.name, "attach", os.path.relpath(workdir, pyz.parent), "ab" * 8, "{}", "0"]
    link = subprocess.Popen(command, cwd=pyz.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert link.stdin is not None
    assert link.stdout is not None
    for request in requests:
        link.stdin.write(json.dumps(request).encode() + b"\n")
    link.stdin.flush()
    heard = [json.loads(link.stdout.readline()) for _ in range(4)]
    assert [message["event"] for message in heard] == ["hello", "queued", "started", "result"]
    assert heard[3]["status"] == "ok", heard[3]["error"]
    link.communicate(b'{"op": "quit"}\n')


def test_a_new_host_process_becomes_the_leases_owner(attach: Attach, workdir: Path, pyz: Path, until: Until) -> None:
    agent = attach()
    agent.hello()
    owner = json.dumps({"host": "office", "user": "bob", "pid": 7, "start": "8", "ttl_s": 300})
    command = [sys.executable, str(pyz), "attach", str(workdir), agent.folder.name, owner, "0"]
    link = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    until(lambda: json.loads((workdir / "lease").read_text() or "{}").get("host") == "office")
    lease = json.loads((workdir / "lease").read_text())
    assert (lease["user"], lease["pid"], lease["start"], lease["owner"], lease["ttl_s"]) == ("bob", 7, "8", None, 300)
    assert lease["agent_pid"] == agent.pid
    link.communicate()
    assert link.returncode == 0


def test_a_folder_that_cannot_be_used_is_named(attach: Attach, workdir: Path) -> None:
    (workdir / "sessions").write_text("in the way")
    status, words = attach().close()
    assert status == 73
    assert "sessions/0123456789abcdef cannot be used: " in words
    (workdir / "sessions").unlink()
    assert attach().hello().entries == 0  # and the board is not held


def test_a_workdir_that_is_not_there_is_not_made(attach: Attach, tmp_path: Path) -> None:
    status, words = attach(workdir=tmp_path / "nowhere").close()
    assert status == 73
    assert "nowhere" in words
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("session", ["", "0123", "../../../../etc", "0123456789ABCDEF", "0" * 65, "0123456789abcdef\n"])
def test_a_session_has_a_name_that_is_no_path(attach: Attach, workdir: Path, session: str) -> None:
    status, words = attach(session=session).close()
    assert status == 2
    assert "hexadecimal" in words
    assert list(workdir.iterdir()) == []
