"""Columns: the rows of a table as arrays, each `Row` made when it is asked for.

A table of many runs has some hundred thousand rows, of which a search looks at a few thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from profiler.tables.row import GATE_CODES, NUMBERS, Row, RowKind

__all__ = ["Coded", "Columns"]

_NAMES = tuple(f.name for f in fields(Row))
_NEVER_NONE = frozenset({"latency_ns", "low_ns", "high_ns", "spread"})
_ENERGIES = ("energy_mj", "energy_gross_mj", "energy_upper_mj")
_OPTIONAL = tuple(name for name in NUMBERS if name not in _NEVER_NONE)


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of few different values: places in a list of them, shape (n,)."""

    codes: NDArray[np.int64]
    values: Sequence[Any]

    @classmethod
    def of(cls, items: Iterable[Any]) -> Coded:
        """From the values themselves, which can be hashed."""
        known: dict[Any, int] = {}
        codes = [known.setdefault(item, len(known)) for item in items]
        return cls(np.array(codes, dtype=np.int64), list(known))

    def item(self, i: int) -> Any:
        """The value of one row."""
        return self.values[self.codes.item(i)]

    def tolist(self) -> list[Any]:
        """The values of all rows."""
        return [self.values[code] for code in self.codes.tolist()]

    def ranks(self) -> NDArray[np.int64]:
        """Numbers that sort as the values do; equal values have the same."""
        place = {value: rank for rank, value in enumerate(sorted(set(self.values)))}
        of_code = np.array([place[value] for value in self.values], dtype=np.int64)
        return of_code[self.codes] if len(of_code) else self.codes

    def which(self, wanted: Iterable[Any]) -> NDArray[np.bool_]:
        """Where the value is one of these, shape (n,)."""
        asked = set(wanted)
        of_code = np.array([value in asked for value in self.values], dtype=bool)
        return of_code[self.codes] if len(of_code) else np.zeros(len(self.codes), dtype=bool)


class Columns(Sequence[Row]):
    """Rows, by their fields.

    Attributes:
        columns: by the names of `Row`'s fields, each of as many rows: floats (NaN for None) for `NUMBERS`, integers for
            n_rounds, `Coded` for all else.
    """

    def __init__(self, columns: Mapping[str, Coded | NDArray[Any]]) -> None:
        self.columns = dict(columns)
        self._made: dict[int, Row] = {}

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Columns:
        """From rows, which are kept as they are."""
        given = list(rows)
        columns: dict[str, Coded | NDArray[Any]] = {}
        for name in _NAMES:
            values = [getattr(row, name) for row in given]
            if name in NUMBERS:
                columns[name] = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
            else:
                columns[name] = np.array(values, dtype=np.int64) if name == "n_rounds" else Coded.of(values)
        found = cls(columns)
        found._made = dict(enumerate(given))
        return found

    def __len__(self) -> int:
        return len(self.columns["n_rounds"])  # type: ignore[arg-type]

    @overload
    def __getitem__(self, i: int) -> Row: ...
    @overload
    def __getitem__(self, i: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, i: int | slice) -> Row | tuple[Row, ...]:
        if isinstance(i, slice):
            return self.take(range(*i.indices(len(self))))
        i = range(len(self))[i]
        row = self._made.get(i)
        if row is None:
            row = self._made[i] = Row(*self._values[i])
        return row

    def __iter__(self) -> Iterator[Row]:
        return (self[i] for i in range(len(self)))

    def take(self, places: Iterable[int]) -> tuple[Row, ...]:
        """Some of the rows."""
        return tuple(self[i] for i in places)

    def coded(self, name: str) -> Coded:
        """A column of codes."""
        column = self.columns[name]
        assert isinstance(column, Coded)
        return column

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of numbers, shape (n,)."""
        column = self.columns[name]
        assert not isinstance(column, Coded)
        return column

    @cached_property
    def _values(self) -> list[tuple[Any, ...]]:
        """Of each row, in the order of `Row`'s fields: all at once takes a tenth of what it takes one by one."""
        lists = {name: column.tolist() for name, column in self.columns.items()}
        for name in _OPTIONAL:
            lists[name] = [None if value != value else value for value in lists[name]]
        return list(zip(*(lists[name] for name in _NAMES), strict=True))

    @cached_property
    def has_figure(self) -> NDArray[np.bool_]:
        """`Row.has_figure` of all rows, shape (n,)."""
        found: NDArray[np.bool_] = self.coded("status").which({"ok"}) & np.isfinite(self.numbers("latency_ns"))
        return found

    @cached_property
    def gated(self) -> NDArray[np.bool_]:
        """`Row.gated` of all rows, shape (n,)."""
        return self.with_issue(GATE_CODES)

    @property
    def has_energy(self) -> NDArray[np.bool_]:
        """Where there is a figure of energy, be it a bound, shape (n,)."""
        found: NDArray[np.bool_] = np.any([np.isfinite(self.numbers(name)) for name in _ENERGIES], axis=0)
        return found

    def ordered(self, order: NDArray[np.intp]) -> Columns:
        """The same rows in another order."""
        changed = {
            name: Coded(column.codes[order], column.values) if isinstance(column, Coded) else column[order]
            for name, column in self.columns.items()
        }
        return Columns(changed)

    def with_issue(self, codes: Iterable[str]) -> NDArray[np.bool_]:
        """Where any of these codes is among the issues, shape (n,)."""
        asked, column = frozenset(codes), self.coded("issues")
        return column.which(issues for issues in column.values if not asked.isdisjoint(issues))

    def where(
        self, target_id: str | None, kind: RowKind | None, *, with_failed: bool, with_gated: bool
    ) -> NDArray[np.intp]:
        """The places of a target's and kind's rows, in their order."""
        chosen = np.ones(len(self), dtype=bool)
        if target_id is not None:
            chosen &= self.coded("target_id").which({target_id})
        if kind is not None:
            chosen &= self.coded("kind").which({kind})
        if not with_failed:
            chosen &= self.has_figure
        if not with_gated:
            chosen &= ~self.gated
        return np.flatnonzero(chosen)
