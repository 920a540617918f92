"""Outcomes: the digests of all runs beneath each other, one outcome for each subject, stretch and round of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from profiler.measure.record import ISSUES, ROLE_KINDS
from profiler.tables.loading.digest import ENERGIES, SPLITS, digest_schema
from profiler.tables.loading.disturbed import disturbed_lines, held_up_lines, superseded_lines
from profiler.tables.loading.rounds import Floats, Groups, Ints, last_of_each
from profiler.tables.loading.runs import Run
from profiler.tables.row import EMULATED, SIMULATED

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

__all__ = ["KERNEL", "MODEL", "Codes", "Outcomes", "gather"]

MODEL = ROLE_KINDS.index("model")
KERNEL = ROLE_KINDS.index("kernel")
_SENTINEL = ROLE_KINDS.index("sentinel")
_NUMBERS = (
    "median_ns",
    "standard_error_ns",
    "robust_cv",
    "load_ns",
    *ENERGIES,
)
_MOST_CODES = 63


class Codes:
    """Issue codes as bits of an integer: those of the record in its order, others behind them as they come."""

    def __init__(self) -> None:
        self._bits = {code: place for place, code in enumerate(ISSUES)}
        self._texts: dict[str, int] = {"": 0}

    def bits(self, *codes: str) -> int:
        """The integer with the bits of some codes; codes beyond the last bit there is share it."""
        found = 0
        for code in codes:
            found |= 1 << min(self._bits.setdefault(code, len(self._bits)), _MOST_CODES - 1)
        return found

    def of_text(self, text: str) -> int:
        """The bits of codes with blanks between."""
        if text not in self._texts:
            self._texts[text] = self.bits(*text.split())
        return self._texts[text]

    def starting(self, *beginnings: str) -> int:
        """The bits of all codes that begin so."""
        return self.bits(*(code for code in list(self._bits) if code.startswith(beginnings)))

    def issues(self, bits: int) -> tuple[str, ...]:
        """The codes, in the order of their bits."""
        return tuple(code for code, place in self._bits.items() if bits >> min(place, _MOST_CODES - 1) & 1)


@dataclass(slots=True)
class Outcomes:
    """All arrays but those of places have shape (n,), n outcomes sorted by place, repetitions and round.

    A place is one subject of one run: what a figure is made for. Of several lines about the same stretch and round
    the last that has samples counts: it was measured again, after the link had been lost or a gate had failed.

    Attributes:
        runs: in the order in which they were begun.
        keys: of the subjects.
        place: of each outcome, rising; repeats, round: of what it is about.
        numbers: columns of the digest.
        status, issues, scope: a status' place in STATUSES; bits of `codes`; a place in `scopes`.
        line, first: which line of its run it is, counted without those left out, and of all of them beneath each other
            the first that was about the same.
        has_samples: whether there is an estimate.
        place_run, place_kind, place_key, place_split: (p,) which run, kind, key and split a place is of.
        place_simulated: (p,) whether no board stood behind it.
        left_out: by run, the lines of emulated processors that were passed over.
    """

    runs: tuple[Run, ...]
    keys: list[str]
    codes: Codes
    scopes: list[str]
    place: Ints
    repeats: Ints
    round: Ints
    numbers: dict[str, Floats]
    status: Ints
    issues: Ints
    scope: Ints
    line: Ints
    first: Ints
    has_samples: NDArray[np.bool_]
    place_run: Ints
    place_kind: Ints
    place_key: Ints
    place_split: Ints
    place_simulated: NDArray[np.bool_]
    left_out: list[int]

    @property
    def has_energy(self) -> NDArray[np.bool_]:
        """Whether there is any figure of energy, (n,)."""
        figures = (self.numbers[name] for name in ("energy_mj", "energy_gross_mj", "energy_upper_mj"))
        found: NDArray[np.bool_] = np.any([np.isfinite(values) for values in figures], axis=0)
        return found

    def error(self, outcome: int) -> str:
        """What was said when it failed."""
        run = self.runs[self.place_run[self.place[outcome]]]
        found: str = run.lines["error"][int(self.line[outcome])].as_py()
        return found


@dataclass(slots=True)
class _Gathering:
    """What is alike in all runs gets a number."""

    keys: dict[str, int] = field(default_factory=dict)
    scopes: dict[str, int] = field(default_factory=lambda: {"": 0})
    codes: Codes = field(default_factory=Codes)

    def columns(
        self, lines: pa.Table, *, with_emulated: bool, energy_scope: str | None
    ) -> tuple[dict[str, NDArray[Any]], int]:
        """A run's lines as arrays, without sentinels, and how many of an emulated processor were passed over."""
        found = {name: _array(lines, name) for name in ("kind", "split", "repeats", "round", "status", *_NUMBERS)}
        found["issues"] = _recoded(lines, "issues", [self.codes.of_text(text) for text in _words(lines, "issues")])
        found["scope"] = _recoded(lines, "scope", [_number(self.scopes, text) for text in _words(lines, "scope")])
        found["key"] = _recoded(lines, "subject", [_number(self.keys, text) for text in _words(lines, "subject")])
        found["line"] = np.arange(lines.num_rows)
        if energy_scope is not None:
            other = found["scope"] != self.scopes.get(energy_scope, -1)
            found |= {name: np.where(other, np.nan, found[name]) for name in ENERGIES}
        counts = (found["kind"] != _SENTINEL) & ~self._superseded(found)
        left_out = 0
        if not with_emulated:
            emulated = found["issues"] & self.codes.bits(EMULATED) != 0
            left_out = int(np.count_nonzero(emulated))
            counts &= ~emulated
        if not counts.all():
            found = {name: column[counts] for name, column in found.items()}
        return found, left_out

    def _superseded(self, found: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Lines from slow spells that better ones stand in for; the other lines from such spells are marked."""
        is_sentinel, subject = found["kind"] == _SENTINEL, found["key"] * len(ROLE_KINDS) + found["kind"]
        disturbed = disturbed_lines(is_sentinel, found["median_ns"])
        disturbed |= held_up_lines(disturbed, found["median_ns"], subject, found["repeats"]) & ~is_sentinel
        if disturbed.any():
            found["issues"] = np.where(disturbed, found["issues"] | self.codes.bits("disturbed"), found["issues"])
        return superseded_lines(disturbed, np.isfinite(found["median_ns"]), subject, found["repeats"], found["round"])


def gather(runs: Sequence[Run], *, with_emulated: bool = False, energy_scope: str | None = None) -> Outcomes:
    """The outcomes of runs, without sentinels.

    Args:
        runs: in any order.
        with_emulated: those of emulated processors too.
        energy_scope: energies by other scopes are left out; None: all are let in.
    """
    in_time = sorted(runs, key=lambda run: (run.started, run.run_id))
    gathering = _Gathering()
    tables = [run.lines for run in in_time] or [digest_schema().empty_table()]
    parts = [gathering.columns(lines, with_emulated=with_emulated, energy_scope=energy_scope) for lines in tables]
    run = np.repeat(np.arange(len(parts)), [len(columns["kind"]) for columns, _ in parts])
    joined = {name: np.concatenate([columns[name] for columns, _ in parts]) for name in parts[0][0]}
    numbers = {name: joined.pop(name) for name in _NUMBERS}
    c: dict[str, Ints] = {name: column.astype(np.int64, copy=False) for name, column in joined.items()}

    n_keys = max(len(gathering.keys), 1)
    place_codes, place = np.unique((run * len(ROLE_KINDS) + c["kind"]) * n_keys + c["key"], return_inverse=True)
    splits = np.full(len(place_codes), len(SPLITS) - 1)
    np.minimum.at(splits, place, c["split"])
    simulated = np.zeros(len(place_codes), dtype=bool)
    simulated[place[c["issues"] & gathering.codes.bits(SIMULATED) != 0]] = True

    _, repeats = np.unique(c["repeats"], return_inverse=True)
    _, rounds = np.unique(c["round"], return_inverse=True)
    what = (place * (repeats.max(initial=0) + 1) + repeats) * (rounds.max(initial=0) + 1) + rounds
    has_samples = np.isfinite(numbers["median_ns"])
    chosen = last_of_each(what, has_samples)
    by_what = np.argsort(what, kind="stable")
    first = by_what[Groups.of(what[by_what]).starts]
    owner = place_codes // n_keys
    return Outcomes(
        runs=tuple(in_time),
        keys=list(gathering.keys),
        codes=gathering.codes,
        scopes=list(gathering.scopes),
        place=place[chosen],
        repeats=c["repeats"][chosen],
        round=rounds[chosen],
        numbers={name: column[chosen] for name, column in numbers.items()},
        status=c["status"][chosen],
        issues=c["issues"][chosen],
        scope=c["scope"][chosen],
        line=c["line"][chosen],
        first=first,
        has_samples=has_samples[chosen],
        place_run=owner // len(ROLE_KINDS),
        place_kind=owner % len(ROLE_KINDS),
        place_key=place_codes % n_keys,
        place_split=splits,
        place_simulated=simulated,
        left_out=[left_out for _, left_out in parts],
    )


def _array(lines: pa.Table, name: str) -> NDArray[Any]:
    found: NDArray[Any] = lines[name].to_numpy()
    return found


def _words(lines: pa.Table, name: str) -> list[str]:
    """The different values of a column of words."""
    column = lines[name].combine_chunks() if lines[name].num_chunks != 1 else lines[name].chunk(0)
    found: list[str] = column.dictionary.to_pylist()
    return found


def _recoded(lines: pa.Table, name: str, numbers: list[int]) -> NDArray[np.int64]:
    """A column of words as the numbers that stand for them."""
    column = lines[name].combine_chunks() if lines[name].num_chunks != 1 else lines[name].chunk(0)
    if not len(column):
        return np.zeros(0, dtype=np.int64)
    found: NDArray[np.int64] = np.array(numbers, dtype=np.int64)[column.indices.to_numpy()]
    return found


def _number(known: dict[str, int], text: str) -> int:
    return known.setdefault(text, len(known))
