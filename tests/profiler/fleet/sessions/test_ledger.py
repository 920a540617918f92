"""What a board's journal may tell, where a conversation with a fake agent is too blunt a tool."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import AgentCrashed
from profiler.fleet.messages import Hello, Result, Started
from profiler.fleet.sessions import ledger as module
from profiler.fleet.sessions.ledger import Ledger


def hello(entries: int = 0, running: str | None = None, queued: int = 0) -> Hello:
    return Hello(
        event="hello",
        protocol=2,
        pid=1,
        start="1",
        boot_id="b",
        session="s",
        python="3",
        entries=entries,
        running=running,
        queued=queued,
    )


def entry(seq: int, kind: str, id_: str) -> Started | Result:
    if kind == "started":
        return Started(event="started", seq=seq, id=id_)
    return Result.model_construct(event="result", seq=seq, id=id_)


def told(*entries: tuple[str, str], at: int = 0, of: Ledger | None = None) -> Ledger:
    ledger = of or Ledger("b")
    for place, (kind, id_) in enumerate(entries):
        ledger.take(entry(at + place, kind, id_))
    return ledger


def test_a_job_that_ended_unseen_before_a_second_greeting_takes_no_strangers_place() -> None:
    """r ran and q, s waited at the first greeting; r has ended and q runs at the second, none of it told yet."""
    ledger = Ledger("b")
    ledger.greet(hello(1, running="r", queued=2), 0)
    told(("started", "r"), of=ledger)
    ledger.greet(hello(3, running="q", queued=1), 0)
    told(("started", "r"), ("result", "r"), ("started", "q"), ("result", "q"), ("started", "s"), of=ledger)
    assert not ledger.idle
    told(("result", "s"), at=5, of=ledger)
    assert ledger.idle
    with pytest.raises(AgentCrashed):
        told(("started", "t"), at=6, of=ledger)


def test_old_entries_told_again_must_be_the_same() -> None:
    ledger = Ledger("b")
    ledger.greet(hello(4), 0)
    told(("started", "a"), ("result", "a"), ("started", "b"), ("result", "b"), of=ledger)
    ledger.greet(hello(4), 1)
    told(("result", "a"), ("started", "b"), at=1, of=ledger)
    with pytest.raises(AgentCrashed):
        told(("result", "a"), at=3, of=ledger)


def test_interruptions_are_counted() -> None:
    ledger = Ledger("b")
    ledger.greet(hello(6, running="c"), 0)
    told(("started", "a"), ("started", "b"), ("started", "b"), ("started", "a"), ("result", "a"), of=ledger)
    told(("started", "c"), at=5, of=ledger)
    assert sorted(ledger.interrupted("c")) == ["a", "b", "b"]


def test_one_job_begun_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_STARTS", 5)
    ledger = Ledger("b")
    ledger.greet(hello(100), 0)
    with pytest.raises(AgentCrashed, match="beyond all measure"):
        told(*[("started", "a")] * 100, of=ledger)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["started", "result"]), st.sampled_from("abc")), max_size=30)
)
def test_whatever_is_told_no_job_ends_twice_or_unbegun(entries: list[tuple[int, str, Any]]) -> None:
    ledger = Ledger("b")
    ledger.greet(hello(3, running="a", queued=1), 0)
    ledger.hand_over(["b"])
    begun, ended = set(), []
    for seq, kind, id_ in entries:
        try:
            ledger.take(entry(seq, kind, id_))
        except AgentCrashed:
            continue
        if kind == "started":
            begun.add(id_)
        else:
            ended.append(id_)
            assert id_ in begun
    assert len(ended) == len(set(ended))
