"""Samples of a loaded model: those that count, by what was seen of the board meanwhile; and the accelerator's time."""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional, Tuple

from ..runtimes import Model
from . import timing
from .interval import median
from .observer import Observer, Verdict
from .settings import Settings
from .steady import drifts

DEVICE_RUNS = 11
"""Runs from which the accelerator's own time is taken."""


class Settled(NamedTuple):
    """Samples that count, and what was thrown away before them.

    Attributes:
        sampler: that took them.
        verdict, sampling: on them, as of `sample_observed`.
        steady: whether they have no trend.
        warmup_runs, warmup_s: of a first sampling that turned out to belong to the warm-up; 0 where there was none.
    """

    sampler: timing.Sampler
    verdict: Verdict
    sampling: timing.Sampling
    steady: bool
    warmup_runs: int = 0
    warmup_s: float = 0.0


def sample_settled(
    make_sampler: Callable[[], timing.Sampler], settings: Settings, observer: Optional[Observer]
) -> Settled:
    """Sample; where the samples still have a trend they were part of the warm-up, and it is done once more.

    A few batches cannot show a slow trend: that of all the samples is the first that does.
    """
    first = make_sampler()
    verdict, sampling = sample_observed(first, settings, observer)
    if not drifts(verdict.samples_ns, settings.target_half_width):
        return Settled(first, verdict, sampling, True)
    if observer is not None:
        observer.resume()
    second = make_sampler()
    verdict, sampling = sample_observed(second, settings, observer)
    steady = not drifts(verdict.samples_ns, settings.target_half_width)
    runs = len(first.samples_ns) * first.runs_per_batch
    return Settled(second, verdict, sampling, steady, runs, first.lasted_s)


def sample_observed(
    sampler: timing.Sampler, settings: Settings, observer: Optional[Observer]
) -> Tuple[Verdict, timing.Sampling]:
    """Sample until what counts is enough, or the time is up: the verdict on it, and the sampling that it leaves.

    Args:
        sampler: that has not begun.
        settings: when it is enough.
        observer: that looks already; it has stopped afterwards. None where all samples count.
    """
    if observer is None:
        sampling = sampler.go_on()
        return Verdict(sampling.samples_ns, {}, []), sampling
    while True:
        sampling = sampler.go_on(observer.keep)
        observer.stop()
        verdict = observer.judge(sampler.begins_ns, sampler.samples_ns, settings.min_batches)
        if len(verdict.samples_ns) != len(sampling.samples_ns):  # the last look has seen more
            sampling = sampler.judge(verdict.samples_ns)
        if sampling.converged or sampler.spent:
            return verdict, sampling
        observer.resume()


def ask_accelerator(model: Model) -> Optional[int]:
    """The median time on the accelerator itself in ns; None of a runtime that does not tell."""
    first = model.device_ns()
    if first is None:
        return None
    rest = [model.device_ns() for _ in range(DEVICE_RUNS - 1)]
    return int(median([first, *(each for each in rest if each is not None)]))
