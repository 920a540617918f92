"""The measuring loop: batches that last long enough, a warm-up, and a stop once the median is known well enough.

Every function takes the clock: the leaf's, or one that a test brings.
"""

from __future__ import annotations

import gc
import itertools
import math
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

from .calibration import Clock, ClockUnusable
from .interval import effective_n, half_width, median
from .settings import Settings
from .steady import SteadyTest

MOST_BATCHES = 20000
MOST_RUNS_A_BATCH = 10000000
MOST_STEPS = 100
"""A clock that has gone backwards so often is waited for no longer."""

GROWTH = 16
"""A batch becomes at most so many times longer at once: its first guess rests on a single cold run."""

WARMUP_CAP = 4
WARMUP_BATCHES = 24
"""An unsteady warm-up may last so many times what was asked for, or so many batches."""

Run = Callable[[], Any]
Keep = Callable[[Sequence[int], Sequence[int]], List[int]]
"""From the batches' beginnings and durations, both in ns, to the durations of those that count."""


class WarmUp(NamedTuple):
    """How the warm-up went: the runs that a batch needs, all runs done, whether their times had settled, seconds."""

    runs_per_batch: int
    runs: int
    steady: bool
    lasted_s: float


class Sampling(NamedTuple):
    """The samples, and why there are so many.

    Attributes:
        samples_ns: duration of every batch that counts.
        half_width: of the 95 % interval of the median, relative to it.
        n_effective: how many independent samples they are worth.
        converged: whether the interval was narrow enough before the time was up.
        needs_s: how much longer sampling would have had to go on for that, as the interval narrows with the root of
            the number of samples: 0 where it was narrow enough, infinite where nobody can tell.
    """

    samples_ns: List[int]
    half_width: float
    n_effective: int
    converged: bool
    needs_s: float


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


class _Stopwatch:
    """Times batches, and adds up the time that went by, whatever steps the clock makes backwards.

    Attributes:
        elapsed_ns: since it was made; a step backwards adds nothing.
        steps: batches during which, or right before which, the clock went backwards.
        began_ns: when the last batch began.
    """

    def __init__(self, run: Run, clock: Clock, before: Optional[Run] = None) -> None:
        self._run = run
        # what a simulated board has: so many runs in one step of virtual time
        self._many: Optional[Callable[[int], Any]] = getattr(run, "many", None)
        self._clock = clock
        self._before = before
        self.elapsed_ns = 0
        self.steps = 0
        self._last_ns = self.began_ns = clock()

    def batch(self, runs: int) -> Optional[int]:
        """Nanoseconds that so many runs take, one after the other; None where the clock went backwards."""
        run, clock = self._run, self._clock
        if self._before is not None:
            self._before()
        repeat = itertools.repeat(None, runs)  # the cheapest loop there is: no integers are made
        if self._many is not None:
            start = clock()
            self._many(runs)
        else:
            start = clock()
            for _ in repeat:
                run()
        end = clock()
        forwards = self._last_ns <= start <= end
        if forwards:
            self.elapsed_ns += end - self._last_ns
        else:
            self.steps += 1
            self.elapsed_ns += max(0, start - self._last_ns) + max(0, end - start)
        self.began_ns, self._last_ns = start, end
        return end - start if forwards else None


def warm_up(run: Run, settings: Settings, least_ns: int, clock: Clock) -> WarmUp:
    """Run until warm, and find how many runs a batch needs on the way.

    Warm means: at least `warmup_runs` and `warmup_s`, and no trend left in the last batches. A trend that does not
    end is given up on (`steady` is False then).
    """
    watch, settled = _Stopwatch(run, clock), SteadyTest(settings.target_half_width, settings.min_batches)
    asked_ns = settings.warmup_s * 1e9
    done, runs = 0, 1
    batches: List[float] = []
    while True:
        took = watch.batch(runs)
        done += runs
        if took is None:
            if watch.steps >= MOST_STEPS:
                return WarmUp(runs, done, False, watch.elapsed_ns / 1e9)
            continue
        if took < least_ns and runs < MOST_RUNS_A_BATCH:
            runs = _longer(runs, took, least_ns)
            continue
        batches.append(took / runs)
        if done < settings.warmup_runs or watch.elapsed_ns < asked_ns:
            continue
        if settled.passed(batches):
            return WarmUp(runs, done, True, watch.elapsed_ns / 1e9)
        if watch.elapsed_ns >= max(WARMUP_CAP * asked_ns, WARMUP_BATCHES * median(batches) * runs):
            return WarmUp(runs, done, not settled.still_moving(batches), watch.elapsed_ns / 1e9)


