"""The conversation with a detached agent, behind a real relay."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Job = dict[str, Any]
Attach = Callable[..., Any]
Until = Callable[[Callable[[], bool]], None]
Alive = Callable[[int], bool]


def start_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]


# greetings and requests


def test_the_agent_introduces_itself(attach: Attach, workdir: Path) -> None:
    agent = attach()
    hello = agent.hello()
    assert (hello.protocol, hello.session, hello.entries, hello.running, hello.queued) == (
        2, "0123456789abcdef", 0, None, 0
    )  # fmt: skip
    assert hello.start == start_of(hello.pid)
    assert hello.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    card = json.loads((agent.folder / "agent.json").read_text())
    assert card == {"pid": hello.pid, "start": hello.start, "boot_id": hello.boot_id}
    assert os.getpgid(hello.pid) == os.getsid(hello.pid) == hello.pid != agent.process.pid


def test_nobody_else_can_look_into_a_session(attach: Attach, workdir: Path) -> None:
    agent = attach()
    agent.hello()
    assert stat.S_IMODE(agent.folder.stat().st_mode) == 0o700
    for name in ("journal.jsonl", "agent.json", "agent.log", "socket"):
        assert stat.S_IMODE((agent.folder / name).stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE((workdir / "lease").stat().st_mode) == 0o600


def test_nothing_is_answered_before_a_hello(attach: Attach) -> None:
    agent = attach()
    complaint = agent.ask({"op": "facts"})
    assert (complaint.event, complaint.error) == ("error", "say hello first")
    assert agent.hello().entries == 0


def test_facts_are_answered_also_while_a_job_runs(agent: Any, endless: Job, until: Until) -> None:
    assert agent.ask({"op": "facts"}).facts.logical_cores == os.cpu_count()
    agent.busy(endless, until)
    assert agent.ask({"op": "facts"}).facts.logical_cores == os.cpu_count()
    refused = agent.ask({"op": "have", "files": []})
    assert refused.event == "error"
    assert "while a job runs" in refused.error
    assert agent.ask({"op": "drop"}).event == "dropped"


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (b"what?\n", "not a line of JSON"),
        (b"\xff\xfe\n", "utf-8"),
        (b"[" * 100_000 + b"\n", "not a line of JSON"),
        ({"op": "dance"}, "unknown request 'dance'"),
        ({"op": "block", "jobs": [{}]}, "job.id must be a text"),
        ({"op": "\ud800\x1b[2J"}, "unknown request"),
    ],
)
def test_what_is_no_request_is_answered_by_an_error(agent: Any, request_: Any, error: str) -> None:
    message = agent.ask(request_)
    assert message.event == "error"
    assert error in message.error
    assert agent.ask({"op": "facts"}).event == "facts"  # and the conversation goes on


def test_a_line_without_end_ends_the_link_and_not_the_agent(attach: Attach, alive: Alive) -> None:
    agent = attach()
    agent.hello()
    with contextlib.suppress(BrokenPipeError):
        for _ in range(17):
            agent.send(b"x" * (1 << 20))
    assert agent.process.wait(20) == 70
    again = attach()
    assert again.hello().pid == agent.pid


def test_files_are_there_when_their_hash_is(agent: Any, tmp_path: Path) -> None:
    import hashlib

    whole, torn = tmp_path / "whole", tmp_path / "torn"
    whole.write_bytes(b"a" * 3_000_000)
    torn.write_bytes(b"a" * 2_999_999)
    sha256 = hashlib.sha256(whole.read_bytes()).hexdigest()
    files = [(str(path), sha256) for path in (torn, whole, tmp_path / "gone", tmp_path, whole)]
    assert agent.ask({"op": "have", "files": [*files, ["\0", sha256]]}).places == [0, 2, 3, 5]
    assert agent.ask({"op": "have", "files": []}).places == []


def test_jobs_run_in_order_and_none_twice(start: Callable[[], Any], gone: Any) -> None:
    agent = start()
    assert agent.block(gone("a"), gone("b"), gone("a")) == 2
    entries = agent.entries(4)
    assert [(entry.event, entry.id, entry.seq) for entry in entries] == [
        ("started", "a", 0), ("result", "a", 1), ("started", "b", 2), ("result", "b", 3)
    ]  # fmt: skip
    assert entries[1].status == "crashed"
    assert "gone.onnx is not on the board" in entries[1].error
    assert entries[1].env["attempt_s"] > 0
    assert agent.block(gone("b"), gone("c"), gone("a")) == 1
    assert [entry.id for entry in agent.entries(2)] == ["c", "c"]


def test_a_block_with_a_bad_job_is_refused_whole(start: Callable[[], Any], gone: Any) -> None:
    agent = start()
    assert agent.ask({"op": "block", "jobs": [gone("a"), gone("b", threads=0)]}).event == "error"
    assert agent.block(gone("c")) == 1
    assert [entry.id for entry in agent.entries(2)] == ["c", "c"]


def test_what_is_dropped_has_not_ended_and_can_be_handed_over_again(
    start: Callable[[], Any], endless: Job, gone: Any, until: Until, alive: Alive
) -> None:
    agent = start()
    worker = agent.busy(endless, until)
    assert agent.block(gone("next")) == 1
    assert agent.ask({"op": "drop"}).event == "dropped"
    assert not alive(worker)
    assert agent.block(gone("endless"), gone("next")) == 2
    entries = agent.entries(4)
    assert [(entry.event, entry.id) for entry in entries] == [
        ("started", "endless"), ("result", "endless"), ("started", "next"), ("result", "next")
    ]  # fmt: skip
    assert agent.seqs == [0, 1, 2, 3, 4]


def test_old_entries_come_before_other_answers_and_a_slow_reader_costs_no_memory(
    attach: Attach, gone: Any, until: Until
) -> None:
    """Thousands of entries, of which nobody reads one for a while."""
    from profiler.agent.daemon.journal import encode

    agent = attach()
    agent.hello()
    assert agent.quit() == 0
    filler = "x" * 4_000
    lines = [
        encode({"event": "started", "id": f"{seq}-{filler[:40]}", "seq": seq, "more": filler}) for seq in range(3_000)
    ]
    (agent.folder / "journal.jsonl").write_bytes(b"".join(lines))
    slow = attach()
    slow.send({"op": "hello", "since": 0, "alone_s": None, "linger_s": 60.0})
    slow.send({"op": "facts"})
    card = agent.folder / "agent.json"
    until(card.exists)
    pid = json.loads(card.read_text())["pid"]
    assert slow.process.stdout is not None
    hello = json.loads(slow.process.stdout.readline())
    assert hello["entries"] == 3_000
    before_kb = resident_kb(pid)
    other = [json.loads(slow.process.stdout.readline()) for _ in range(3_000)]
    assert [message["seq"] for message in other] == list(range(3_000))
    assert json.loads(slow.process.stdout.readline())["event"] == "facts"
    assert resident_kb(pid) < before_kb + 8_000
    os.kill(pid, 15)


def resident_kb(pid: int) -> int:
    (line,) = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS")]
    return int(line.split()[1])


def test_a_host_that_floods_and_never_reads_is_not_heard_for_ever(attach: Attach, endless: Job, until: Until) -> None:
    """The socket itself: a relay would be in between."""
    agent = attach()
    agent.hello()
    agent.busy(endless, until)
    before_kb = resident_kb(agent.pid)
    with socket.socket(socket.AF_UNIX) as flood:
        here = os.getcwd()
        os.chdir(agent.folder)
        try:
            flood.connect("socket")
        finally:
            os.chdir(here)
        flood.sendall(b'{"op":"hello","since":0,"alone_s":null,"linger_s":60}\n')
        flood.settimeout(0.5)  # long enough for an agent that still reads
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 50 << 20:
                sent += flood.send(b'{"op":"dance"}\n' * 1000)
        assert sent < 50 << 20
        assert resident_kb(agent.pid) < before_kb + 64_000
    again = attach()
    assert again.hello().running == "endless"
