"""The rows of runs made one by one, in plain Python: what the arrays of `profiler.tables.loading` have to equal.

One measurement after the other, no digest, no arrays, and energies as the journal has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import hypot, isfinite
from pathlib import Path
from statistics import median
from typing import Any

from profiler.fleet.targets import Target
from profiler.measure.journal import iter_journal
from profiler.measure.record import Measurement
from profiler.measure.runfolder import RunFolder, Subject
from profiler.measure.stats import Combined, Estimate, combine_rounds, estimate, round_slopes
from profiler.tables.row import EMULATED, Gates, Row, RowKind

_SPLIT_ORDER = ("held_out", "fit", "")
"""A model that was held out once stays held out, so that merging runs can never leak it into a fit."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """One measurement, reduced."""

    measurement: Measurement
    estimate: Estimate | None


@dataclass(slots=True)
class _SubjectData:
    """All outcomes about one subject: number of repetitions -> round -> outcome."""

    kind: RowKind
    key: str
    split: str = ""
    jobs: dict[int, dict[int, _Outcome]] = field(default_factory=dict)

    def add(self, outcome: _Outcome) -> None:
        m = outcome.measurement
        self.split = min(self.split, m.role.split, key=_SPLIT_ORDER.index)
        rounds = self.jobs.setdefault(m.role.repeats, {})
        before = rounds.get(m.round)
        # a later line of the same round is a second try, after the link had been lost
        if before is None or before.estimate is None or outcome.estimate is not None:
            rounds[m.round] = outcome

    def estimates(self, repeats: int) -> dict[int, Estimate]:
        """Round -> estimate of one job."""
        found = self.jobs.get(repeats, {})
        return {r: e for r in sorted(found) if (e := found[r].estimate) is not None}


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder in memory.

    Attributes:
        run_id, started: its name and when it was begun.
        target, emulation: where it ran.
        subjects: lines of workloads.jsonl by key.
        data: outcomes by (kind, subject key).
        corrupt_lines: lines of journal and workloads that could not be read.
        left_out: measurements of an emulated processor that were passed over.
    """

    run_id: str
    started: str
    target: Target
    emulation: str
    subjects: Mapping[str, Subject]
    data: Mapping[tuple[RowKind, str], _SubjectData]
    corrupt_lines: int
    left_out: int = 0


def read_run(path: Path, *, with_emulated: bool = False) -> Run:
    """Read one run folder."""
    folder = RunFolder(path)
    header = folder.header()
    assert header is not None
    target, emulation = Target(**header["target"]), str(header["device"]["emulation"])
    subjects: dict[str, Subject] = {}
    corrupt = 0
    for subject in folder.subjects():
        if subject is None:
            corrupt += 1
        else:
            subjects[subject.key] = subject
    data: dict[tuple[RowKind, str], _SubjectData] = {}
    left_out = 0
    for item in iter_journal(folder.journal_path) if folder.journal_path.exists() else ():
        if not isinstance(item, Measurement):
            corrupt += 1
            continue
        if EMULATED in item.issues and not with_emulated:
            left_out += 1
            continue
        if item.role.kind == "sentinel":
            continue
        outcome = _reduced(item)
        key = (item.role.kind, item.role.subject_key)
        data.setdefault(key, _SubjectData(*key, split=item.role.split)).add(outcome)
    started = str(header.get("started", ""))
    return Run(path.name, started, target, emulation, subjects, data, corrupt, left_out)


def _reduced(m: Measurement) -> _Outcome:
    found = None
    if m.status == "ok" and m.samples_ns and m.runs_per_batch > 0:
        found = estimate([sample / m.runs_per_batch for sample in m.samples_ns])
    return _Outcome(replace(m, samples_ns=(), env={}), found)


_Found = tuple[Row, "Slopes | None"]


