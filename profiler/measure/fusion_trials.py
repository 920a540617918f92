"""Fusion experiments: what is measured so that the clock can say which operators a runtime runs as one.

    pairs -> trials (nothing, a, b, a+b, at six shapes, in stretches of m and 2m) -> jobs of an ordinary campaign
          -> journal -> slopes by round -> `fusion_verdicts`

The journal of such a run is one of blocks, as any other; it is kept apart from those that tables are made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from profiler.fleet.targets import Precision, Runtime
from profiler.measure.fusion_verdicts import ABSORBED, Finding, ShapeFinding, Slopes, judge, judge_shape
from profiler.measure.jobs import Job
from profiler.measure.journal import iter_journal
from profiler.measure.record import Measurement, Role
from profiler.measure.runfolder import RunFolder
from profiler.measure.stats import Estimate, estimate, round_slopes
from profiler.workloads.fusion_pairs import Pair, Unit, parse_pairs, trial, trial_shapes
from profiler.workloads.fusion_rules import fusions_for
from profiler.workloads.graph import Workload
from profiler.workloads.isolation import rough_s
from profiler.workloads.ops import Shape

__all__ = ["DEFAULT_PAIRS", "Trial", "default_pairs", "pair_trials", "read_findings", "trial_jobs"]

DEFAULT_PAIRS = (
    *(f"{first}+{second}" for first in ("conv2d", "depthwise", "add") for second in ("relu", "relu6", "hswish")),
    "conv2d+add", "conv2d+sigmoid", "conv2d+mul", "conv2d+depthwise", "depthwise+conv2d", "mul+relu", "avg_pool+relu",
    "max_pool+relu", "relu+add", "linear+relu", "linear+relu6", "linear+add",
)  # fmt: skip
"""What networks for edge boards are made of: about 300 jobs a round."""

_TARGET_S = 0.5e-3
_FEWEST, _MOST = 4, 16


@dataclass(frozen=True, slots=True)
class Trial:
    """One unit at one shape.

    Attributes:
        unit: the operators; () for the scaffold alone.
        shape: of the tensors.
        repeats: m; the stretches hold m and 2m.
    """

    unit: Unit
    shape: Shape
    repeats: int

    @property
    def subject(self) -> Workload:
        """One repetition."""
        return trial(self.unit, self.shape, 1)


def default_pairs(runtime: Runtime, precision: Precision) -> tuple[Pair, ...]:
    """The pairs that are tried where none are named.

    Raises:
        ConfigError: there are no rules for runtime and precision.
    """
    fusions_for(runtime, precision)
    return parse_pairs(DEFAULT_PAIRS)


def pair_trials(pairs: Iterable[Pair]) -> tuple[Trial, ...]:
    """The trials that pairs need, each once."""
    found: dict[tuple[Unit, Shape], None] = {}
    for pair in pairs:
        for shape in trial_shapes(pair):
            found.update(dict.fromkeys((unit, shape) for unit in _units(pair)))
    return tuple(Trial(unit, shape, _repeats(unit, shape)) for unit, shape in found)


def _units(pair: Pair) -> tuple[Unit, ...]:
    return (), (pair[0],), (pair[1],), pair


def _repeats(unit: Unit, shape: Shape) -> int:
    return min(max(round(_TARGET_S / rough_s(trial(unit, shape, 1))), _FEWEST), _MOST)


def trial_jobs(trials: Iterable[Trial]) -> list[Job]:
    """Two jobs a trial: stretches of m and of 2m."""
    jobs: list[Job] = []
    for one in trials:
        subject = one.subject
        for repeats in (one.repeats, 2 * one.repeats):
            role = Role("block", subject.key, "chain", repeats)
            jobs.append(Job(trial(one.unit, one.shape, repeats), role, subject, _label(one)))
    return jobs


def _label(one: Trial) -> str:
    return f"trial of {'+'.join(one.unit) or 'nothing'} {'x'.join(map(str, one.shape[1:]))}"


# -------------------------------------------------------------------- from the journal


def read_findings(run_dir: Path, pairs: Sequence[Pair], threshold: float = ABSORBED) -> tuple[Finding, ...]:
    """The verdicts that a run's journal allows; a shape of which a trial is missing or failed counts as unresolved.

    Raises:
        StorageError: the journal cannot be read, or is of a newer schema.
    """
    slopes = _slopes(run_dir, pair_trials(pairs))
    none = Slopes({}, {})

    def at(pair: Pair, shape: Shape) -> ShapeFinding:
        return judge_shape(shape, *(slopes.get((unit, shape), none) for unit in _units(pair)))

    return judge({pair: [at(pair, shape) for shape in trial_shapes(pair)] for pair in pairs}, threshold)


def _slopes(run_dir: Path, trials: Sequence[Trial]) -> dict[tuple[Unit, Shape], Slopes]:
    estimates = _estimates(RunFolder(run_dir).journal_path)
    found: dict[tuple[Unit, Shape], Slopes] = {}
    for one in trials:
        key = one.subject.key
        short, long = (estimates.get((key, repeats), {}) for repeats in (one.repeats, 2 * one.repeats))
        rounds = sorted(short.keys() & long.keys())
        values, within = round_slopes([short[r] for r in rounds], [long[r] for r in rounds], one.repeats)
        found[one.unit, one.shape] = Slopes(
            dict(zip(rounds, values, strict=True)), dict(zip(rounds, within, strict=True))
        )
    return found


def _estimates(journal: Path) -> Mapping[tuple[str, int], dict[int, Estimate]]:
    """(subject, repeats) -> round -> estimate; a later line of the same round replaces an earlier one.

    What was measured while the board slowed itself down says nothing, and is left out.
    """
    found: dict[tuple[str, int], dict[int, Estimate]] = {}
    for item in iter_journal(journal) if journal.exists() else ():
        if not isinstance(item, Measurement) or item.role.kind != "block" or "throttled" in item.issues:
            continue
        if item.status == "ok" and item.samples_ns and item.runs_per_batch > 0:
            per_run = [sample / item.runs_per_batch for sample in item.samples_ns]
            found.setdefault((item.role.subject_key, item.role.repeats), {})[item.round] = estimate(per_run)
    return found
