"""Samples of a loaded model: those that count, by what was seen of the board meanwhile; and the accelerator's time."""

from __future__ import annotations

from typing import Optional, Tuple

from ..runtimes import Model
from . import timing
from .interval import median
from .observer import Observer, Verdict
from .settings import Settings

DEVICE_RUNS = 11
"""Runs from which the accelerator's own time is taken."""


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
