"""The measuring loop: batches that last long enough, a warm-up, and a stop once the median is known well enough.

Every function takes the clock, so that tests can bring one of their own.
"""

from __future__ import annotations

import gc
import itertools
import math
import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence

EMPTY_PAIRS = 10000
"""Readings from which the clock's own cost is taken."""

RESOLUTIONS = 1000
OVERHEADS = 200
"""A batch lasts at least so many ticks of the clock, and so many times what reading it costs."""

MOST_BATCHES = 20000
MOST_RUNS_A_BATCH = 10000000
GROWTH = 16
"""A batch becomes at most so many times longer at once: its first guess rests on a single cold run."""

STEADY_WINDOW = 8
STEADY_LEAST = 6
"""Batches that the steady-state test looks at; with fewer than six no order of them is significant."""

WARMUP_CAP = 3
"""An unsteady warm-up may last so many times what was asked for."""

Z_95 = 1.96

Run = Callable[[], Any]
Clock = Callable[[], int]


class ClockFacts(NamedTuple):
    """What the clock can tell.

    Attributes:
        resolution_ns: the smallest step seen between two readings.
        overhead_ns: the median of what an empty pair of readings lasts.
    """

    resolution_ns: int
    overhead_ns: int


class Settings(NamedTuple):
    """The part of the host's MeasureConfig that a worker obeys; units in the names, `target_half_width` relative."""

    min_batch_s: float
    warmup_runs: int
    warmup_s: float
    min_batches: int
    target_half_width: float
    cap_s: float

    @classmethod
    def read(cls, config: Any) -> Settings:
        """Take the settings out of a request's "config".

        Raises:
            ValueError: naming the field that is missing or no number of its kind.
        """
        return cls(
            min_batch_s=_number(config, "min_batch_s"),
            warmup_runs=int(_number(config, "warmup_runs", whole=True)),
            warmup_s=_number(config, "warmup_s"),
            min_batches=int(_number(config, "min_batches", whole=True)),
            target_half_width=_number(config, "target_half_width"),
            cap_s=_number(config, "cap_s"),
        )


def _number(config: Any, name: str, whole: bool = False) -> float:
    value = config.get(name) if isinstance(config, dict) else None
    usable = isinstance(value, int) or (not whole and isinstance(value, float) and math.isfinite(value))
    if not usable or isinstance(value, bool) or value is None or value < 0:
        raise ValueError("config.%s must be a %s >= 0" % (name, "whole number" if whole else "number"))
    return float(value)


class WarmUp(NamedTuple):
    """How the warm-up went: the runs that a batch needs, all runs done, whether their times had settled."""

    runs_per_batch: int
    runs: int
    steady: bool


class Sampling(NamedTuple):
    """The samples, and why there are so many.

    Attributes:
        samples_ns: duration of every batch.
        half_width: of the 95 % interval of the median, relative to it.
        n_effective: how many independent samples they are worth.
        converged: whether the interval was narrow enough before the time was up.
    """

    samples_ns: List[int]
    half_width: float
    n_effective: float
    converged: bool


def calibrate(clock: Clock = time.perf_counter_ns) -> ClockFacts:
    """Measure the clock with empty pairs of readings.

    The smallest step seen is an upper bound of the true resolution where reading takes longer than a tick, which is
    the safe side: batches come out longer, never shorter.
    """
    pairs = []
    for _ in range(EMPTY_PAIRS):
        start = clock()
        pairs.append(clock() - start)
    steps = [pair for pair in pairs if pair > 0]
    if not steps:  # a tick outlasts all of these readings: wait for whole ones
        edges = [_next_tick(clock) for _ in range(3)]
        steps = [after - before for before, after in zip(edges, edges[1:])]
    return ClockFacts(min(steps), int(median(pairs)))


def _next_tick(clock: Clock) -> int:
    start = now = clock()
    while now == start:
        now = clock()
    return now


def least_batch_ns(settings: Settings, clock_facts: ClockFacts) -> int:
    """How long a sample must last for the clock not to matter."""
    least = max(RESOLUTIONS * clock_facts.resolution_ns, OVERHEADS * clock_facts.overhead_ns)
    return max(int(settings.min_batch_s * 1e9), least)


