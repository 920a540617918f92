from __future__ import annotations

import gc
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence

import pytest

from profiler.agent.worker import interval, timing
from profiler.agent.worker.calibration import ClockUnusable
from profiler.agent.worker.settings import Settings
from profiler.agent.worker.timing import Sampler

MS = 1_000_000
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
    assert 1.0 <= machine.now / 1e9 < 1.6


def test_a_warm_up_that_never_settles_is_given_up_on() -> None:
    machine = Machine(iter([]))
    machine.costs = (MS * (1 + machine.now / 1e9) for _ in itertools.count())  # heats up for ever
    warm = timing.warm_up(machine.run, SETTINGS, 10 * MS, machine.clock)
    assert not warm.steady
    assert machine.now / 1e9 == pytest.approx(timing.WARMUP_CAP * SETTINGS.warmup_s, abs=0.05)


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
    assert interval.half_width(sampling.samples_ns) == sampling.half_width


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


def test_a_description_is_json_even_where_no_width_is_known() -> None:
    told = timing.describe(timing.Sampling([0], math.inf, 1.0, False, math.inf))
    assert told == {"half_width": None, "n_effective": 1.0, "needs_s": None}


# how much longer it would have needed


def test_what_converged_needs_no_more_time() -> None:
    machine = constant(MS)
    assert timing.sample(machine.run, 10, SETTINGS, machine.clock).needs_s == 0


def test_what_was_cut_short_tells_how_much_longer_it_would_have_needed() -> None:
    """And is right about it: the interval narrows with the root of the time."""
    ratios = []
    for seed in range(40):
        rng = random.Random(seed)
        machine = drawn(lambda: rng.gauss(1, 0.08) * 10 * MS)  # noqa: B023
        sampler = Sampler(machine.run, 1, SETTINGS._replace(cap_s=1.0), machine.clock)
        short = sampler.go_on()
        assert not short.converged
        rng.seed(seed)
        machine = drawn(lambda: rng.gauss(1, 0.08) * 10 * MS)  # noqa: B023
        assert timing.sample(machine.run, 1, SETTINGS._replace(cap_s=1e3), machine.clock).converged
        ratios.append((1.0 + short.needs_s) / (machine.now / 1e9))
    assert 0.8 < interval.median(ratios) < 1.5


def test_too_few_batches_are_a_need_as_well() -> None:
    machine = constant(MS)
    sampling = timing.sample(machine.run, 10, SETTINGS._replace(cap_s=0.1), machine.clock)
    assert (sampling.half_width, sampling.converged) == (0, False)
    assert sampling.needs_s == pytest.approx(0.2)


def test_the_stop_by_the_interval_takes_less_time_than_a_fixed_number_of_batches() -> None:
    """Jobs as boards have them, most of them quiet; the fixed number gives 95 % of them the same interval."""

    def series(seed: int) -> Iterator[float]:
        rng = random.Random(seed)
        spread, r, deviation = 10 ** rng.uniform(-2.7, -1.3), rng.choice([0.0, 0.2, 0.5]), 0.0
        while True:
            deviation = r * deviation + math.sqrt(1 - r * r) * rng.gauss(0, spread)
            yield 10 * MS * (1 + deviation)

    adaptive, wanted = [], []
    for seed in range(60):
        machine = Machine(series(seed))
        sampling = timing.sample(machine.run, 1, SETTINGS, machine.clock)
        assert sampling.converged
        adaptive.append(len(sampling.samples_ns))
        wanted.append(len(sampling.samples_ns))
    fixed = sorted(wanted)[int(0.95 * len(wanted))]
    assert sum(adaptive) <= 0.6 * fixed * len(adaptive)


# a clock that is set back


class SteppingMachine(Machine):
    """Whose clock goes back by `back_ns` at each of these runs."""

    def __init__(self, costs: Iterator[float], at_runs: set[int], back_ns: float) -> None:
        super().__init__(costs)
        self.at_runs, self.back_ns = at_runs, back_ns

    def run(self) -> None:
        super().run()
        if self.runs in self.at_runs:
            self.now -= self.back_ns


