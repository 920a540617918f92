"""Checks of single values: what is missing, what no cost can be, what stands for "missing", and what stands twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from profiler.tables.audit.checks.fit import is_exact_sum
from profiler.tables.audit.checks.grids import coincidences_expected, grid_of
from profiler.tables.audit.figures import Column, Figures, Finding, Severity

__all__ = [
    "comments",
    "copied_values",
    "duplicated_keys",
    "missing",
    "not_positive",
    "rounding",
    "same_in_a_row",
    "sentinels",
]

_STAND_INS = (-1.0, 99.0, 100.0, 999.0, 1000.0, 9999.0, 10_000.0, 99_999.0, 100_000.0, 999_999.0, 1e6, 1e7, 1e8, 1e9)
_STAND_IN_TIMES = 3
_STAND_IN_GAP = 3.0
"""So far, as a factor, is a value that stands for "missing" from the nearest other one."""

_COARSE = 0.01
"""A grid this wide against the median is as wide as the interval that the protocol asks for."""

_RUN = 5
"""So many equal values in a row do not come about by chance where values have many digits."""


def comments(figures: Figures) -> Iterator[Finding]:
    """What reading the file has shown."""
    for sentence in figures.comments:
        yield figures.whole_table("table", "note", sentence)


def missing(figures: Figures) -> Iterator[Finding]:
    """Rows without a value: said once, since a missing cost is no fault as long as it is no number."""
    for where, sentence in figures.illegible:
        yield figures.row("missing", "warning", where, sentence)
    for column in figures.columns:
        for position in np.flatnonzero(np.isinf(column.values)):
            yield figures.row("missing", "error", int(position), f"the {column.name} is infinite")
        gone = int(np.count_nonzero(np.isnan(column.values)))
        if gone:
            why = ", ".join(f"{n} {reason}" for reason, n in figures.missing_why.items())
            reasons = f": {why}" if why and column.name == "latency" else ""
            yield figures.whole_table(
                "missing", "note", f"{gone} of {len(column.values)} rows have no {column.name}{reasons}"
            )


def not_positive(figures: Figures) -> Iterator[Finding]:
    """Zero and negative costs, where rows are no differences."""
    for column in figures.columns:
        wrong = column.known & (column.values <= 0) & ~figures.may_be_signed
        for position in np.flatnonzero(wrong):
            value = column.values[position]
            meaning = "nothing takes no time at all; perhaps it was missing" if value == 0 else "no cost is negative"
            yield figures.row(
                "not_positive", "error", int(position), f"the {column.name} is {value:g} {column.unit}: {meaning}"
            )


def sentinels(figures: Figures) -> Iterator[Finding]:
    """Round numbers far above all others, or -1, that occur again and again: they stand for something else."""
    for column in figures.columns:
        values, times = np.unique(column.values[column.known], return_counts=True)
        for value in _STAND_INS:
            place = int(np.searchsorted(values, value))
            if place == len(values) or values[place] != value or times[place] < _STAND_IN_TIMES:
                continue
            alone = place == len(values) - 1 and (place == 0 or value >= _STAND_IN_GAP * values[place - 1])
            if value > 0 and not alone:
                continue
            for position in np.flatnonzero(column.values == value):
                yield figures.row(
                    "sentinel", "error", int(position),
                    f"the {column.name} is {value:g} {column.unit}, as it is {times[place]} times and far from all "
                    "others: it seems to stand for a missing value",
                )  # fmt: skip


def duplicated_keys(figures: Figures) -> Iterator[Finding]:
    """Rows of one and the same key."""
    first: dict[str, int] = {}
    for position, key in enumerate(figures.keys):
        earlier = first.setdefault(key, position)
        if earlier == position:
            continue
        differing = [
            f"{c.values[position]:g} instead of {c.values[earlier]:g} {c.unit}"
            for c in figures.columns
            if c.known[position] and c.known[earlier] and c.values[position] != c.values[earlier]
        ]
        where = f"row {figures.index[earlier]} has the same key"
        if differing:
            yield figures.row("duplicated", "error", position, f"{where} and another value: {', '.join(differing)}")
        else:
            yield figures.row("duplicated", "warning", position, f"{where} and the same values")


def copied_values(figures: Figures) -> Iterator[Finding]:
    """Values that are equal to the last digit in rows of different work, more often than their digits let expect."""
    for column in figures.columns:
        if _explained(figures, column):
            continue
        values = column.values[column.known & ~figures.may_be_signed]
        distinct, times = np.unique(values, return_counts=True)
        found = int(np.sum(times * (times - 1) // 2))
        expected = coincidences_expected(values)
        if found <= 5 + 5 * expected:
            continue
        share = float(np.sum(times[times > 1])) / max(values.size, 1)
        yield figures.whole_table(
            "copied", "warning",
            f"{share:.1%} of the {column.name} values occur in several rows to the last digit, {found} pairs where "
            f"chance would make {expected:.0f}: copied, cached, or rounded by more than their digits show",
        )  # fmt: skip
        for value in distinct[np.argsort(-times, kind="stable")][:20]:
            positions = np.flatnonzero(column.values == value)
            if positions.size < 2 or _same_work(figures, positions):
                continue
            rows = ", ".join(str(figures.index[p]) for p in positions[:5])
            yield figures.row(
                "copied", "warning", int(positions[1]),
                f"the {column.name} {value:.12g} {column.unit} stands in {positions.size} rows ({rows})",
            )  # fmt: skip


def _same_work(figures: Figures, positions: np.ndarray) -> bool:
    return figures.same_work is not None and len(set(figures.same_work[positions])) == 1


def _explained(figures: Figures, column: Column) -> bool:
    """Whether equal values are equal sums of parts, which the check of the fit reports in one sentence."""
    return is_exact_sum(figures, column)


def same_in_a_row(figures: Figures) -> Iterator[Finding]:
    """Stretches of rows with one and the same value of many digits: a reading that was not renewed."""
    for column in figures.columns:
        if _explained(figures, column):
            continue
        values = column.values
        known = values[column.known]
        if known.size < 2 * _RUN or np.unique(known).size < known.size / 4:
            continue  # coarse values repeat by themselves
        ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))
        starts = np.append(0, ends[:-1] + 1)
        for start, end in zip(starts, ends, strict=True):
            if end - start + 1 >= _RUN and np.isfinite(values[start]):
                yield figures.row(
                    "same_in_a_row", "error", int(start),
                    f"the {column.name} {values[start]:.12g} {column.unit} stands in {end - start + 1} rows in a row "
                    f"(to row {figures.index[end]}): the reading was not renewed",
                )  # fmt: skip


def rounding(figures: Figures) -> Iterator[Finding]:
    """A grid that all values stand on and that is wide against them."""
    for column in figures.columns:
        values = column.values[column.known & (column.values > 0)]
        grid = grid_of(values)
        if grid is None or values.size < 10:
            continue
        share = grid / float(np.median(values))
        if share >= _COARSE / 10 and not _explained(figures, column):
            severity: Severity = "warning" if share >= _COARSE else "note"
            yield figures.whole_table(
                "rounding", severity,
                f"every {column.name} is a multiple of {grid:g} {column.unit}, {share:.1%} of the median: half of that "
                "is the least error of a row, however well it was measured",
            )  # fmt: skip