def rows_of_runs(runs: Iterable[Run], gates: Gates) -> list[Row]:
    """The rows of all runs, one for every target, kind and subject, sorted."""
    chosen: dict[str, dict[tuple[RowKind, str], _Found]] = {}
    splits: dict[tuple[str, str], str] = {}
    for run in sorted(runs, key=lambda r: (r.started, r.run_id)):
        of_target = chosen.setdefault(run.target.id, {})
        for subject, data in run.data.items():
            found = (_model_row(run, data, gates), None) if data.kind == "model" else _kernel_row(run, data, gates)
            before = of_target.get(subject)
            if before is None or found[0].has_figure or not before[0].has_figure:
                of_target[subject] = found
            place = (run.target.id, data.key)
            splits[place] = min(splits.get(place, ""), data.split, key=_SPLIT_ORDER.index)
    rows: list[Row] = []
    for target_id, of_target in chosen.items():
        resolver = Companions({key: found for (kind, key), found in of_target.items() if kind == "kernel"}, gates)
        for (kind, key), (row, slopes) in of_target.items():
            if kind == "model":
                rows.append(replace(row, split=splits[target_id, key]))
            else:
                rows.append(resolver.row(key) if kind == "kernel" else resolver.block(row, slopes))
    return sorted(rows, key=lambda row: (row.target_id, row.kind, row.label, row.key))


# -------------------------------------------------------------------- whole models


def _model_row(run: Run, data: _SubjectData, gates: Gates) -> Row:
    outcomes = data.jobs.get(1, {})
    found = data.estimates(1)
    row = _bare_row(run, data)
    if not found:
        return _failed(row, outcomes.values())
    values = list(found.values())
    combined = combine_rounds([e.median for e in values], [e.standard_error for e in values])
    good = [outcomes[r].measurement for r in found]
    return replace(
        _with_figure(row, combined, good, [values], gates),
        energy_mj=_median(m.energy_mj for m in good),
        load_ns=_median(m.load_ns for m in good),
    )


# -------------------------------------------------------------------- kernels and blocks


def _kernel_row(run: Run, data: _SubjectData, gates: Gates) -> tuple[Row, Slopes | None]:
    """The row with the raw slope; `Companions` makes the marginal cost of it."""
    subject = run.subjects.get(data.key)
    m = subject.repeats if subject else 0
    short, long = data.estimates(m), data.estimates(2 * m)
    rounds = [r for r in short if r in long]
    alone = list(data.estimates(1).values())
    row = replace(_bare_row(run, data), isolated_ns=median(e.median for e in alone) if alone else None)
    if m == 0:
        return replace(row, error=f"the run's workloads.jsonl does not say how the {data.kind} was isolated"), None
    if not rounds:
        return _failed(row, (o for job in data.jobs.values() for o in job.values())), None
    shorts, longs = [short[r] for r in rounds], [long[r] for r in rounds]
    values, within = round_slopes(shorts, longs, m)
    companions = subject.companions if subject else ()
    good = [data.jobs[repeats][r].measurement for repeats in (m, 2 * m) for r in rounds]
    row = _with_figure(row, combine_rounds(values, within), good, [shorts, longs], gates)
    load_ns = _median(o.measurement.load_ns for o in data.jobs.get(1, {}).values())
    energy_mj = _energy_slope(data, rounds, m)
    return replace(row, load_ns=load_ns), Slopes(tuple(values), tuple(within), companions, energy_mj)


def _energy_slope(data: _SubjectData, rounds: Sequence[int], m: int) -> float | None:
    """mJ a repetition, the median over the rounds in which both stretches have a figure; None where none has."""
    pairs = [tuple(data.jobs[repeats][r].measurement.energy_mj for repeats in (m, 2 * m)) for r in rounds]
    return _median((long - short) / m for short, long in pairs if short is not None and long is not None)


# -------------------------------------------------------------------- common to both


def _bare_row(run: Run, data: _SubjectData) -> Row:
    subject = run.subjects.get(data.key)
    label = subject.label if subject and subject.label else data.key[:12]
    row = Row(run.target.id, data.key, data.kind, label, status="incomplete")
    return replace(row, split=data.split, emulation=run.emulation, run_id=run.run_id)


def _failed(row: Row, outcomes: Iterable[_Outcome]) -> Row:
    """A row without a figure: with the first failure's type, or incomplete where nothing failed."""
    for outcome in outcomes:
        if outcome.measurement.status != "ok":
            return replace(row, status=outcome.measurement.status, error=outcome.measurement.error)
    return replace(row, error="not all of its jobs have been measured")


