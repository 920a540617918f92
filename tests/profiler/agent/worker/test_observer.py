"""What is seen beside a measurement, and which batches are believed for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from profiler.agent.worker.clocks import Clocks
from profiler.agent.worker.heat import Thermometer
from profiler.agent.worker.observer import Observer
from profiler.agent.worker.throttle import ThrottleWord

Board = Any

HEAT = {"throttle_file": "/sys/get_throttled", "throttle_bits": [0, 1, 2, 3]}
PSI = "some avg10=0.00 avg60=0.00 avg300=0.00 total=%d\n"
BATCH_S = 0.01


def observer_of(board: Board, hz: float = 5.0, heat: dict[str, Any] | None = None, clock: str = "unpinned") -> Observer:
    declared = HEAT if heat is None else heat
    clocks = Clocks(board, [0], clock)
    return Observer(board, hz, clocks, Thermometer(board, declared), ThrottleWord(board, declared))


def sample(board: Board, observer: Observer, batches: int, warmup_s: float = 0.5) -> tuple[list[int], list[int]]:
    """So many batches of 10 ms, after a warm-up."""
    observer.start()
    board.sleep(warmup_s)
    begins, samples = [], []
    for _ in range(batches):
        begins.append(int(board.now))
        board.sleep(BATCH_S)
        samples.append(int(BATCH_S * 1e9) + len(samples))  # so that they can be told apart
    observer.stop()
    return begins, samples


def test_a_quiet_board_is_told_as_such(board: Board) -> None:
    board.core(0)
    board.zone(0, "cpu", lambda s: 50 + s)
    board.files.update({"/sys/get_throttled": "0", "/proc/pressure/cpu": PSI % 0})
    observer = observer_of(board)
    verdict = observer.judge(*sample(board, observer, 100), 30)
    assert (len(verdict.samples_ns), verdict.issues) == (100, [])
    assert verdict.env == {
        "temperature_max_c": pytest.approx(51.5, abs=0.1), "freq_mhz": 1500.0, "freq_min_mhz": 1500.0,
        "freq_max_mhz": 1500.0, "throttle_events": 0, "batches_left_out": 0, "pressure_max": 0.0,
        "observer_hz": pytest.approx(5.0, abs=0.01),
    }  # fmt: skip
    assert board.besides == []
    assert len(observer.temperatures()) == 10


def test_nothing_is_invented_on_a_board_that_tells_nothing(board: Board) -> None:
    observer = observer_of(board)
    verdict = observer.judge(*sample(board, observer, 50), 30)
    assert (len(verdict.samples_ns), verdict.issues) == (50, [])
    assert set(verdict.env) == {"throttle_events", "batches_left_out", "observer_hz"}


def between(begin: float, end: float) -> Callable[[float], str]:
    return lambda s: "4" if begin <= s < end else "0"


def test_batches_that_overlap_throttling_are_left_out_from_look_to_look(board: Board) -> None:
    board.files["/sys/get_throttled"] = between(1.05, 1.35)
    observer = observer_of(board)
    begins, samples = sample(board, observer, 150)
    verdict = observer.judge(begins, samples, 30)
    # seen at 1.2 s, not yet at 1.0 s and no more at 1.4 s
    kept = [took for begin, took in zip(begins, samples, strict=True) if not 990 < begin / 1e6 - 1e6 < 1400]
    assert verdict.samples_ns == kept
    assert (verdict.env["throttle_events"], verdict.env["batches_left_out"]) == (1, 150 - len(kept))
    assert 38 <= 150 - len(kept) <= 42
    assert verdict.issues == []


def test_two_events_are_two(board: Board) -> None:
    board.files["/sys/get_throttled"] = lambda s: "2" if 0.9 < s < 1.1 or 1.7 < s < 2.1 else "0"
    observer = observer_of(board)
    assert observer.judge(*sample(board, observer, 250), 30).env["throttle_events"] == 2


def test_an_event_before_the_first_batch_is_none_of_theirs(board: Board) -> None:
    board.files["/sys/get_throttled"] = between(0.0, 0.1)
    observer = observer_of(board)
    verdict = observer.judge(*sample(board, observer, 50), 30)
    assert (verdict.env["throttle_events"], verdict.env["batches_left_out"]) == (0, 0)


def test_an_event_between_two_looks_is_known_by_its_sticky_bit(board: Board) -> None:
    board.files["/sys/get_throttled"] = lambda s: "40000" if s > 1.1 else "0"
    observer = observer_of(board)
    begins, samples = sample(board, observer, 150)
    verdict = observer.judge(begins, samples, 30)
    assert verdict.env["throttle_events"] == 1
    assert 38 <= verdict.env["batches_left_out"] <= 42  # those around the look at 1.2 s


@pytest.mark.parametrize(("batches", "throttled"), [(60, True), (200, False)])
def test_where_too_few_batches_are_left_the_figure_is_doubtful(board: Board, batches: int, throttled: bool) -> None:
    board.files["/sys/get_throttled"] = between(0.7, 0.95)
    observer = observer_of(board)
    verdict = observer.judge(*sample(board, observer, batches), 30)
    assert ("throttled" in verdict.issues) is throttled
    assert 0 < len(verdict.samples_ns) < batches


def test_where_an_event_touches_most_of_it_the_rest_is_doubtful_as_well(board: Board) -> None:
    board.files["/sys/get_throttled"] = between(0.0, 2.0)
    observer = observer_of(board)
    verdict = observer.judge(*sample(board, observer, 200), 30)
    assert len(verdict.samples_ns) > 30
    assert verdict.issues == ["throttled"]


def test_where_no_batch_would_be_left_all_are_kept_and_flagged(board: Board) -> None:
    board.files["/sys/get_throttled"] = "4"
    observer = observer_of(board)
    begins, samples = sample(board, observer, 40)
    assert observer.keep(begins, samples) == []
    verdict = observer.judge(begins, samples, 30)
    assert (verdict.samples_ns, verdict.issues) == (samples, ["throttled"])
    assert (verdict.env["throttle_events"], verdict.env["batches_left_out"]) == (1, 0)


def test_a_dip_below_the_clock_it_is_held_at_counts_as_throttling(board: Board) -> None:
    board.core(0, lambda s: "1200000" if 1.1 < s < 1.3 else "1500000", "performance")
    observer = observer_of(board)
    verdict = observer.judge(*sample(board, observer, 150), 30)
    assert (verdict.env["throttle_events"], verdict.issues) == (1, [])
    assert (verdict.env["freq_min_mhz"], verdict.env["freq_max_mhz"]) == (1200.0, 1500.0)
    assert verdict.env["batches_left_out"] > 30


@pytest.mark.parametrize(("khz", "moved"), [(1_200_000, True), (1_490_000, False)])
def test_a_free_clock_that_moves_is_told(board: Board, khz: int, moved: bool) -> None:
    board.core(0, lambda s: str(khz) if s > 1.1 else "1500000")
    observer = observer_of(board)
    verdict = observer.judge(*sample(board, observer, 150), 30)
    assert verdict.issues == (["clock_moved"] if moved else [])
    assert verdict.env["batches_left_out"] == 0


def test_a_clock_that_still_rises_in_the_warm_up_has_not_moved(board: Board) -> None:
    board.core(0, lambda s: "600000" if s < 0.3 else "1500000")
    observer = observer_of(board)
    assert observer.judge(*sample(board, observer, 50), 30).issues == []


@pytest.mark.parametrize(("share", "loaded"), [(0.01, False), (0.2, True)])
def test_other_programs_are_seen_by_the_pressure(board: Board, share: float, loaded: bool) -> None:
    board.files["/proc/pressure/cpu"] = lambda s: PSI % int(share * s * 1e6)
    observer = observer_of(board)
    verdict = observer.judge(*sample(board, observer, 100), 30)
    assert verdict.issues == (["background_load"] if loaded else [])
    assert verdict.env["pressure_max"] == pytest.approx(100 * share, abs=0.1)


def test_a_zone_that_shows_zero_for_a_while_has_no_temperature_then(board: Board) -> None:
    board.zone(0, "cpu-thermal", lambda s: 0.0 if s > 0.7 else 45.0)
    observer = observer_of(board, heat={"zones": ["cpu-thermal"]})
    verdict = observer.judge(*sample(board, observer, 50), 30)
    assert verdict.env["temperature_max_c"] == 45.0
    assert {value for _, value in observer.temperatures()} == {45.0}


def test_an_observer_that_breaks_is_told_and_breaks_nothing_else(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    from profiler.agent.leaf import Leaf

    real = Leaf()
    observer = observer_of(real, hz=100.0)
    observer.start()
    calls: list[int] = []

    def broken() -> None:
        calls.append(1)
        raise RuntimeError("the zone caught fire")

    monkeypatch.setattr(observer._thermometer, "read", broken)
    while not calls:
        real.sleep(0.01)
    monkeypatch.undo()
    observer.stop()
    verdict = observer.judge([real.clock_ns()], [10], 1)
    assert verdict.env["observer_error"] == "the zone caught fire"
    assert verdict.samples_ns == [10]


def test_looking_can_go_on_after_a_pause(board: Board) -> None:
    board.files["/sys/get_throttled"] = between(2.0, 2.5)
    observer = observer_of(board)
    first = sample(board, observer, 30)
    assert observer.keep(*first) == first[1]
    observer.resume()
    board.sleep(2.0)
    observer.stop()
    assert observer.keep(*first) == first[1]
    assert observer.keep([int((1000 + 2.2) * 1e9)], [10]) == []
