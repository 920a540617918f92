from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from power_traces import Truth, record, shown

from profiler.fleet.targets import Device, Sensor, Target
from profiler.measure.board import BoardJob
from profiler.measure.config import MeasureConfig
from profiler.measure.energy import judge
from profiler.measure.meters.base import Accuracy, Meter, MeterLost, Trace
from profiler.measure.meters.metered import Metered
from profiler.measure.record import Power

TARGET = Target("bench", "onnxruntime", "fp32")
EXTERNAL, OWN = Sensor("external", "wall", "tcp:meter:1"), Sensor("hwmon", "board-in", "ina226")
BENCH = Device("bench", "192.0.2.1", "ada", (TARGET,), sensors=(EXTERNAL, OWN))
CONFIG = MeasureConfig(energy=True)
BOOTED_S = 4000.0  # the host's clock when the board's was 0


@dataclass
class Host:
    """One clock for host, meter and board, and what the meter has shown by it."""

    now: float = 5000.0
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def rest(self, seconds: float, idle_mw: float = 3000.0) -> None:
        self.show(np.arange(0, seconds, 0.05), np.full(int(seconds / 0.05), idle_mw))

    def show(self, times: Any, milliwatts: Any) -> None:
        self.times += [self.now + float(t) for t in times]
        self.values += [float(v) * 1000 for v in milliwatts]
        self.now = self.times[-1] + 0.05

    def work(self, truth: Truth, seed: int) -> Power:
        """A board's spells, with the power that a meter sees in them; the board itself reads nothing."""
        times, values = shown(truth, np.random.default_rng(seed))
        spells = record(truth, np.random.default_rng(seed), times_us=(), values=(), polls=0, sensor="", scope="wall")
        self.show(times, values)
        return spells


class HostMeter(Meter):
    name = "bench meter"

    def __init__(self, host: Host) -> None:
        super().__init__("wall", Accuracy(gain_u=0.001))
        self.host = host
        self.lost = False
        self.starts = self.closes = 0

    def start(self) -> None:
        if self.lost:
            raise MeterLost("the bench meter cannot be opened: no route")
        self.starts += 1

    def so_far(self) -> Trace:
        if self.lost:
            raise MeterLost("the bench meter stopped talking: it hung up")
        host = self.host
        return Trace(self.name, self.scope, "power", tuple(host.times), tuple(host.values), 0.0, self.accuracy)

    def forget(self, before_s: float) -> None:
        kept = [(t, v) for t, v in zip(self.host.times, self.host.values, strict=True) if t >= before_s]
        self.host.times, self.host.values = [t for t, _ in kept], [v for _, v in kept]

    def close(self) -> None:
        self.closes += 1


@dataclass
class Reading:
    power: Power

    def record(self) -> Power:
        return self.power


@dataclass
class Reply:
    power: Reading | None
    env: dict[str, Any]
    status: str = "ok"
    issues: Sequence[str] = ("sensor_missing", "unpinned")
    samples_ns: Sequence[int] = (1, 2)
    runs_per_batch: int = 1
    load_ns: int | None = 1
    first_run_ns: int | None = 1
    warmup_runs: int = 1
    output_error: float | None = None
    energy_mj: float | None = None
    error: str = ""


@dataclass
class Bench:
    host: Host
    meter: HostMeter
    truths: list[Truth]
    late_s: list[float]
    boot_s: float = BOOTED_S
    asked: list[Device] = field(default_factory=list)
    finished: bool = False

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def facts(self) -> Any:
        return "facts"

    def interrupted(self) -> Sequence[str]:
        return ["one"]

    def finish(self) -> None:
        self.finished = True

    def connect(self, device: Device, session: str, /) -> Any:
        self.asked.append(device)
        return self

    def run(self, block: Sequence[BoardJob], target: Target, config: MeasureConfig) -> Iterator[tuple[str, Any]]:
        for place, job in enumerate(block):
            self.host.rest(10.0)
            began_s = self.host.now - self.boot_s
            spells = self.host.work(self.truths[place], place)
            self.host.rest(0.1 + self.late_s[place])
            yield job.key, Reply(Reading(spells), {"energy_began_s": began_s})

    def measure(self, count: int | None = None, config: MeasureConfig = CONFIG) -> list[Any]:
        jobs = [BoardJob(str(n), None) for n in range(len(self.truths) if count is None else count)]
        with Metered(self.connect, {"bench": self.meter}, self.host.clock) as factory, factory(BENCH, "s") as board:
            return [reply for _, reply in board.run(jobs, TARGET, config)]


