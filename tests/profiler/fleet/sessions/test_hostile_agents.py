"""Agents that say what cannot be: each is refused, and ends the session."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from profiler.errors import AgentCrashed, DeviceError, DeviceLost, DeviceTimeout
from profiler.fleet.transport.local import LocalTransport
from profiler.measure.board import BoardJob
from profiler.workloads.artefacts import Artefact

sys.path.insert(0, str(Path(__file__).parent))
from fake_agent import Start, fake_sessions
from test_session import CONFIG, ONE, TARGET, made


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with fake_sessions(tmp_path, monkeypatch) as make:
        yield make


@pytest.fixture
def artefact(tmp_path: Path) -> Artefact:
    return made(tmp_path)


def run(session: Any, artefact: Artefact, *keys: str) -> list[str]:
    return [key for key, _ in session.run([BoardJob(key, artefact) for key in keys], TARGET, CONFIG)]


@pytest.mark.parametrize(
    "answer",
    [
        "say('no JSON')",
        "say('{')",
        "say({'event': 'unheard of'})",
        "result(0, 'k')",  # not begun
        "started(1, 'k')",  # not the next number
        "started(0, 'other')",  # nobody's job
        "started(0, '../../etc')",
        "started(0, 'k'); started(0, 'k')",
        "started(0, 'k'); started(1, 'k')",
        "started(0, 'k'); started(1, 'l')",
        "started(0, 'k'); result(1, 'l')",
        "started(0, 'k'); result(1, 'other')",
        "started(0, 'k'); result(2, 'k')",
        "started(0, 'k'); result(1, 'k', samples_ns=[-1])",
        "started(0, 'k'); result(1, 'k', samples_ns=[float('nan')])",
        "started(0, 'k'); result(1, 'k', output_error=float('inf'))",
        "started(0, 'k'); result(1, 'k', samples_ns=[])",
        "started(0, 'k'); result(1, 'k', extra=1)",
        "say({'event': 'error', 'error': 'what?'})",
        "say({'event': 'queued', 'jobs': 1})",
        "say({'event': 'missing', 'places': []})",
        "say(HELLO)",
    ],
)
def test_nonsense_is_a_crash_and_ends_the_session(start: Start, artefact: Artefact, answer: str) -> None:
    with start(f"hello(); block(); {answer}; hear()") as session:
        with pytest.raises(AgentCrashed):
            run(session, artefact, "k", "l")
        with pytest.raises(DeviceLost):
            session.facts()


@pytest.mark.parametrize(
    "more",
    ["result(1, 'k')", "started(2, 'k')", "started(2, 'k'); result(3, 'k')", "result(2, 'k')"],
)
def test_more_about_a_job_that_has_ended_is_a_crash(start: Start, artefact: Artefact, more: str) -> None:
    with start(f"{ONE}started(0, 'k'); result(1, 'k'); {more}; hear()") as session:
        assert run(session, artefact, "k") == ["k"]
        with pytest.raises(AgentCrashed):
            session.facts()


@pytest.mark.parametrize(
    "old",
    ["result(0, 'a')", "started(1, 'a')", "started(0, 'a'); result(1, 'a'); result(2, 'a')", "say('{}')"],
)
def test_old_entries_are_judged_too(start: Start, old: str) -> None:
    with pytest.raises(AgentCrashed), start(f"hello(entries=3); {old}; hear()"):
        pytest.fail("it was believed")


def test_the_end_of_a_job_that_an_earlier_agent_began_and_nobody_runs_is_a_crash(
    start: Start, artefact: Artefact
) -> None:
    with (
        start("hello(entries=1); started(0, 'k'); block(); result(1, 'k'); hear()") as session,
        pytest.raises(AgentCrashed, match="was not running"),
    ):
        run(session, artefact, "k")


def test_a_journal_that_has_shrunk_is_a_crash(start: Start, artefact: Artefact) -> None:
    source = "hello(entries=2); started(0, 'k'); result(1, 'k'); hear(); say({**HELLO, 'entries': 1}); hear()"
    with start(source) as session, pytest.raises(AgentCrashed, match="had more"):
        run(session, artefact, "k")


def test_another_result_for_the_same_entry_is_a_crash(start: Start, artefact: Artefact) -> None:
    source = "hello(entries=2); started(0, 'k'); result(1, 'k'); hear(); say({**HELLO, 'entries': 2}); "
    source += "result(1, 'l'); hear()"
    with start(source) as session, pytest.raises(AgentCrashed):
        run(session, artefact, "k")


@pytest.mark.parametrize("places", ["[1]", "[-1]", "[0] * 20000"])
def test_missing_files_that_nobody_asked_for_are_a_crash(start: Start, artefact: Artefact, places: str) -> None:
    source = f"hello(); hear(); say({{'event': 'missing', 'places': {places}}}); hear()"
    with start(source) as session, pytest.raises(AgentCrashed):
        run(session, artefact, "k")


def test_a_board_that_never_gets_a_file_right_is_named(start: Start, artefact: Artefact) -> None:
    source = "hello()\nwhile hear()['op'] == 'have': say({'event': 'missing', 'places': [0]})"
    with start(source) as session, pytest.raises(DeviceError, match="stores .*onnx wrongly"):
        run(session, artefact, "k")


def test_an_agent_that_arrives_damaged_is_named(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    put, sent = LocalTransport.put, []
    monkeypatch.setattr(
        LocalTransport, "put", lambda self, data, remote: (sent.append(remote), put(self, data[:-1], remote))
    )
    with pytest.raises(DeviceError, match=r"stores .*pyz wrongly"), start("hello(); hear()"):
        pytest.fail("it started")
    assert len(sent) == 2


def test_an_agent_that_has_decayed_is_sent_again(start: Start, tmp_path: Path) -> None:
    with start("hello(); hear()") as session:
        session.interrupted()
    (agent,) = (tmp_path / "home").rglob("*.pyz")
    whole = agent.read_bytes()
    agent.write_bytes(whole[:-7])
    with start("hello(); hear()") as session:
        session.interrupted()
    assert agent.read_bytes() == whole


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("hello(); hear(); sys.exit('disk\\x1b[31m trouble')", r"exit status 1 \(disk\\x1b\[31m trouble\)"),
        ("hello(); hear(); os.kill(os.getpid(), 11)", "by a signal"),
        ("hello(); hear()", r"exit status 0 \(it said nothing\)"),
        (
            "sys.stderr.write('the agent is gone: no words\\n'); sys.exit(70)",
            r"status 70 \(the agent is gone: no words\)",
        ),
    ],
)
def test_the_end_of_the_agent_is_a_crash_with_its_last_words(
    start: Start, artefact: Artefact, source: str, words: str
) -> None:
    with pytest.raises(AgentCrashed, match=words), start(source) as session:
        run(session, artefact, "k")


def test_a_farewell_is_a_loss_with_its_reason(start: Start) -> None:
    source = "hello(); hear(); say({'event': 'bye', 'why': 'it was told to \\x07end'})"
    with start(source) as session, pytest.raises(DeviceLost, match=r"told to \\x07end"):
        session.facts()


def test_an_agent_that_dies_at_once_is_a_crash(start: Start) -> None:
    with pytest.raises(AgentCrashed, match="SyntaxError"), start("this is no Python"):
        pytest.fail("it started")


@pytest.mark.parametrize(
    ("said", "words"), [("protocol=3", "version 3"), ("session='f' * 16", "session 'ffffffffffffffff'")]
)
def test_an_agent_of_another_kind_is_refused(start: Start, said: str, words: str) -> None:
    with pytest.raises(AgentCrashed, match=words), start(f"hello({said}); hear()"):
        pytest.fail("it started")


def test_an_endless_greeting_is_refused(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = LocalTransport.open
    monkeypatch.setattr(LocalTransport, "open", lambda self, argv: opening(self, ["yes"]))
    with pytest.raises(AgentCrashed, match="rc files"), start(""):
        pytest.fail("it started")


@pytest.mark.parametrize("path", ["relative", "/a\x1b[31m", "/" + "x" * 5000])
def test_a_workdir_that_can_be_none_is_refused(start: Start, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    opening = LocalTransport.open
    script = 'for w in /home "$1" x; do printf "edgecost:%s\\n" "$w"; done; cat'
    monkeypatch.setattr(LocalTransport, "open", lambda self, argv: opening(self, ["sh", "-c", script, "sh", path]))
    with pytest.raises(AgentCrashed, match="rc files"), start(""):
        pytest.fail("it started")


def test_endless_old_entries_end(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    from profiler.fleet.sessions import ledger

    monkeypatch.setattr(ledger, "MOST_JOBS", 50)
    with (
        pytest.raises(AgentCrashed, match="beyond all measure"),
        start("hello(entries=10**9)\nfor n in range(1000): started(n, f'k{n}')\nhear()"),
    ):
        pytest.fail("it was believed")


def test_old_entries_that_trickle_end(start: Start) -> None:
    from dataclasses import replace

    from fake_agent import BRIEF

    with (
        pytest.raises(DeviceTimeout, match="within 0.5 s"),
        start("hello(entries=10**9)\nwhile True: say(BEAT); time.sleep(0.1)", limits=replace(BRIEF, replay_s=0.5)),
    ):
        pytest.fail("it was waited for")
