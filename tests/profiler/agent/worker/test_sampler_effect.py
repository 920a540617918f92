from __future__ import annotations

from typing import Any

import pytest
from energy_board import ENTRY, RUN_S, Board

from profiler.agent.sensors import Sensor, open_sensor
from profiler.agent.worker.sampler_effect import ORDER, cap_s, sampler_effect, segment_length_s
from profiler.agent.worker.settings import Settings
from profiler.measure.config import MeasureConfig

SETTINGS = Settings.read(MeasureConfig(energy=True).to_dict())


class Costly(Board):
    """Every reading takes time from the load, and wakes a board at rest up for a while."""

    read_s = 0.0002
    woken_uw = 0

    def __init__(self) -> None:
        super().__init__()
        self.last = self.stolen_s = 0.0
        self.shows = self._shown

    def read(self, path: str) -> str | None:
        said = super().read(path)
        self.stolen_s += self.read_s
        self.last = self.now
        return said

    def work(self) -> None:
        self.stolen_s = 0.0
        super().work()
        self.now += self.stolen_s

    def _shown(self, now: float, value: int) -> int:
        return value + (self.woken_uw if now - self.last < 0.01 and not self.busy else 0)


def effect(board: Board, settings: Settings = SETTINGS, **entry: Any) -> dict[str, Any]:
    sensor, _ = open_sensor([{**ENTRY, **entry}], board)
    assert sensor is not None

    def work() -> int:
        for _ in range(10):
            board.work()
        return 10

    return sampler_effect(work, settings, sensor, board)


def test_the_time_that_reading_takes_from_the_load_is_found() -> None:
    found = effect(Costly())
    # 200 readings a second of 0.2 ms against an eighth of them
    assert found["sampler_latency"] == pytest.approx(1.04 / 1.005 - 1, rel=0.1)
    assert found["sampler_latency_u"] < 0.01
    assert abs(found["sampler_power"]) <= found["sampler_power_u"] + 0.002


def test_a_board_that_readings_keep_awake_draws_more_at_rest() -> None:
    board = Costly()
    board.woken_uw = 100_000  # of 1 W
    found = effect(board)
    assert found["sampler_idle"] == pytest.approx(0.1, rel=0.2)
    assert abs(found["sampler_power"]) < 0.01


def test_of_a_counter_the_ends_of_the_segments_are_enough() -> None:
    class Counter(Sensor):
        form = "energy"
        reads = 0

        def read(self) -> int:
            self.reads += 1
            return int(board.now * 2e6)

    board = Board()
    sensor = Counter({}, "counter")
    found = sampler_effect(lambda: board.work() or 1, SETTINGS, sensor, board)
    assert found["sampler_power"] == pytest.approx(0.0, abs=1e-3)
    often = segment_length_s(SETTINGS) / sensor.period_s
    assert sensor.reads == pytest.approx(2 * 2 * often, rel=0.1)  # load and rest, twice often each


def test_a_sensor_that_shows_nothing_gives_no_fact_of_power() -> None:
    board = Board()
    sensor, _ = open_sensor([ENTRY], board)
    assert sensor is not None
    board.shows = lambda now, value: None
    found = sampler_effect(lambda: board.work() or 1, SETTINGS, sensor, board)
    assert set(found) == {"sampler_latency", "sampler_latency_u"}


def test_it_takes_as_long_as_it_says() -> None:
    board = Board()
    before = board.now
    effect(board)
    assert board.now - before == pytest.approx(cap_s(SETTINGS), abs=len(ORDER) * 10 * RUN_S + 0.1)
    short = Settings.read(MeasureConfig(energy=True, energy_load_s=2.0).to_dict())
    assert segment_length_s(short) == pytest.approx(0.4)