def test_batches_at_which_the_clock_goes_back_are_left_out() -> None:
    machine = SteppingMachine(itertools.repeat(10 * MS), {7, 20}, 3600e9)
    sampler = Sampler(machine.run, 1, SETTINGS, machine.clock)
    sampling = sampler.go_on()
    assert sampling.samples_ns == [10 * MS] * 30
    assert (sampling.converged, sampler.stepped, machine.runs) == (True, 2, 32)


def test_a_step_back_between_batches_is_seen_too() -> None:
    machine = constant(10 * MS)
    sampler = Sampler(machine.run, 1, SETTINGS._replace(cap_s=0.05), machine.clock, before=lambda: None)
    sampler.go_on()
    machine.now -= 1e9
    sampler.go_on()
    assert sampler.stepped == 1
    assert set(sampler.samples_ns) == {10 * MS}


def test_the_cap_holds_although_the_clock_was_set_back_by_an_hour() -> None:
    rng = random.Random(9)
    machine = SteppingMachine((rng.uniform(1, 3) * 10 * MS for _ in itertools.count()), {20}, 3600e9)
    sampling = timing.sample(machine.run, 1, SETTINGS._replace(cap_s=2.0), machine.clock)
    assert not sampling.converged
    assert machine.runs < 250


def test_a_clock_that_only_goes_back_is_refused() -> None:
    machine = SteppingMachine(itertools.repeat(10 * MS), set(range(10**6)), 1e9)
    with pytest.raises(ClockUnusable, match="backwards"):
        timing.sample(machine.run, 1, SETTINGS, machine.clock)
    assert not timing.warm_up(machine.run, SETTINGS, 10 * MS, machine.clock).steady


def test_a_warm_up_ends_although_the_clock_is_set_back() -> None:
    machine = SteppingMachine(itertools.repeat(MS), {100}, 3600e9)
    warm = timing.warm_up(machine.run, SETTINGS, 10 * MS, machine.clock)
    assert warm.steady
    assert warm.runs < 1000


# what counts, what is done before, and whole batches at once


def test_sampling_goes_on_until_what_counts_is_enough() -> None:
    machine = constant(10 * MS)
    sampler = Sampler(machine.run, 1, SETTINGS, machine.clock)
    seen: list[int] = []

    def keep(begins_ns: Sequence[int], samples_ns: Sequence[int]) -> list[int]:
        seen.append(len(begins_ns))
        return [took for begin, took in zip(begins_ns, samples_ns, strict=True) if begin >= 100 * MS]

    sampling = sampler.go_on(keep)
    assert sampling.converged
    assert 30 <= len(sampling.samples_ns) <= 33
    assert len(sampler.samples_ns) == len(sampling.samples_ns) + 10
    assert seen[0] == 30
    assert len(seen) < 15  # not after every batch


def test_where_nothing_counts_the_time_is_used_up_and_nothing_is_told() -> None:
    machine = constant(10 * MS)
    sampler = Sampler(machine.run, 1, SETTINGS._replace(cap_s=1.0), machine.clock)
    sampling = sampler.go_on(lambda begins, samples: [])
    assert (sampling.samples_ns, sampling.converged, sampling.half_width) == ([], False, math.inf)
    assert sampling.needs_s == math.inf
    assert len(sampler.samples_ns) == 100


def test_what_is_done_before_a_batch_is_none_of_its_time_and_counts_for_the_cap() -> None:
    machine = constant(MS)

    def evict() -> None:
        machine.now += 99 * MS

    sampler = Sampler(machine.run, 1, SETTINGS._replace(cap_s=2.0, min_batches=100), machine.clock, evict)
    sampling = sampler.go_on()
    assert sampling.samples_ns == [MS] * 20


def test_a_runtime_may_do_a_whole_batch_at_once() -> None:
    machine = constant(MS)
    calls: list[int] = []

    class Run:
        def __call__(self) -> None:
            raise AssertionError

        def many(self, runs: int) -> None:
            calls.append(runs)
            machine.now += runs * MS

    assert timing.warm_up(Run(), SETTINGS, 10 * MS, machine.clock).runs_per_batch == 11
    calls.clear()
    assert timing.sample(Run(), 11, SETTINGS, machine.clock).samples_ns == [11 * MS] * 30
    assert calls == [11] * 30
