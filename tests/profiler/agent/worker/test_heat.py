"""Temperatures, and boards that are waited for until they are at rest."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from profiler.agent.worker import heat
from profiler.agent.worker.heat import Memory, Thermometer, cool_down
from profiler.agent.worker.settings import Settings
from profiler.measure.config import MeasureConfig

Board = Any

SETTINGS = Settings.read(MeasureConfig().to_dict())


# temperatures


def test_the_hottest_zone_counts(board: Board) -> None:
    board.zone(0, "cpu-thermal", lambda s: 41.2)
    board.zone(1, "gpu-thermal", lambda s: 55.0)
    board.files["/sys/class/hwmon/hwmon3/temp1_input"] = "61500"
    assert Thermometer(board, {}).read() == 55.0
    assert Thermometer(board, {"zones": ["cpu-thermal"]}).read() == 41.2
    both = Thermometer(board, {"zones": ["cpu-thermal"], "files": ["/sys/class/hwmon/hwmon*/temp1_input"]})
    assert (both.read(), both.doubtful) == (61.5, False)


@pytest.mark.parametrize("celsius", [0.0, -274.0, 200.0])
def test_a_declared_zone_that_shows_no_temperature_is_told(board: Board, celsius: float) -> None:
    board.zone(0, "cpu-thermal", lambda s: celsius)
    board.zone(1, "npu-thermal", lambda s: 45.0)
    declared, all_of_them = Thermometer(board, {"zones": ["cpu-thermal"]}), Thermometer(board, {})
    assert (declared.read(), declared.doubtful) == (None, True)
    # of zones that nobody declared, some are known to show nothing on many boards
    assert (all_of_them.read(), all_of_them.doubtful) == (45.0, False)
    del board.files["/sys/class/thermal/thermal_zone1/temp"]
    none_left = Thermometer(board, {})
    assert (none_left.read(), none_left.doubtful) == (None, True)


def test_a_zone_or_file_that_is_not_there_is_told_and_others_stand_in(board: Board) -> None:
    board.zone(0, "soc-thermal", lambda s: 45.0)
    for declared in ({"zones": ["cpu-thermal"]}, {"files": ["/sys/none/*"]}):
        found = Thermometer(board, declared)
        assert (found.read(), found.doubtful) == (45.0, True)


def test_a_zone_that_is_off_for_a_while_is_no_doubt(board: Board) -> None:
    board.zone(0, "gpu-thermal", lambda s: None)
    found = Thermometer(board, {"zones": ["gpu-thermal"]})
    assert (found.read(), found.doubtful) == (None, False)


def test_a_board_without_temperatures_shows_none(board: Board) -> None:
    found = Thermometer(board, {})
    assert (found.read(), found.doubtful) == (None, False)


# moving or not


def memory_of(celsius: Callable[[float], float], period_s: float = 1.0, span_s: float = 10.0) -> Memory:
    memory = Memory()
    memory.add((step * period_s, celsius(step * period_s)) for step in range(int(span_s / period_s) + 1))
    return memory


@pytest.mark.parametrize(
    ("celsius", "moves"),
    [
        (lambda s: 50.0, False),
        (lambda s: 50.0 + 0.4 * s / 60, False),
        (lambda s: 50.0 + 1.0 * s / 60, True),
        (lambda s: 50.0 - 1.0 * s / 60, True),
        (lambda s: float(round(50.6 - 30 * s / 60)), True),  # whole degrees
        (lambda s: 50.0 + (int(s) % 2), False),  # the last digit flickers
        (lambda s: 50.0 + (1.0 if s > 9 else 0.0), False),  # it may just have turned over
    ],
)
def test_whether_a_temperature_moves(celsius: Callable[[float], float], moves: bool) -> None:
    assert memory_of(celsius).moves(10.0, 0.5) is moves


def test_too_few_readings_tell_nothing() -> None:
    assert Memory().moves(10.0, 0.5) is None
    assert memory_of(lambda s: 50.0, span_s=4.0).moves(4.0, 0.5) is None
    assert memory_of(lambda s: 50.0, period_s=3.0, span_s=9.0).moves(9.0, 0.5) is None
    assert memory_of(lambda s: 50.0).moves(100.0, 0.5) is None  # long ago


# waiting


def exponential(high_c: float, low_c: float, tau_s: float) -> Callable[[float], float]:
    return lambda s: low_c + (high_c - low_c) * math.exp(-s / tau_s)


def test_a_board_that_shows_no_temperature_is_not_waited_for(board: Board) -> None:
    assert cool_down(board, Thermometer(board, {}), Memory(), SETTINGS) == (0.0, False)
    assert board.seconds == 0


def test_no_waiting_where_none_is_asked_for(board: Board) -> None:
    board.zone(0, "cpu", lambda s: 90.0)
    cooling = cool_down(board, Thermometer(board, {}), Memory(), SETTINGS._replace(cool_s=0.0))
    assert (cooling, board.seconds) == ((0.0, False), 0)


def test_a_board_at_rest_is_looked_at_for_a_few_seconds_and_the_next_job_finds_it_known(board: Board) -> None:
    board.zone(0, "cpu", lambda s: 45.0)
    memory, thermometer = Memory(), Thermometer(board, {})
    first = cool_down(board, thermometer, memory, SETTINGS)
    assert heat.LEAST_SPAN_S <= first.waited_s <= heat.LEAST_SPAN_S + 1
    assert (first.too_hot, memory.idle_c) == (False, 45.0)
    assert cool_down(board, thermometer, memory, SETTINGS) == (0.0, False)


def test_a_hot_board_is_waited_for_until_it_is_near_its_idle_temperature_and_still(board: Board) -> None:
    fall = exponential(75.0, 45.0, 60.0)
    board.zone(0, "cpu", fall)
    memory = Memory()
    memory.rest_at(45.0)
    cooling = cool_down(board, Thermometer(board, {}), memory, SETTINGS)
    assert not cooling.too_hot
    assert 107 < cooling.waited_s < 400  # 5 degrees above: 108 s; half a degree a minute: 246 s
    assert fall(cooling.waited_s) < 50.0
    assert abs(fall(cooling.waited_s - 30) - fall(cooling.waited_s + 30)) < 1.0


def test_a_board_that_stays_hot_is_told_and_its_rest_found_anew(board: Board) -> None:
    board.zone(0, "cpu", lambda s: 70.0)
    memory, thermometer = Memory(), Thermometer(board, {})
    memory.rest_at(45.0)
    cooling = cool_down(board, thermometer, memory, SETTINGS)
    assert cooling.too_hot
    assert cooling.waited_s == pytest.approx(600.0, abs=1.0)
    # the day is hotter than the night was: not every job waits ten minutes
    assert memory.idle_c == 70.0
    assert cool_down(board, thermometer, memory, SETTINGS) == (0.0, False)


def test_a_board_that_moves_all_the_time_is_given_up_on_and_its_rest_stays(board: Board) -> None:
    board.zone(0, "cpu", lambda s: 60.0 + 10 * math.sin(s / 10))
    memory = Memory()
    memory.rest_at(45.0)
    cooling = cool_down(board, Thermometer(board, {}), memory, SETTINGS._replace(cool_s=60.0))
    assert (cooling.too_hot, memory.idle_c) == (True, 45.0)


def test_a_sensor_that_vanishes_while_it_is_waited_for_ends_the_wait(board: Board) -> None:
    board.zone(0, "cpu", lambda s: 70.0 if s < 20 else None)
    memory = Memory()
    memory.rest_at(45.0)
    cooling = cool_down(board, Thermometer(board, {}), memory, SETTINGS)
    assert not cooling.too_hot
    assert 20 <= cooling.waited_s <= 21


def test_a_clock_that_is_set_back_by_an_hour_does_not_prolong_the_wait_by_one(board: Board) -> None:
    board.zone(0, "cpu", lambda s: 80.0)
    memory, looks = Memory(), [0]
    memory.rest_at(45.0)
    sleep = board.sleep

    def stepping(seconds: float) -> None:
        looks[0] += 1
        sleep(seconds)
        if looks[0] == 20:
            board.now -= 3600e9

    board.sleep = stepping
    cooling = cool_down(board, Thermometer(board, {}), memory, SETTINGS._replace(cool_s=60.0))
    assert (cooling.too_hot, looks[0]) == (True, 61)
    assert cooling.waited_s == pytest.approx(60.0, abs=0.01)


def test_a_colder_board_lowers_what_counts_as_idle(board: Board) -> None:
    board.zone(0, "cpu", exponential(48.0, 40.0, 10.0))
    memory = Memory()
    cool_down(board, Thermometer(board, {}), memory, SETTINGS)
    assert memory.idle_c == pytest.approx(40.0, abs=0.3)


# what outlasts a worker


def test_the_idle_temperature_outlasts_the_worker(tmp_path: Path) -> None:
    path = str(tmp_path / "heat.json")
    first, second = Memory(), Memory()
    first.open(path)
    assert first.idle_c is None
    first.rest_at(43.5)
    second.open(path)
    assert second.idle_c == 43.5


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"idle_c": "x"}', '{"idle_c": NaN}', '{"idle_c": null}'])
def test_a_file_that_is_none_is_passed_over(tmp_path: Path, text: str) -> None:
    path = tmp_path / "heat.json"
    path.write_text(text)
    memory = Memory()
    memory.open(str(path))
    assert memory.idle_c is None
    memory.rest_at(41.0)
    assert json.loads(path.read_text()) == {"idle_c": 41.0}


def test_a_folder_that_is_gone_costs_the_memory_only(tmp_path: Path) -> None:
    memory = Memory()
    memory.open(str(tmp_path / "gone" / "heat.json"))
    memory.rest_at(41.0)
    assert memory.idle_c == 41.0
