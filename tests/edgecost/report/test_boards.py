"""Courses of boards: what they told, when, and that nothing is made of what they did not tell."""

from __future__ import annotations

from pathlib import Path

import journals
import pytest

from edgecost.report.boards import BoardCourse, board_courses
from edgecost.report.boards_figures import board
from profiler.measure.record import Measurement
from profiler.tables.loading.runs import read_run

HOT = {
    "freq_mhz": 1800.0, "freq_min_mhz": 1200.0, "freq_max_mhz": 2400.0, "temperature_c": 60.0,
    "temperature_c_after": 70.0, "temperature_max_c": 84.5, "throttle_events": 2, "pressure_max": 12.5,
    "load_1min": 1.5, "steal_share": 0.25, "others_share": 0.0,
}  # fmt: skip
COOL = {**HOT, "freq_min_mhz": 2400.0, "freq_mhz": 2400.0, "temperature_c": 40.0, "temperature_max_c": 41.0}
COOL |= {"temperature_c_after": 41.0, "throttle_events": 0, "load_1min": 0.5, "pressure_max": 0.0}


def course(folder: Path, *lines: Measurement, emulation: str = "") -> BoardCourse:
    found = board_courses("board", [read_run(journals.write(folder, lines, emulation=emulation))])
    assert found is not None
    return found


def test_heat_clock_throttling_and_load_are_told_over_time(tmp_path: Path) -> None:
    found = course(tmp_path, journals.job("a", 0, 0.0, env=COOL), journals.job("b", 0, 600.0, env=HOT))
    assert (found.unit, found.length, found.virtual) == ("min", 10.0, False)
    assert found.temperature is not None
    assert (found.temperature.low, found.temperature.high) == ([40.0, 60.0], [41.0, 84.5])
    assert found.temperature.times == [0.0, 10.0]
    assert found.clock is not None
    assert (found.clock.low, found.clock.high) == ([2400.0, 1200.0], [2400.0, 2400.0])
    assert found.throttled == [10.0]
    assert found.shares["stolen by other guests"].high == [25.0, 25.0]
    assert found.shares["waited for a core"].high == [0.0, 12.5]
    said = " ".join(found.notes)
    assert "40.0 to 84.5 °C." in said
    assert "1200 to 2400 MHz." in said
    assert "slowed itself down during 1 of 2 measurements" in said
    assert "No time at all was taken by other programs." in said
    assert "Load average 1.0, at most 1.5." in said
    assert board(found, "") is not None


def test_what_a_board_does_not_tell_is_said_and_not_drawn(tmp_path: Path) -> None:
    found = course(tmp_path, journals.job("a", 0, 0.0, env={"temperature_c": None}), journals.job("b", 0, 1.0))
    assert (found.temperature, found.clock, found.shares, found.sentinels) == (None, None, {}, {})
    said = " ".join(found.notes)
    for sentence in ("no temperature", "no clock frequency", "for throttling", "No sentinel ran", "nothing of time"):
        assert sentence in said
    assert board(found, "") is None


def test_a_journal_without_times_has_no_course(tmp_path: Path) -> None:
    found = course(tmp_path, journals.job("a", 0, None, env=HOT))
    assert found.temperature is None
    assert found.notes == ["The journal tells no times, so that there is no course to show."]
    assert board_courses("board", []) is None
    assert board_courses("board", [read_run(journals.write(tmp_path, [], run_id="empty"))]) is None


def test_sentinels_their_pauses_and_what_was_measured_again(tmp_path: Path) -> None:
    found = course(
        tmp_path,
        journals.sentinel(0.0, "reference"),
        journals.job("a", 0, 1.0),
        journals.sentinel(2.0, "drifted", mean_ns=6_000),
        journals.sentinel(3.0, "good"),
        journals.job("a", 0, 4.0),
        journals.job("b", 0, 5.0),
        journals.job("b", 0, 6.0, issues=("drifted",)),  # kept, not measured again
        journals.job("a", 1, 7.0),  # another round
        journals.sentinel(8.0, "drifted", mean_ns=5_500),
        journals.sentinel(9.0, "failed"),
    )
    assert found.sentinels["drifted"] == ([2.0, 8.0], [1.2, 1.1])
    assert found.sentinels["reference"] == ([0.0], [1.0])
    assert found.pauses == [(2.0, 3.0), (8.0, 9.0)]
    assert found.again == [4.0]
    (said,) = (note for note in found.notes if note.startswith("Sentinel"))
    assert (
        said == "Sentinel: 5 runs, +0.0 to +20.0 % from the first, 2 judged drifted, 1 failed, 1 jobs measured again."
    )
    assert board(found, "") is not None


def test_a_simulated_board_goes_by_its_own_time(tmp_path: Path) -> None:
    env = {**COOL, "cooled_s": 5400.0, "sampling_s": 1800.0}
    jobs = [journals.job(name, 0, 0.0, env=env) for name in "abc"]
    found = course(tmp_path, *jobs, emulation="simulated")
    assert found.virtual
    assert (found.unit, found.length) == ("h", 4.0)
    assert found.temperature is not None
    assert found.temperature.times == [0.0, 2.0, 4.0]


def test_runs_follow_each_other(tmp_path: Path) -> None:
    late = journals.write(
        tmp_path, [journals.job("a", 0, 5000.0, env=HOT), journals.job("b", 0, 5010.0, env=HOT)], run_id="a-late",
        started="2026-01-01T01:00:00+00:00",
    )  # fmt: skip
    early = journals.write(tmp_path, [journals.job("a", 0, 0.0, env=COOL), journals.job("b", 0, 20.0, env=COOL)])
    found = board_courses("board", [read_run(late), read_run(early)])
    assert found is not None
    assert (found.begins, found.length) == ([20.0], 30.0)
    assert found.temperature is not None
    assert found.temperature.low == [40.0, 40.0, 60.0, 60.0]


@pytest.mark.parametrize("n", [10, 5000])
def test_a_long_campaign_is_thinned_and_keeps_its_extremes(tmp_path: Path, n: int) -> None:
    hot = n // 2
    lines = [journals.job(f"{i}", 0, float(i), env=HOT if i == hot else COOL) for i in range(n)]
    found = course(tmp_path, *lines)
    assert found.temperature is not None
    assert found.clock is not None
    assert len(found.temperature.times) <= 250
    assert max(found.temperature.high) == 84.5
    assert min(found.clock.low) == 1200.0
    assert len(found.throttled) == 1
