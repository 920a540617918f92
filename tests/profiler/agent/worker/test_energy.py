from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from energy_board import ENTRY, RUN_S, Board

from profiler.agent.leaf import Leaf
from profiler.agent.worker.energy import MOST_POINTS, Recorder, cap_s, record_power
from profiler.agent.worker.settings import Settings
from profiler.fleet.messages import PowerReading
from profiler.measure.config import MeasureConfig
from profiler.measure.energy import energy_of

CONFIG = MeasureConfig(energy=True).to_dict()
SETTINGS = Settings.read(CONFIG)
JOB = {"board": {"sensors": [ENTRY]}}


def test_a_load_between_two_idle_spells_and_the_host_makes_energy_of_it() -> None:
    board = Board()
    power, codes, notes = record_power(board.work, SETTINGS, JOB, board)
    assert codes == []
    reading = PowerReading.model_validate(power)
    record = reading.record()
    assert (record.sensor, record.scope, record.form) == ("hwmon ina226 power1_input", "board-in", "power")
    load_s = (record.load_us[1] - record.load_us[0]) / 1e6
    assert load_s == pytest.approx(10.0, abs=0.1)
    assert record.runs == pytest.approx(load_s / RUN_S, rel=0.01)
    assert record.load_us[0] - record.idle_before_us[1] == pytest.approx(3e6, abs=1e5)  # the pre-roll is in no spell
    assert record.idle_after_us[0] - record.load_us[1] == pytest.approx(1e6, abs=1e5)
    energy = energy_of(record)
    assert energy.net_mj == pytest.approx(2000 * RUN_S, rel=0.01)
    assert energy.refresh_hz == pytest.approx(50, rel=0.1)
    assert notes["energy_updates"] == pytest.approx(500, rel=0.1)
    assert board.calls == []


def test_only_changes_are_kept_each_with_the_time_at_which_it_was_first_seen() -> None:
    board = Board()
    power, _, _ = record_power(board.work, SETTINGS, JOB, board)
    assert power is not None
    assert all(a != b for a, b in zip(power["values"], power["values"][1:], strict=False))
    assert power["polls"] > 2 * len(power["values"])
    gaps = {round((b - a) / 20_000) for a, b in zip(power["times_us"], power["times_us"][1:], strict=False)}
    assert gaps <= {0, 1, 2}


def test_a_slow_sensor_prolongs_the_load_and_a_cap_ends_it() -> None:
    board = Board()
    board.shows = lambda now, value: 2_000_000 + int(now / 0.15)  # 6.7 Hz: 100 updates take 15 s
    power, codes, _ = record_power(board.work, SETTINGS, JOB, board)
    assert power is not None
    assert (power["load_us"][1] - power["load_us"][0]) / 1e6 == pytest.approx(15, abs=0.5)
    board.shows = lambda now, value: 2_000_000 + int(now)
    power, codes, _ = record_power(board.work, SETTINGS, JOB, board)
    assert power is not None
    assert (power["load_us"][1] - power["load_us"][0]) / 1e6 == pytest.approx(60, abs=0.5)
    assert codes == []  # it was as long as was asked for, and the host judges whether that is enough


def test_runs_that_take_too_long_for_the_window_are_told() -> None:
    board = Board()

    def slow() -> None:
        board.busy = True
        board.pass_(2.0)

    power, codes, _ = record_power(slow, SETTINGS, JOB, board)
    assert codes == ["energy_window_short"]
    assert power is not None
    assert power["runs"] < 50


@pytest.mark.parametrize(
    ("shows", "codes"),
    [
        (lambda now, value: 1_500_000, ["sensor_stuck"]),
        (lambda now, value: -value, ["sensor_implausible"]),
        (lambda now, value: value * 100_000, ["sensor_implausible"]),
    ],
)
def test_what_the_board_sees_of_a_bad_sensor(shows: Any, codes: list[str]) -> None:
    board = Board()
    board.shows = shows
    power, found, _ = record_power(board.work, SETTINGS, JOB, board)
    assert found == codes
    assert power is not None  # the host sees it as it is
    assert set(codes) <= set(energy_of(PowerReading.model_validate(power).record()).issues)


def test_a_sensor_that_vanishes_midway_is_lost_and_its_load_ends_at_once() -> None:
    board = Board()
    board.shows = lambda now, value: None if now > 60 else value
    power, codes, notes = record_power(board.work, SETTINGS, JOB, board)
    assert (power, codes) == (None, ["sensor_lost"])
    assert board.now < 64
    assert notes["energy_scope"] == "board-in"


