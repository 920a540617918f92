from __future__ import annotations

import gc
import itertools
import math
import random
from collections.abc import Callable, Iterator

import pytest

from profiler.agent.worker import timing
from profiler.agent.worker.timing import ClockFacts, Settings
from profiler.measure.config import MeasureConfig

MS = 1_000_000
CLOCK = ClockFacts(resolution_ns=1, overhead_ns=40)
SETTINGS = Settings(min_batch_s=0.010, warmup_runs=5, warmup_s=0.5, min_batches=30, target_half_width=0.01, cap_s=10.0)


class Machine:
    """A clock that only moves when something runs; `costs` are the durations of the runs in ns, in order."""

    def __init__(self, costs: Iterator[float]) -> None:
        self.costs = costs
        self.now = 0.0
        self.runs = 0

    def clock(self) -> int:
        return int(self.now)

    def run(self) -> None:
        self.now += next(self.costs)
        self.runs += 1


def constant(ns: float) -> Machine:
    return Machine(itertools.repeat(ns))


def drawn(draw: Callable[[], float]) -> Machine:
    return Machine(draw() for _ in itertools.count())


# the clock


def ticking(step: int, reads_a_tick: int) -> Callable[[], int]:
    count = itertools.count()
    return lambda: next(count) // reads_a_tick * step


def test_calibration_of_a_fine_clock() -> None:
    assert timing.calibrate(ticking(70, 1)) == ClockFacts(resolution_ns=70, overhead_ns=70)


def test_calibration_of_a_clock_that_seldom_ticks() -> None:
    # the median pair sees no tick; some do
    assert timing.calibrate(ticking(1000, 100)) == ClockFacts(resolution_ns=1000, overhead_ns=0)


def test_calibration_waits_for_a_clock_that_ticks_in_none_of_the_pairs() -> None:
    coarse = ticking(10 * MS, 3 * timing.EMPTY_PAIRS)
    assert timing.calibrate(coarse) == ClockFacts(resolution_ns=10 * MS, overhead_ns=0)


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        (ClockFacts(1, 40), 10 * MS),
        (ClockFacts(100_000, 40), 100 * MS),
        (ClockFacts(1, 100_000), 20 * MS),
    ],
)
def test_a_batch_lasts_by_the_clock_too(clock: ClockFacts, expected: int) -> None:
    assert timing.least_batch_ns(SETTINGS, clock) == expected


# settings


def test_settings_are_read_from_what_the_host_sends() -> None:
    assert Settings.read(MeasureConfig(min_batch_s=1, warmup_runs=7).to_dict()) == SETTINGS._replace(
        min_batch_s=1, warmup_runs=7
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("cap_s", None), ("cap_s", "1"), ("cap_s", -1), ("cap_s", math.nan), ("cap_s", True), ("min_batches", 1.5)],
)
def test_settings_that_are_none_are_named(name: str, value: object) -> None:
    config = MeasureConfig().to_dict() | {name: value}
    with pytest.raises(ValueError, match=rf"config\.{name} must be a"):
        Settings.read(config)


def test_a_config_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match=r"config\.min_batch_s"):
        Settings.read(3)


# warm-up


@pytest.mark.parametrize("run_ns", [200, 11_000, 3 * MS, 9.9 * MS, 25 * MS])
def test_a_batch_holds_as_many_runs_as_it_needs_and_hardly_more(run_ns: float) -> None:
    machine = constant(run_ns)
    warm = timing.warm_up(machine.run, SETTINGS, 10 * MS, machine.clock)
    assert warm.steady
    assert 10 * MS <= warm.runs_per_batch * run_ns < 10 * MS * 1.1 + run_ns
    assert warm.runs == machine.runs >= SETTINGS.warmup_runs
    assert machine.now >= SETTINGS.warmup_s * 1e9


def test_one_slow_run_at_the_start_does_not_make_short_batches() -> None:
    machine = Machine(itertools.chain([50 * MS], itertools.repeat(10_000)))
    warm = timing.warm_up(machine.run, SETTINGS, 10 * MS, machine.clock)
    assert warm.runs_per_batch * 10_000 >= 10 * MS


def test_a_slow_model_is_run_as_often_as_asked_although_the_time_is_up() -> None:
    machine = constant(1e9)
    assert timing.warm_up(machine.run, SETTINGS._replace(warmup_runs=9), 10 * MS, machine.clock).runs == 9


def test_warming_goes_on_while_the_runs_still_get_faster() -> None:
    """A clock that speeds up for a second; half a second of warm-up was asked for."""
    machine = Machine(iter([]))
    machine.costs = (MS * (2 - min(machine.now / 1e9, 1)) for _ in itertools.count())
    warm = timing.warm_up(machine.run, SETTINGS, 10 * MS, machine.clock)
    assert warm.steady
    assert 1.0 <= machine.now / 1e9 < 1.3


def test_a_warm_up_that_never_settles_is_given_up_on() -> None:
    machine = Machine(iter([]))
    machine.costs = (MS * (1 + machine.now / 1e9) for _ in itertools.count())  # heats up for ever
    warm = timing.warm_up(machine.run, SETTINGS, 10 * MS, machine.clock)
    assert not warm.steady
    assert machine.now / 1e9 == pytest.approx(timing.WARMUP_CAP * SETTINGS.warmup_s, abs=0.05)


