"""The rule by which an option of post-processing is kept: it has to beat spending its latency on phi.

[V, TCAD] Every option fills the same budget: what it costs is taken from phi. Trained alike, the best accuracy wins.
Ours: of options that are within one standard error of the difference to the best, the plainest wins. With several seeds
the error is that of the mean over them, with one seed that of counting so many test images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.evrsnas.records import null_if_not_finite
from search.s3nas.post.options import Option
from search.s3nas.post.outcomes import Filled
from search.spaces.network import network_workload

__all__ = ["Decision", "OptionRow", "Trial", "decide"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One option, filled to the budget and trained.

    Attributes:
        option, filled: what was trained.
        accuracies: one a seed, each in [0, 1].
        n_test: test images, for the standard error where there is one seed; 0: not known.
    """

    option: Option
    filled: Filled
    accuracies: tuple[float, ...]
    n_test: int = 0

    @property
    def mean(self) -> float:
        """Mean accuracy over the seeds."""
        return float(np.mean(self.accuracies))

    @property
    def sd(self) -> float:
        """Standard deviation over the seeds; NaN with one."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else math.nan

    @property
    def standard_error(self) -> float:
        """Of the mean: over seeds, or else binomial over the test images; NaN where neither is known."""
        if len(self.accuracies) > 1:
            return self.sd / math.sqrt(len(self.accuracies))
        return math.sqrt(self.mean * (1.0 - self.mean) / self.n_test) if self.n_test else math.nan


@dataclass(frozen=True, slots=True)
class OptionRow:
    """A trial with its verdict.

    Attributes:
        trial: the trial.
        kept: whether this is the option to take.
        why: in one sentence.
    """

    trial: Trial
    kept: bool
    why: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form, in the units of its names; null stands for what is not known."""
        trial, filled = self.trial, self.trial.filled
        workload = network_workload(filled.network)
        return {
            "option": trial.option.name,
            "activation": trial.option.activation,
            "se_removed": trial.option.removed,
            "phi": filled.phi,
            "predicted": filled.predicted,
            "measured": filled.measured,
            "params": workload.params,
            "macs": workload.macs,
            "accuracy": trial.mean,
            "accuracy_sd": null_if_not_finite(trial.sd),
            "standard_error": null_if_not_finite(trial.standard_error),
            "accuracies": list(trial.accuracies),
            "kept": self.kept,
            "why": self.why,
            "network": filled.network.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """Every option with its verdict.

    Attributes:
        rows: the plainest first; exactly one is kept.
        budget: that all of them fill.
        unit: of costs and budget.
    """

    rows: tuple[OptionRow, ...]
    budget: float
    unit: str

    @property
    def kept(self) -> OptionRow:
        """The option to take."""
        return next(row for row in self.rows if row.kept)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {
            "budget": self.budget,
            "unit": self.unit,
            "kept": self.kept.trial.option.name,
            "options": [row.to_dict() for row in self.rows],
        }


def decide(trials: Sequence[Trial], budget: float, unit: str = "ms") -> Decision:
    """Apply the rule to one trial or more."""
    ordered = sorted(trials, key=lambda trial: trial.option.plainness, reverse=True)
    best = max(ordered, key=lambda trial: trial.mean)  # the first of equals: the plainest
    kept = next(t for t in ordered if t is best or best.mean - t.mean <= _error(best, t))
    rows = tuple(OptionRow(t, t is kept, _why(t, kept, best, ordered[0])) for t in ordered)
    return Decision(rows, budget, unit)


def _error(a: Trial, b: Trial) -> float:
    """Standard error of the difference of two means; 0 where it is not known, so that nothing passes for a tie."""
    error = math.hypot(a.standard_error, b.standard_error)
    return error if math.isfinite(error) else 0.0


def _why(trial: Trial, kept: Trial, best: Trial, plainest: Trial) -> str:
    if trial is kept:
        if trial is not best:
            return f"kept: {_points(best, trial)} behind {best.option.name!r} is a tie, and it is plainer"
        if trial is plainest:
            return "kept: no option beats spending its cost on phi"
        return f"kept: {_points(trial, plainest)} ahead of {plainest.option.name!r}, which spends the cost on phi"
    if trial.mean > kept.mean:
        return f"not kept: {_points(trial, kept)} ahead of {kept.option.name!r} do not outweigh that it is less plain"
    return f"not kept: {_points(kept, trial)} behind {kept.option.name!r} at the same budget"


def _points(ahead: Trial, behind: Trial) -> str:
    error = math.hypot(ahead.standard_error, behind.standard_error)
    doubt = f"standard error {100 * error:.2f}" if math.isfinite(error) else "standard error unknown"
    return f"{100 * (ahead.mean - behind.mean):.2f} points ({doubt})"