@pytest.fixture
def bench() -> Bench:
    host = Host()
    truths = [Truth(step_mw=step, noise_mw=2.0, lsb_mw=0.0) for step in (1000.0, 2500.0, 400.0)]
    return Bench(host, HostMeter(host), truths, [0.0, 0.0, 0.0])


def net_mj(reply: Any) -> float | None:
    value, _, _ = judge(reply.power.record(), reply.issues)
    return value


def test_each_reply_gets_the_meters_record_as_it_comes(bench: Bench) -> None:
    replies = bench.measure()
    for reply, truth in zip(replies, bench.truths, strict=True):
        assert reply.issues == ("unpinned",)
        assert reply.samples_ns == (1, 2)
        assert reply.env["energy_sensor"] == "bench meter"
        power = reply.power.record()
        assert (power.meter, power.scope, power.gain_u) == ("host", "wall", 0.001)
        assert net_mj(reply) == pytest.approx(truth.net_mj, rel=0.02)
    assert (bench.meter.starts, bench.meter.closes) == (1, 2)
    assert bench.asked[0].sensors == (EXTERNAL,)  # the board leaves its own in peace
    assert bench.host.now - bench.host.times[0] < 150  # what is over is forgotten


def test_a_reply_that_was_held_up_is_found_all_the_same(bench: Bench) -> None:
    bench.late_s[1] = 40.0
    for reply, truth in zip(bench.measure(), bench.truths, strict=True):
        assert net_mj(reply) == pytest.approx(truth.net_mj, rel=0.02)


def test_a_board_that_was_started_anew_has_a_clock_of_its_own(bench: Bench) -> None:
    jobs = [BoardJob(str(n), None) for n in range(3)]
    with Metered(bench.connect, {"bench": bench.meter}, bench.host.clock) as factory:
        for booted_s in (BOOTED_S, bench.host.now + 5.0):
            bench.boot_s = booted_s
            replies = [reply for _, reply in factory(BENCH, "s").run(jobs, TARGET, CONFIG)]
            assert [net_mj(r) for r in replies] == pytest.approx([t.net_mj for t in bench.truths], rel=0.02)


def test_a_meter_that_cannot_be_opened_ends_it_before_anything_is_measured(bench: Bench) -> None:
    bench.meter.lost = True
    with pytest.raises(MeterLost, match="cannot be opened"):
        bench.measure()
    assert bench.host.times == []


def test_a_meter_that_is_lost_later_costs_the_energy_and_no_latency(bench: Bench) -> None:
    with Metered(bench.connect, {"bench": bench.meter}, bench.host.clock) as factory:
        board = factory(BENCH, "s")
        jobs = [BoardJob("0", None)]
        assert len(list(board.run(jobs, TARGET, CONFIG))) == 1
        bench.meter.lost = True
        for _ in range(2):
            ((_, reply),) = board.run(jobs, TARGET, CONFIG)
            assert reply.power is None
            assert reply.issues == ("sensor_lost", "unpinned")
            assert "hung up" in reply.env["energy_note"]
            assert reply.samples_ns == (1, 2)
        bench.meter.lost = False  # it is plugged in again
        ((_, reply),) = board.run(jobs, TARGET, CONFIG)
        assert net_mj(reply) == pytest.approx(bench.truths[0].net_mj, rel=0.02)
    assert bench.meter.starts == 2


def test_a_meter_of_another_board_shows_no_load(bench: Bench) -> None:
    bench.truths = [replace(bench.truths[0], step_mw=0.0)]
    (reply,) = bench.measure()
    assert reply.power.record().values == ()
    assert reply.issues == ("sensor_missing", "unpinned")
    assert "connected to this board" in reply.env["energy_note"]


def test_without_energies_and_of_other_boards_nothing_is_read(bench: Bench) -> None:
    (reply, *_) = bench.measure(config=MeasureConfig())
    assert reply.issues == ("sensor_missing", "unpinned")
    assert bench.meter.starts == 0
    other = replace(BENCH, id="other")
    assert Metered(bench.connect, {"bench": bench.meter})(other, "s") is bench
    assert bench.asked[-1] == other


def test_all_else_is_the_boards(bench: Bench) -> None:
    board = Metered(bench.connect, {"bench": bench.meter})(BENCH, "s")
    assert (board.facts(), board.interrupted()) == ("facts", ["one"])
    board.finish()
    assert bench.finished