def _with_figure(
    row: Row, combined: Combined, good: Sequence[Measurement], jobs: Sequence[Sequence[Estimate]], gates: Gates
) -> Row:
    """The row with a figure, its issues, and the gate on the noise within rounds."""
    issues = [code for m in good for code in m.issues]
    # the median over the rounds, so that one noisy spell does not condemn a figure that the other rounds confirm
    if any(median(e.robust_cv for e in job) > gates.noise for job in jobs):
        issues.append("noisy")
    row = replace(
        row,
        status="ok",
        latency_ns=combined.median,
        low_ns=combined.low,
        high_ns=combined.high,
        spread=combined.spread,
        n_rounds=combined.n_rounds,
        issues=tuple(dict.fromkeys(issues)),
    )
    return with_gates(row, gates) if row.kind == "model" else row


def _median(values: Iterable[Any]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return median(known) if known else None


# -------------------------------------------------------------------- companions


@dataclass(frozen=True, slots=True)
class Slopes:
    """Slopes of a kernel or block before its companions are taken off.

    Attributes:
        values, within: of latency in ns, one a round, and their standard errors within the rounds.
        companions: keys of the kernels that every repetition brings along.
        energy_mj: the slope of energy; None where no sensor could be read.
    """

    values: tuple[float, ...]
    within: tuple[float, ...]
    companions: tuple[str, ...]
    energy_mj: float | None = None


class Companions:
    """Takes the marginal costs of companions, which are kernels, off the slopes of one target's kernels and blocks."""

    def __init__(self, kernels: Mapping[str, tuple[Row, Slopes | None]], gates: Gates) -> None:
        self.kernels = kernels
        self.gates = gates
        self._done: dict[str, Row] = {}
        self._open: set[str] = set()

    def row(self, key: str) -> Row:
        """The final row of one kernel."""
        if key not in self._done:
            self._open.add(key)
            self._done[key] = self._resolve(*self.kernels[key])
            self._open.discard(key)
        return self._done[key]

    def block(self, row: Row, slopes: Slopes | None) -> Row:
        """The final row of one block; nothing has a block for a companion."""
        return self._resolve(row, slopes)

    def _resolve(self, row: Row, slopes: Slopes | None) -> Row:
        if slopes is None:
            return row
        share, half_ns, issues, energy_mj = 0.0, 0.0, list(row.issues), slopes.energy_mj
        for key, count in Counter(slopes.companions).items():
            companion = self.row(key) if key in self.kernels and key not in self._open else None
            if companion is None or not companion.has_figure:
                return _without_companion(row, key, companion)
            share += count * companion.latency_ns
            if energy_mj is not None:
                energy_mj = None if companion.energy_mj is None else energy_mj - count * companion.energy_mj
            # one companion's error is the same in all its occurrences; different companions err apart
            half_ns = hypot(half_ns, count * (companion.high_ns - companion.low_ns) / 2)
        combined = combine_rounds([value - share for value in slopes.values], slopes.within)
        half_ns = hypot(half_ns, combined.high - combined.median)
        if combined.median <= 0:
            issues.append("negative_slope")
        return with_gates(
            replace(
                row,
                latency_ns=combined.median,
                low_ns=combined.median - half_ns,
                high_ns=combined.median + half_ns,
                spread=combined.spread,
                energy_mj=energy_mj,
                issues=tuple(issues),
            ),
            self.gates,
        )


def _without_companion(row: Row, key: str, companion: Row | None) -> Row:
    """A slope that holds a companion of unknown cost is not the cost of the kernel or block."""
    name = companion.label if companion else key
    status = companion.status if companion else "incomplete"
    error = f"its companion {name} has no figure: {companion.error if companion else 'it was not measured'}"
    bare = Row(row.target_id, row.key, row.kind, row.label, isolated_ns=row.isolated_ns)
    return replace(bare, status=status, error=error, emulation=row.emulation, run_id=row.run_id, issues=row.issues)


def with_gates(row: Row, gates: Gates) -> Row:
    """The row with the codes of the gates between rounds added to its issues."""
    issues = list(row.issues)
    if isfinite(row.spread) and row.spread > gates.spread:
        issues.append("spread_high")
    if row.n_rounds < gates.rounds:
        issues.append("few_rounds")
    return replace(row, issues=tuple(dict.fromkeys(issues)))
