from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from profiler.errors import ConfigError
from profiler.measure.meters.base import MeterLost
from profiler.measure.meters.joulescope import JoulescopeMeter


class FakeDriver:
    """As pyjoulescope_driver.Driver behaves, without an instrument."""

    paths: list[str] = ["u/js220/000415"]
    made: list[FakeDriver] = []

    def __init__(self) -> None:
        self.published: list[tuple[str, Any]] = []
        self.subscribed: dict[str, Callable[[str, dict[str, Any]], None]] = {}
        self.finalized = False
        FakeDriver.made.append(self)

    def device_paths(self) -> list[str]:
        return self.paths

    def open(self, path: str, mode: str | None = None) -> None:
        if "broken" in path:
            raise RuntimeError("jsdrv_open failed")

    def publish(self, topic: str, value: Any, timeout: float | None = None) -> None:
        self.published.append((topic, value))

    def subscribe(self, topic: str, flags: str, fn: Any, timeout: float | None = None) -> None:
        assert flags == "pub"
        self.subscribed[topic] = fn

    def unsubscribe(self, topic: str, fn: Any) -> None:
        assert self.subscribed.pop(topic) is fn

    def close(self, path: str) -> None:
        pass

    def finalize(self) -> None:
        self.finalized = True

    def tell(self, end_s: float, joules: float) -> None:
        for topic, fn in self.subscribed.items():
            fn(topic, {
                "time": {"range": {"value": [end_s - 0.05, end_s], "units": "s"}},
                "signals": {"power": {"avg": {"value": 2.0, "units": "W"}}},
                "accumulators": {"energy": {"value": joules, "units": "J"}},
            })  # fmt: skip


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setattr(FakeDriver, "paths", ["u/js220/000415"])
    monkeypatch.setattr(FakeDriver, "made", [])
    return SimpleNamespace(Driver=FakeDriver)


def test_the_instruments_own_counter_on_the_hosts_clock(module: SimpleNamespace) -> None:
    clock = Clock()
    meter = JoulescopeMeter("board-in", driver=module, clock=clock)
    meter.start()
    (driver,) = FakeDriver.made
    assert ("u/js220/000415/s/stats/scnt", 50_000) in driver.published
    for n in range(100):
        clock.now = 1000.0 + n * 0.05 + (0.002 if n % 3 else 0.0)
        driver.tell(7.0 + n * 0.05, 0.1 * n)
    trace = meter.stop()
    assert (trace.form, trace.scope, trace.meter) == ("energy", "board-in", "joulescope u/js220/000415")
    assert trace.times_s[0] == pytest.approx(1000.0)
    assert trace.times_s[-1] == pytest.approx(1000.0 + 99 * 0.05)
    assert trace.values[-1] == pytest.approx(9.9e6)
    assert 0.001 < trace.time_u_s < 0.01
    assert driver.finalized
    assert driver.published[-1] == ("u/js220/000415/s/stats/ctrl", 0)
    assert driver.subscribed == {}


def test_which_of_several(module: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeDriver, "paths", ["u/js220/000415", "u/js110/002557"])
    with pytest.raises(MeterLost, match="several"):
        JoulescopeMeter("wall", driver=module).start()
    meter = JoulescopeMeter("wall", serial="002557", driver=module)
    meter.start()
    assert ("u/js110/002557/s/i/range/select", "auto") in FakeDriver.made[-1].published
    meter.close()
    assert all(driver.finalized for driver in FakeDriver.made)


@pytest.mark.parametrize(("paths", "words"), [([], "no Joulescope"), (["u/js220/broken"], "cannot be opened")])
def test_none_is_told(module: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, paths: list[str], words: str) -> None:
    monkeypatch.setattr(FakeDriver, "paths", paths)
    with pytest.raises(MeterLost, match=words):
        JoulescopeMeter("wall", driver=module).start()
    assert FakeDriver.made[-1].finalized


def test_one_that_sends_nothing_is_lost(module: SimpleNamespace) -> None:
    meter = JoulescopeMeter("wall", driver=module)
    meter.start()
    with pytest.raises(MeterLost, match="no statistics"):
        meter.stop()


def test_without_its_driver_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyjoulescope_driver", None)
    with pytest.raises(ConfigError, match=r"edgecost\[joulescope\]"):
        JoulescopeMeter("wall")