@contextmanager
def no_collections() -> Iterator[None]:
    """Keep Python's garbage collector from running inside a sample."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def time_batch(run: Run, runs: int, clock: Clock) -> int:
    """Nanoseconds that so many runs take, one after the other."""
    repeat = itertools.repeat(None, runs)  # the cheapest loop there is: no integers are made
    start = clock()
    for _ in repeat:
        run()
    return clock() - start


def warm_up(run: Run, settings: Settings, least_ns: int, clock: Clock = time.perf_counter_ns) -> WarmUp:
    """Run until warm, and find how many runs a batch needs on the way.

    Warm means: at least `warmup_runs` and `warmup_s`, and no trend left in the last batches. A trend that does not
    end within WARMUP_CAP times the warm-up asked for is given up on (`steady` is False then).
    """
    began = clock()
    asked_ns = settings.warmup_s * 1e9
    done, runs = 0, 1
    batches: List[float] = []
    while True:
        took = time_batch(run, runs, clock)
        done += runs
        if took < least_ns and runs < MOST_RUNS_A_BATCH:
            runs = _longer(runs, took, least_ns)
            continue
        batches.append(took / runs)
        elapsed = clock() - began
        if done < settings.warmup_runs or elapsed < asked_ns:
            continue
        if is_steady(batches[-STEADY_WINDOW:], settings.target_half_width):
            return WarmUp(runs, done, True)
        if elapsed >= WARMUP_CAP * max(asked_ns, STEADY_WINDOW * median(batches) * runs):
            return WarmUp(runs, done, False)


def _longer(runs: int, took: int, least_ns: int) -> int:
    wanted = math.ceil(runs * 1.05 * least_ns / max(took, 1))
    return int(min(MOST_RUNS_A_BATCH, GROWTH * runs, max(runs + 1, wanted)))


def is_steady(batches: Sequence[float], tolerance: float) -> bool:
    """Whether no trend is left in these times.

    A trend counts when Mann and Kendall's test finds it at the 5 % level *and* Theil and Sen's slope carries it beyond
    `tolerance` of the median over the window: neither chance nor a drift too small to matter prolongs a warm-up.
    """
    n = len(batches)
    if n < STEADY_LEAST:
        return False
    pairs = list(itertools.combinations(range(n), 2))
    score = sum((batches[j] > batches[i]) - (batches[j] < batches[i]) for i, j in pairs)
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    significant = (abs(score) - 1) / deviation > Z_95
    slope = median([(batches[j] - batches[i]) / (j - i) for i, j in pairs])
    return not (significant and abs(slope) * (n - 1) > tolerance * median(batches))


def sample(run: Run, runs_per_batch: int, settings: Settings, clock: Clock = time.perf_counter_ns) -> Sampling:
    """Time batches until the 95 % interval of their median is narrow enough, or until `cap_s` have passed.

    At the cap there may be fewer than `min_batches` samples, never none; that does not count as converged.
    """
    samples: List[int] = []
    began = clock()
    check_at = max(1, settings.min_batches)
    while True:
        samples.append(time_batch(run, runs_per_batch, clock))
        n = len(samples)
        if n >= check_at:
            width = half_width(samples)
            if width <= settings.target_half_width:
                return Sampling(samples, width, effective_n(samples), True)
            check_at = n + max(1, n // 16)  # sorting after every single batch would cost more than it saves
        if clock() - began >= settings.cap_s * 1e9 or n >= MOST_BATCHES:
            width = half_width(samples)
            converged = n >= settings.min_batches and width <= settings.target_half_width
            return Sampling(samples, width, effective_n(samples), converged)


def median(values: Sequence[float]) -> float:
    """The median of at least one value."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def effective_n(samples: Sequence[float]) -> float:
    """How many independent samples these are worth for their median, from their lag-1 autocorrelation; 1..n.

    The variance of a median depends on the autocorrelations of the signs of (sample - median), which outliers do not
    move. At lag 1 it is measured; at lag k it is (2 / pi) asin(r ** k), what a normal AR(1) series has whose signs
    correlate so at lag 1 (the arcsine law). Negative r counts as none. The host evaluates journals with all lags;
    this is the quick form that decides when to stop.
    """
    n = len(samples)
    if n < 4:
        return float(n)
    centre = median(samples)
    signs = [(value > centre) - (value < centre) for value in samples]
    mean = sum(signs) / n
    variance = sum((sign - mean) ** 2 for sign in signs)
    if variance == 0:
        return float(n)
    shared = sum((a - mean) * (b - mean) for a, b in zip(signs, signs[1:])) / variance
    r = math.sin(math.pi / 2 * min(max(shared, 0.0), 0.99))
    inefficiency, power, lag = 1.0, r, 1
    while power > 1e-3 and lag < n:
        inefficiency += 4 / math.pi * math.asin(power)
        power *= r
        lag += 1
    return max(1.0, n / inefficiency)


def half_width(samples: Sequence[float]) -> float:
    """Half of the 95 % interval of the median, relative to the median; of their whole range below six effective ones.

    The interval ends at order statistics, whose ranks follow from a binomial with the effective n (normal
    approximation): no distribution of the samples is assumed.
    """
    n, independent = len(samples), effective_n(samples)
    share = Z_95 / 2 / math.sqrt(independent) if independent >= 6 else 0.5
    ordered = sorted(samples)
    low = max(0, math.floor(n * (0.5 - share)))
    centre = median(ordered)
    return (ordered[n - 1 - low] - ordered[low]) / 2 / centre if centre > 0 else math.inf


def describe(sampling: Sampling) -> Dict[str, Any]:
    """What of a sampling belongs into the record beside its samples."""
    finite = math.isfinite(sampling.half_width)
    return {
        "half_width": round(sampling.half_width, 6) if finite else None,
        "n_effective": round(sampling.n_effective, 1),
    }
