"""The rows of runs: for every target, kind and subject the newest run's figure, companions taken off, gates applied.

All runs are reduced at once, with arrays: a million measurements take about a second once their digests are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.measure.record import ROLE_KINDS, STATUSES
from profiler.tables.columns import Coded, Columns
from profiler.tables.loading.companions import Companions, Costs, take_off
from profiler.tables.loading.digest import SPLITS
from profiler.tables.loading.figures import Figures, figures_of
from profiler.tables.loading.outcomes import KERNEL, MODEL, Outcomes, gather
from profiler.tables.loading.powers import MIXED
from profiler.tables.loading.rounds import Floats, Ints, last_of_each
from profiler.tables.loading.runs import Run
from profiler.tables.mixing import refuse_mixed_runs, scopes_note
from profiler.tables.row import SIMULATED, Gates

__all__ = ["Reduced", "reduce_runs"]

_INCOMPLETE = len(STATUSES)
_STATUSES = (*STATUSES, "incomplete")
_NOT_MEASURED = "not all of its jobs have been measured"


@dataclass(frozen=True, slots=True)
class Reduced:
    """What runs come to.

    Attributes:
        rows: one for every target, kind and subject, sorted by target, kind, label and key.
        left_out: by target, how many lines of emulated processors were passed over.
        targets: the ids of targets of which something was let in, or nothing was passed over.
        notes: what was left out, a sentence each.
    """

    rows: Columns
    left_out: dict[str, int]
    targets: frozenset[str]
    notes: tuple[str, ...]


def reduce_runs(
    runs: Iterable[Run], gates: Gates, *, with_emulated: bool = False, energy_scope: str | None = None
) -> Reduced:
    """The rows of runs.

    Args:
        runs: in any order.
        gates: the widths of the gates.
        with_emulated: whether measurements of an emulated processor are let in.
        energy_scope: let in energies of this scope only.

    Raises:
        ConfigError: runs of simulated boards are among others.
    """
    o = gather(list(runs), with_emulated=with_emulated, energy_scope=energy_scope)
    _refuse_mixed(o)
    left_out: dict[str, int] = {}
    for run, number in zip(o.runs, o.left_out, strict=True):
        if number:
            left_out[run.target.id] = left_out.get(run.target.id, 0) + number
    some = np.isin(np.arange(len(o.runs)), o.place_run).tolist()
    targets = [r.target.id for r, n, any_ in zip(o.runs, o.left_out, some, strict=True) if any_ or not n]
    reduction = _Reduction(o, gates)
    return Reduced(reduction.rows(), left_out, frozenset(targets), tuple(reduction.notes))


def _refuse_mixed(o: Outcomes) -> None:
    of_run = np.array([run.emulation == SIMULATED for run in o.runs], dtype=bool)
    simulated = o.place_simulated | (of_run[o.place_run] if len(of_run) else False)
    names = [run.path.as_posix() for run in o.runs]
    made_up, real = ([names[i] for i in np.unique(o.place_run[mask])] for mask in (simulated, ~simulated))
    refuse_mixed_runs(made_up, real)


class _Reduction:
    """One reduction; all arrays of `chosen` places have shape (r,)."""

    def __init__(self, o: Outcomes, gates: Gates) -> None:
        self.o = o
        self.gates = gates
        self.notes: list[str] = []
        self.line = _lines_of_places(o)
        self.f: Figures = figures_of(o, self.line)
        self.targets = sorted({run.target.id for run in o.runs})
        number = {target: i for i, target in enumerate(self.targets)}
        of_run = np.array([number[run.target.id] for run in o.runs], dtype=np.int64)
        self.place_target = of_run[o.place_run] if len(o.runs) else o.place_run
        ids = (self.place_target * len(ROLE_KINDS) + o.place_kind) * max(len(o.keys), 1) + o.place_key
        # the newest run with a figure counts, and the newest of all where none has one
        self.chosen = last_of_each(ids, self.f.n_rounds > 0)
        self.energy = last_of_each(ids, self.f.energy.known)
        self.kind, self.key = o.place_kind[self.chosen], o.place_key[self.chosen]
        self.target, self.run = self.place_target[self.chosen], o.place_run[self.chosen]
        self._one_scope()

    def _one_scope(self) -> None:
        """Leave out the energies of targets that have them by several scopes, and say so."""
        e, q = self.f.energy, self.energy
        some = e.any[q]
        for number in np.unique(self.target[some]):
            mine = q[some & (self.target == number)]
            scopes = np.unique(e.scope[mine])
            if len(scopes) > 1 or scopes[0] == MIXED:
                self.notes.append(scopes_note(self.targets[number], self._runs_of_scopes(mine)))
                for values in (e.net, e.u, e.gross, e.upper):
                    values[mine] = np.nan
                e.known[mine] = False

    def _runs_of_scopes(self, places: Ints) -> dict[str, list[str]]:
        o = self.o
        used = np.isin(o.place, places) & o.has_energy
        found: dict[str, list[str]] = {}
        for scope, run in sorted(set(zip(o.scope[used].tolist(), o.place_run[o.place[used]].tolist(), strict=True))):
            found.setdefault(o.scopes[scope], []).append(o.runs[run].path.as_posix())
        return found

    def rows(self) -> Columns:
        o, f, p, q = self.o, self.f, self.chosen, self.energy
        e = f.energy
        costs = Costs(*(a.copy() for a in (f.median[p], f.half[p], e.net[q], e.u[q], e.gross[q])))
        measured = f.n_rounds[p] > 0
        companions = self._companions(measured)
        lost = take_off(costs, companions)
        figure = measured & np.isfinite(costs.latency)
        for values in (costs.net, costs.u, costs.gross):
            values[~figure] = np.nan
        costs.u[~np.isfinite(costs.net)] = np.nan
        upper = np.where(figure & (self.kind == MODEL), e.upper[q], np.nan)
        has_energy = np.isfinite(costs.net) | np.isfinite(costs.gross) | np.isfinite(upper)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.where(figure & (costs.latency != 0), f.deviation[p] / np.abs(costs.latency), np.nan)
        status, error = self._failures(measured, companions, lost)
        issues, n = self._issues(costs.latency, spread, measured, figure), len(p)
        run_ids = [run.run_id for run in o.runs]
        no_energy = len(run_ids)
        columns: dict[str, Coded | NDArray[Any]] = {
            "target_id": Coded(self.target, self.targets),
            "key": Coded(self.key, o.keys),
            "kind": Coded(self.kind, ROLE_KINDS),
            "label": Coded.of(self.labels),
            "latency_ns": np.where(figure, costs.latency, np.nan),
            "low_ns": np.where(figure, costs.latency - costs.half, np.nan),
            "high_ns": np.where(figure, costs.latency + costs.half, np.nan),
            "isolated_ns": f.isolated[p],
            "spread": spread,
            "n_rounds": np.where(figure, f.n_rounds[p], 0),
            "status": Coded(status, _STATUSES),
            "issues": issues,
            "split": Coded(self._splits(np.isin(np.arange(n), [*lost])), SPLITS),
            "emulation": self._emulations(),
            "energy_mj": costs.net,
            "load_ns": np.where(figure, f.load[p], np.nan),
            "run_id": Coded(self.run, run_ids),
            "error": Coded.of(error),
            "energy_u_mj": costs.u,
            "energy_gross_mj": costs.gross,
            "energy_upper_mj": upper,
            "energy_scope": Coded(np.where(has_energy, np.maximum(e.scope[q], 0), 0), o.scopes),
            "energy_run_id": Coded(np.where(has_energy, o.place_run[q], no_energy), [*run_ids, ""]),
        }
        found = Columns(columns)
        order = np.lexsort([found.coded(name).ranks() for name in ("key", "label", "kind", "target_id")])
        return found.ordered(order)

    def _companions(self, measured: NDArray[np.bool_]) -> Companions:
        kernels: list[dict[str, int]] = [{} for _ in self.targets]
        lists: dict[int, Sequence[str]] = {}
        lines = self.line[self.chosen]
        with_some = [run.subjects.with_companions for run in self.o.runs]
        for i, (kind, run, line) in enumerate(zip(self.kind.tolist(), self.run.tolist(), lines.tolist(), strict=True)):
            if kind != MODEL and line in with_some[run] and measured[i]:
                lists[i] = with_some[run][line]
        if lists:
            for i in np.flatnonzero(self.kind == KERNEL).tolist():
                kernels[self.target[i]][self.o.keys[self.key[i]]] = i
        return Companions.of(lists, {i: kernels[self.target[i]] for i in lists})

    def _failures(
        self,
        measured: NDArray[np.bool_],
        companions: Companions,
        lost: dict[int, int],
    ) -> tuple[Ints, list[str]]:
        """The status of every row, and what was said."""
        o, f = self.o, self.f
        status = np.where(measured, STATUSES.index("ok"), _INCOMPLETE)
        errors = [""] * len(measured)
        for i in np.flatnonzero(~measured).tolist():
            place = self.chosen[i]
            outcome = int(f.failure[place])
            if f.step[place] == 0:
                kind = ROLE_KINDS[self.kind[i]]
                errors[i] = f"the run's workloads.jsonl does not say how the {kind} was isolated"
            elif outcome >= 0:
                status[i], errors[i] = o.status[outcome], o.error(outcome)
            else:
                errors[i] = _NOT_MEASURED
        labels = self.labels if lost else []
        told: set[int] = set()
        # a companion is lost before those that it stands beside, unless they stand in a circle
        for i, place in lost.items():
            kernel = int(companions.kernel[place])
            name = companions.keys[place] if kernel < 0 else labels[kernel]
            why = "it was not measured" if kernel < 0 else errors[kernel]
            if kernel in lost and kernel not in told:
                why = "they are companions of each other"
            elif kernel >= 0:
                status[i] = status[kernel]
            if status[i] == STATUSES.index("ok"):
                status[i] = _INCOMPLETE
            errors[i] = f"its companion {name} has no figure: {why}"
            told.add(i)
        return status, errors

    def _issues(self, latency: Floats, spread: Floats, measured: NDArray[np.bool_], figure: NDArray[np.bool_]) -> Coded:
        """The codes of every row: those of its measurements, and of the gates that it fails."""
        codes, f, p, q = self.o.codes, self.f, self.chosen, self.energy
        bits = f.issues[p]
        elsewhere = (p != q) & f.energy.known[q]
        of_energy = codes.starting("energy_", "sensor_")
        bits = np.where(elsewhere, bits & ~of_energy | f.issues[q] & of_energy, bits)
        noisy = measured & (f.noisy[p] > self.gates.noise)
        bits = bits | np.where(noisy, codes.bits("noisy"), 0)
        bits |= np.where(figure & (self.kind != MODEL) & (latency <= 0), codes.bits("negative_slope"), 0)
        bits |= np.where(figure & (spread > self.gates.spread), codes.bits("spread_high"), 0)
        bits |= np.where(figure & (f.n_rounds[p] < self.gates.rounds), codes.bits("few_rounds"), 0)
        found, inverse = np.unique(bits, return_inverse=True)
        return Coded(inverse, [codes.issues(b) for b in found.tolist()])

    @cached_property
    def labels(self) -> list[str]:
        """Of every row: what its run calls the subject."""
        o = self.o
        subjects = [run.subjects.labels for run in o.runs]
        found = []
        lines = self.line[self.chosen].tolist()
        for run, line, key in zip(self.run.tolist(), lines, self.key.tolist(), strict=True):
            found.append((subjects[run][line] if line >= 0 else "") or o.keys[key][:12])
        return found

    def _splits(self, lost: NDArray[np.bool_]) -> Ints:
        """A model that was held out by any run stays held out; the others have what their own run says."""
        o, n_keys = self.o, max(len(self.o.keys), 1)
        of_subject = np.full(len(self.targets) * n_keys, len(SPLITS) - 1)
        np.minimum.at(of_subject, self.place_target * n_keys + o.place_key, o.place_split)
        own = np.where(lost, len(SPLITS) - 1, o.place_split[self.chosen])
        return np.where(self.kind == MODEL, of_subject[self.target * n_keys + self.key], own)

    def _emulations(self) -> Coded:
        words = [*(run.emulation for run in self.o.runs), SIMULATED]
        return Coded(np.where(self.o.place_simulated[self.chosen], len(words) - 1, self.run), words)


def _lines_of_places(o: Outcomes) -> Ints:
    """The line of each place's subject in the workloads of its run, (p,); -1 where there is none."""
    places = [run.subjects.places for run in o.runs]
    found = [
        places[run].get(o.keys[key], -1) for run, key in zip(o.place_run.tolist(), o.place_key.tolist(), strict=True)
    ]
    return np.array(found, dtype=np.int64)