def test_noise_is_not_taken_for_a_trend() -> None:
    rng = random.Random(1)
    steady = sum(timing.is_steady([rng.gauss(100, 5) for _ in range(8)], 0.01) for _ in range(1000))
    assert steady >= 930  # the test is at the 5 % level


@pytest.mark.parametrize(
    ("batches", "steady"),
    [
        ([100, 98, 96, 94, 92, 90, 88, 86], False),
        ([100, 102, 104, 106, 108, 110, 112, 114], False),
        ([100, 100.1, 100.2, 100.3, 100.4, 100.5, 100.6, 100.7], True),  # a trend of less than 1 % does not matter
        ([100] * 8, True),
        ([100] * 5, False),  # too few to tell
    ],
)
def test_steadiness(batches: list[float], steady: bool) -> None:
    assert timing.is_steady(batches, 0.01) is steady


# sampling


def test_quiet_samples_stop_at_the_least_number() -> None:
    machine = constant(MS)
    sampling = timing.sample(machine.run, 10, SETTINGS, machine.clock)
    assert sampling.samples_ns == [10 * MS] * 30
    assert sampling.converged
    assert sampling.half_width == 0
    assert machine.runs == 300


def test_noisy_samples_take_as_many_as_the_interval_needs() -> None:
    rng = random.Random(2)
    machine = drawn(lambda: rng.uniform(0.9, 1.1) * 10 * MS)
    sampling = timing.sample(machine.run, 1, SETTINGS, machine.clock)
    assert sampling.converged
    assert 60 < len(sampling.samples_ns) < 700
    assert sampling.half_width <= 0.01
    assert timing.half_width(sampling.samples_ns) == sampling.half_width


def test_the_cap_ends_what_does_not_converge() -> None:
    rng = random.Random(3)
    machine = drawn(lambda: rng.choice([1, 3]) * 10 * MS)
    sampling = timing.sample(machine.run, 1, SETTINGS._replace(cap_s=2.0), machine.clock)
    assert not sampling.converged
    assert 2.0 <= machine.now / 1e9 < 2.04


def test_a_run_longer_than_the_cap_gives_one_sample() -> None:
    machine = constant(3e9)
    sampling = timing.sample(machine.run, 1, SETTINGS._replace(cap_s=2.0), machine.clock)
    assert sampling.samples_ns == [3_000_000_000]
    assert not sampling.converged


def test_the_number_of_samples_is_bounded() -> None:
    rng = random.Random(4)
    machine = drawn(lambda: rng.choice([1, 3]) * 1000)
    sampling = timing.sample(machine.run, 1, SETTINGS._replace(cap_s=1e9, target_half_width=1e-9), machine.clock)
    assert len(sampling.samples_ns) == timing.MOST_BATCHES


def test_the_collector_rests_while_timing_and_is_left_as_it_was() -> None:
    assert gc.isenabled()
    with pytest.raises(KeyError), timing.no_collections():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()
    gc.disable()
    try:
        with timing.no_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


# the interval


def coverage(series: Callable[[random.Random], list[float]], trials: int = 400) -> float:
    """How often the interval by `half_width`'s ranks holds the true median, 0."""
    rng = random.Random(5)
    hits = 0
    for _ in range(trials):
        samples = [1000 + value for value in series(rng)]  # so that the relative width is an absolute one / 1000
        hits += abs(timing.median(samples) - 1000) <= timing.half_width(samples) * timing.median(samples)
    return hits / trials


def autoregressive(rng: random.Random, r: float, n: int = 120) -> list[float]:
    values = [rng.gauss(0, 1)]
    while len(values) < n:
        values.append(r * values[-1] + math.sqrt(1 - r * r) * rng.gauss(0, 1))
    return values


def test_the_interval_covers_the_median_of_independent_samples() -> None:
    assert 0.90 <= coverage(lambda rng: autoregressive(rng, 0.0)) <= 1.0


def test_the_interval_of_correlated_samples_is_wide_enough_because_they_count_less() -> None:
    assert coverage(lambda rng: autoregressive(rng, 0.7)) >= 0.88
    rng = random.Random(6)
    samples = autoregressive(rng, 0.7, 2000)
    assert timing.effective_n(samples) < 0.5 * 2000
    assert timing.effective_n(random.Random(7).sample(samples, 2000)) > 0.85 * 2000


def test_one_outlier_moves_neither_the_interval_nor_the_effective_number() -> None:
    rng = random.Random(8)
    samples = [rng.gauss(100, 1) for _ in range(100)]
    spoiled = [1e6, *samples[1:]]
    assert timing.half_width(spoiled) == pytest.approx(timing.half_width(samples), rel=0.2)
    assert timing.effective_n(spoiled) == pytest.approx(timing.effective_n(samples), rel=0.2)


def test_few_samples_are_judged_by_their_whole_range() -> None:
    assert timing.half_width([90.0, 100.0, 110.0]) == pytest.approx(0.1)


def test_a_description_is_json_even_where_no_width_is_known() -> None:
    assert timing.describe(timing.Sampling([0], math.inf, 1.0, False)) == {"half_width": None, "n_effective": 1.0}
