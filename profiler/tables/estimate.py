"""From journals to rows: medians of whole models, slopes of kernels and blocks less their companions, and the gates.

Where several runs hold the same subject of a target, the newest one that has a figure counts. What is read stays
small: of every measurement an estimate is kept, not its samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from profiler.errors import StorageError
from profiler.fleet.targets import Target
from profiler.measure.journal import iter_journal
from profiler.measure.record import Measurement
from profiler.measure.runfolder import RunFolder, Subject
from profiler.measure.stats import Combined, Estimate, combine_rounds, estimate, round_slopes
from profiler.tables.companions import Companions, Slopes
from profiler.tables.row import EMULATED, Gates, Row, RowKind, with_gates

__all__ = ["Run", "read_run", "rows_of_runs"]

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
    """Read one run folder; as long as its files stay as they are, one that was read lately is not read again.

    Args:
        path: of the folder.
        with_emulated: whether measurements of an emulated processor are read too.

    Raises:
        StorageError: it is not one, cannot be read, or is of a newer schema.
    """
    return _read(path, with_emulated, RunFolder(path).stamp())


@lru_cache(maxsize=256)
def _read(path: Path, with_emulated: bool, stamp: tuple[tuple[int, int, int], ...]) -> Run:
    """Read a run folder whose files have a stamp, which is part of the question only so that it has one answer."""
    folder = RunFolder(path)
    header = folder.header()
    if header is None:
        raise StorageError(f"{path} is not a run: it holds no run.json; name a folder results/<device>/<run-id>")
    try:
        target = Target(**header["target"])
        emulation = str(header["device"]["emulation"])
    except (KeyError, TypeError) as error:
        raise StorageError(f"{path / 'run.json'} lacks what a run's header holds: {error!r}") from None
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