def _longer(runs: int, took: int, least_ns: int) -> int:
    wanted = math.ceil(runs * 1.05 * least_ns / max(took, 1))
    return int(min(MOST_RUNS_A_BATCH, GROWTH * runs, max(runs + 1, wanted)))


class Sampler:
    """Times batches until the 95 % interval of their median is narrow enough, or until `cap_s` have passed.

    Args:
        run: what is timed.
        runs_per_batch: how often, in each of them; an attribute as well.
        settings: when it is enough.
        clock: nanoseconds.
        before: done before every batch, outside of its time; counts for the cap.

    Attributes:
        begins_ns, samples_ns: when each batch began, by the clock, and how long it took; in order. Batches at which
            the clock went backwards are not among them.
    """

    def __init__(
        self, run: Run, runs_per_batch: int, settings: Settings, clock: Clock, before: Optional[Run] = None
    ) -> None:
        self.begins_ns: List[int] = []
        self.samples_ns: List[int] = []
        self.runs_per_batch = runs_per_batch
        self._settings = settings
        self._watch = _Stopwatch(run, clock, before)
        self._check_at = max(1, settings.min_batches)

    @property
    def stepped(self) -> int:
        """Batches that were left out since the clock went backwards."""
        return self._watch.steps

    @property
    def lasted_s(self) -> float:
        """How long it has been going on."""
        return self._watch.elapsed_ns / 1e9

    @property
    def spent(self) -> bool:
        """Whether its time is up."""
        watch, batches = self._watch, len(self.samples_ns)
        late = watch.elapsed_ns >= self._settings.cap_s * 1e9
        return late or batches + watch.steps >= MOST_BATCHES or watch.steps >= MOST_STEPS

    def go_on(self, keep: Optional[Keep] = None) -> Sampling:
        """Time at least one batch more, until what `keep` leaves of all of them is enough, or the time is up.

        At the cap there may be fewer than `min_batches`, and none where `keep` leaves none; neither is converged.

        Raises:
            ClockUnusable: at every single batch the clock went backwards.
        """
        while True:
            took = self._watch.batch(self.runs_per_batch)
            if took is not None:
                self.begins_ns.append(self._watch.began_ns)
                self.samples_ns.append(took)
            n, spent = len(self.samples_ns), self.spent
            if n < self._check_at and not spent:
                continue
            if not n:
                raise ClockUnusable("the board's clock went backwards again and again")
            self._check_at = n + max(1, n // 16)  # sorting after every single batch would cost more than it saves
            found = self.judge(self.samples_ns if keep is None else keep(self.begins_ns, self.samples_ns))
            if found.converged or spent:
                return found

    def judge(self, samples: List[int]) -> Sampling:
        """What these samples tell, which took all the time so far."""
        least, target = self._settings.min_batches, self._settings.target_half_width
        n, independent = len(samples), effective_n(samples)
        width = half_width(samples, independent) if n else math.inf
        converged = n >= max(1, least) and width <= target
        needs_s = 0.0
        if not converged:
            needs_s = math.inf
            if n and math.isfinite(width) and target > 0:
                needs_s = (max((width / target) ** 2, least / n) - 1) * self._watch.elapsed_ns / 1e9
        return Sampling(samples, width, independent, converged, needs_s)


def sample(run: Run, runs_per_batch: int, settings: Settings, clock: Clock) -> Sampling:
    """One sampling in which all batches count."""
    return Sampler(run, runs_per_batch, settings, clock).go_on()


def describe(sampling: Sampling) -> Dict[str, Any]:
    """What of a sampling belongs into the record beside its samples."""
    width, needs_s = sampling.half_width, sampling.needs_s
    return {
        "half_width": round(width, 6) if math.isfinite(width) else None,
        "n_effective": sampling.n_effective,
        "needs_s": round(needs_s, 3) if math.isfinite(needs_s) else None,
    }
