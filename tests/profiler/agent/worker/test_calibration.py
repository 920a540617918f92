"""What clocks of all kinds turn out to be able to tell."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from profiler.agent.worker import calibration
from profiler.agent.worker.calibration import ClockFacts, ClockUnusable
from profiler.agent.worker.settings import Settings

MS = 1_000_000
SETTINGS = Settings(min_batch_s=0.010, warmup_runs=5, warmup_s=0.5, min_batches=30, target_half_width=0.01, cap_s=10.0)


def ticking(step: int, reads_a_tick: int) -> Callable[[], int]:
    count = itertools.count()
    return lambda: next(count) // reads_a_tick * step


def test_calibration_of_a_fine_clock() -> None:
    assert calibration.calibrate(ticking(70, 1)) == ClockFacts(resolution_ns=70, overhead_ns=70)


def test_calibration_of_a_clock_that_seldom_ticks() -> None:
    # the median pair sees no tick; some do
    assert calibration.calibrate(ticking(1000, 100)) == ClockFacts(resolution_ns=1000, overhead_ns=0)


def test_calibration_waits_for_a_clock_that_ticks_in_none_of_the_pairs() -> None:
    coarse = ticking(10 * MS, 3 * calibration.EMPTY_PAIRS)
    assert calibration.calibrate(coarse) == ClockFacts(resolution_ns=10 * MS, overhead_ns=0)


def test_a_clock_that_stands_still_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "MOST_READINGS", 1000)
    with pytest.raises(ClockUnusable, match="stands still"):
        calibration.calibrate(lambda: 7)


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        (ClockFacts(1, 40), 10 * MS),
        (ClockFacts(100_000, 40), 100 * MS),
        (ClockFacts(1, 100_000), 20 * MS),
    ],
)
def test_a_batch_lasts_by_the_clock_too(clock: ClockFacts, expected: int) -> None:
    assert calibration.least_batch_ns(SETTINGS, clock) == expected


def test_a_clock_that_is_set_back_meanwhile_is_calibrated_all_the_same() -> None:
    count = itertools.count()

    def clock() -> int:
        read = next(count)
        return 70 * read - (3600 * 10**9 if read > 5001 else 0)

    assert calibration.calibrate(clock) == ClockFacts(resolution_ns=70, overhead_ns=70)
