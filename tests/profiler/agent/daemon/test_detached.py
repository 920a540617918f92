"""Hosts that come and go, and the agent that stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

Job = dict[str, Any]
Attach = Callable[..., Any]
Until = Callable[[Callable[[], bool]], None]
Alive = Callable[[int], bool]


def test_a_relay_killed_in_the_middle_of_a_block_loses_nothing(
    attach: Attach, gone: Any, good_job: Job, endless: Job, until: Until
) -> None:
    agent = attach()
    agent.hello()
    slow = endless | {"id": "slow", "config": endless["config"] | {"cap_s": 0.3}}
    block = [good_job | {"id": "one"}, slow, *(gone(f"g{number}") for number in range(5))]
    assert agent.block(*block) == 7
    first = agent.entries(3)
    assert first[2].id == "slow"
    agent.cut()
    until(lambda: (agent.folder / "journal.jsonl").read_bytes().count(b"\n") == 14)
    again = attach()
    hello = again.hello(since=2)
    assert (hello.pid, hello.entries, hello.running, hello.queued) == (agent.pid, 14, None, 0)
    entries = again.entries(12)
    assert again.seqs == list(range(2, 14))
    assert [entry.id for entry in entries if entry.event == "result"] == ["slow", "g0", "g1", "g2", "g3", "g4"]
    assert entries[1].status == "ok"
    assert again.block(*block) == 0


def test_whoever_attaches_replaces_whoever_was_attached(
    attach: Attach, endless: Job, until: Until, alive: Alive
) -> None:
    first = attach()
    first.hello()
    worker = first.busy(endless, until)
    second = attach()
    hello = second.hello()
    assert (hello.pid, hello.running) == (first.pid, "endless")
    assert first.process.wait(20) == 70
    assert second.entries(1)[0].id == "endless"
    assert alive(worker)


def test_entries_beyond_the_journals_end_are_not_waited_for(attach: Attach, gone: Any) -> None:
    agent = attach()
    agent.hello(since=1000)
    agent.block(gone("a"))
    assert [entry.seq for entry in agent.entries(2)] == [0, 1]


def test_an_agent_that_is_killed_leaves_a_job_begun_and_a_new_one_takes_over(
    attach: Attach, endless: Job, gone: Any, until: Until, alive: Alive
) -> None:
    agent = attach()
    agent.hello()
    agent.block(gone("before"))
    agent.entries(2)
    worker = agent.busy(endless, until)
    os.kill(agent.pid, 9)
    until(lambda: not alive(worker))
    assert agent.process.wait(20) == 70
    with (agent.folder / "journal.jsonl").open("ab") as file:
        file.write(b'00112233 {"event": "resu')  # as a power cut may leave it
    again = attach()
    hello = again.hello()
    assert hello.pid != agent.pid
    assert (hello.entries, hello.running, hello.queued) == (3, None, 0)
    assert [(entry.event, entry.id) for entry in again.entries(3)] == [
        ("started", "before"), ("result", "before"), ("started", "endless")
    ]  # fmt: skip
    assert again.block(gone("before"), gone("endless")) == 1  # it is not resumed, and may be handed over again
    assert [(entry.event, entry.id, entry.seq) for entry in again.entries(2)] == [
        ("started", "endless", 3), ("result", "endless", 4)
    ]  # fmt: skip
    assert "24 torn bytes" in (agent.folder / "agent.log").read_text()


def test_an_agent_alone_goes_on_for_as_long_as_it_was_told_and_pauses(
    attach: Attach, gone: Any, endless: Job, until: Until
) -> None:
    agent = attach()
    agent.hello(alone_s=0.0)
    slow = endless | {"id": "slow", "config": endless["config"] | {"cap_s": 0.3}}
    agent.block(slow, gone("after"))
    agent.entries(1)
    agent.cut()
    journal = agent.folder / "journal.jsonl"
    until(lambda: journal.read_bytes().count(b"\n") == 2)  # the job in hand is brought to its end
    again = attach()
    hello = again.hello(since=1)
    assert (hello.entries, hello.running, hello.queued) == (2, None, 1)
    assert [(entry.event, entry.id) for entry in again.entries(3)] == [
        ("result", "slow"), ("started", "after"), ("result", "after")
    ]  # fmt: skip


@pytest.mark.parametrize("queued", [False, True])
def test_an_agent_that_nobody_comes_back_to_ends(
    attach: Attach, gone: Any, endless: Job, until: Until, alive: Alive, queued: bool
) -> None:
    """With nothing to do, or with what it must not do alone."""
    agent = attach()
    agent.hello(alone_s=0.0, linger_s=0.1)
    if queued:
        slow = endless | {"id": "slow", "config": endless["config"] | {"cap_s": 0.2}}
        agent.block(slow, gone("never"))
        agent.entries(1)
    agent.cut()
    until(lambda: not alive(agent.pid))
    assert not (agent.folder / "socket").exists()
    assert not (agent.folder / "agent.json").exists()
    assert "nobody has come for 0.1 s" in (agent.folder / "agent.log").read_text()
    again = attach()
    assert again.hello().entries == (2 if queued else 0)


def test_quit_ends_the_agent_and_its_worker(attach: Attach, endless: Job, until: Until, alive: Alive) -> None:
    agent = attach()
    agent.hello()
    worker = agent.busy(endless, until)
    assert agent.quit() == 0
    until(lambda: not alive(agent.pid))
    assert not alive(worker)
    assert (agent.folder / "journal.jsonl").exists()


def test_a_session_that_is_forgotten_leaves_no_trace(attach: Attach, gone: Any, until: Until, alive: Alive) -> None:
    agent = attach()
    agent.hello()
    agent.block(gone("a"))
    agent.entries(2)
    assert agent.quit(forget=True) == 0
    until(lambda: not alive(agent.pid))
    assert not agent.folder.exists()


@pytest.mark.parametrize("number", [15, 2])
def test_an_agent_that_is_told_to_end_says_so_and_leaves_no_worker(
    start: Callable[[], Any], endless: Job, until: Until, alive: Alive, number: int
) -> None:
    agent = start()
    worker = agent.busy(endless, until)
    os.kill(agent.pid, 1)  # a terminal that is gone is no reason
    os.kill(agent.pid, number)
    bye = agent.hear()
    assert (bye.event, bye.why) == ("bye", "it was told to end")
    assert agent.process.wait(20) == 0
    until(lambda: not alive(agent.pid))
    assert not alive(worker)
