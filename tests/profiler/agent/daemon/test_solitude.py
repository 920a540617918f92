from __future__ import annotations

import time

import pytest

from profiler.agent.daemon.solitude import UNGREETED_LINGER_S, Solitude


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def test_an_agent_goes_on_alone_for_as_long_as_it_was_told(clock: Clock) -> None:
    alone = Solitude()
    alone.ends(alone_s=30.0, linger_s=60.0)
    clock.now += 1000
    assert not alone.paused()  # somebody is there
    assert alone.deadlines() == []
    alone.begins()
    assert alone.deadlines() == [clock.now + 30]
    clock.now += 29
    assert not alone.paused()
    clock.now += 1
    assert alone.paused()
    assert alone.deadlines() == []  # a time that has passed would keep a loop from sleeping
    alone.ends(None, 60.0)
    assert not alone.paused()
    alone.begins()
    clock.now += 1e6
    assert not alone.paused()


def test_an_idle_agent_waits_and_goes(clock: Clock) -> None:
    alone = Solitude()
    alone.ends(0.0, 60.0)
    alone.begins()
    assert not alone.outlasted(True)
    assert alone.deadlines() == [clock.now + 60]
    clock.now += 59
    assert not alone.outlasted(True)
    assert not alone.outlasted(False)  # something to do: the wait begins anew
    clock.now += 1
    assert not alone.outlasted(True)
    clock.now += 60
    assert alone.outlasted(True)


def test_an_agent_that_was_never_greeted_does_not_stay_long(clock: Clock) -> None:
    alone = Solitude()
    assert alone.paused()
    assert not alone.outlasted(True)
    clock.now += UNGREETED_LINGER_S
    assert alone.outlasted(True)