def test_a_single_reading_that_fails_loses_nothing() -> None:
    board = Board()
    board.shows = lambda now, value: None if board.reads % 7 == 0 else value
    assert record_power(board.work, SETTINGS, JOB, board)[1] == []


def test_a_sensor_that_raises_is_lost() -> None:
    board = Board()
    beside = board.beside

    def failing(period_s: float, call: Callable[[], None]) -> Any:
        stop = beside(period_s, lambda: None)
        stop.error = ValueError("bus")
        return stop

    board.beside = failing  # type: ignore[method-assign]
    assert record_power(board.work, SETTINGS, JOB, board)[:2] == (None, ["sensor_lost"])


@pytest.mark.parametrize("at", [58, 62])  # the pre-roll, the load
def test_a_clock_that_steps_backwards_gives_no_record(at: float) -> None:
    board = Board()
    stepped = False

    def run() -> None:
        nonlocal stepped
        board.work()
        if board.now > at and not stepped:
            board.now -= 3600
            board.calls[0][0] -= 3600
            stepped = True

    assert record_power(run, SETTINGS, JOB, board)[:2] == (None, ["clock_stepped"])
    assert board.now < at - 3600 + 5  # it is not waited for that the hour comes again


def test_no_sensor_is_missing_and_nothing_is_waited_for() -> None:
    board = Board()
    other = {"board": {"sensors": [dict(ENTRY, name="ina219")]}}
    power, codes, notes = record_power(board.work, SETTINGS, other, board)
    assert (power, codes, board.now) == (None, ["sensor_missing"], 50.0)
    assert notes == {"energy_note": "there is no hwmon ina219 that can be read"}


def test_without_energy_nothing_is_done() -> None:
    board = Board()
    off = Settings.read(MeasureConfig(energy=False).to_dict())
    assert record_power(board.work, off, JOB, board) == (None, [], {})
    assert record_power(board.work, off, {}, board) == (None, ["sensor_missing"], {})
    assert board.now == 50.0
    assert (cap_s(off), cap_s(SETTINGS)) == (0.0, 2 * (1 + 5) + 3 + 60 + 2 * (3 + 4 * 2))


def test_for_a_meter_beside_the_board_there_are_spells_without_values() -> None:
    board = Board()
    job = {"board": {"sensors": [ENTRY], "meter": True}}
    power, codes, notes = record_power(board.work, SETTINGS, job, board)
    assert codes == ["sensor_missing"]
    assert notes["energy_began_s"] == 50.0
    assert board.reads == 0  # a sensor of the board's own is left in peace
    record = PowerReading.model_validate(power).record()
    assert record.values == ()
    assert record.load_us[1] > record.load_us[0]
    assert record.runs > 1000


def test_a_record_is_thinned_evenly() -> None:
    class Quick:
        def read(self) -> int:
            self.value = getattr(self, "value", 0) + 1
            return self.value

    recorder = Recorder(Quick(), Leaf())  # type: ignore[arg-type]
    for _ in range(2 * MOST_POINTS + 5):
        recorder.poll()
    times, values = recorder.thinned()
    assert len(times) == len(values) <= MOST_POINTS
    assert {b - a for a, b in zip(values, values[1:], strict=False)} == {3}


def test_on_a_real_leaf_a_program_is_read_beside_the_load(tmp_path: Path) -> None:
    figure = tmp_path / "figure"
    figure.write_text("2 W\n")
    settings = Settings.read(
        MeasureConfig(
            energy=True, energy_load_s=0.4, energy_updates=0, energy_runs=2, energy_preroll_s=0.1, energy_idle_s=0.3
        ).to_dict()
    )
    job = {"board": {"sensors": [{"kind": "command", "name": "cat", "channels": [str(figure)], "scope": "wall"}]}}
    beats = iter(range(10**9))
    power, codes, _ = record_power(lambda: figure.write_text(f"{2 + next(beats) % 2} W\n"), settings, job, Leaf())
    assert power is not None
    assert PowerReading.model_validate(power).scope == "wall"
    assert "sensor_lost" not in codes
    assert power["polls"] >= 2


def test_a_workers_first_job_tells_what_the_sampler_costs() -> None:
    board = Board()
    _, codes, notes = record_power(board.work, SETTINGS, dict(JOB, fresh=True), board)
    assert codes == []
    assert {f"sampler_{name}{end}" for name in ("latency", "power", "idle") for end in ("", "_u")} <= set(notes)
    assert abs(notes["sampler_power"]) < 0.01  # reading this sensor costs nothing
    assert board.calls == []
    assert not any(name.startswith("sampler_") for name in record_power(board.work, SETTINGS, JOB, board)[2])
