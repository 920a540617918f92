"""Figures: what any finished table says about one device, as columns that the checks can read; Finding: what they find.

A table gives what it has, and every other column stays None: a check that needs it has nothing to say then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from profiler.tables.audit.classes import UNKNOWN, DeviceClass

__all__ = ["SEVERITIES", "Column", "Figures", "Finding", "Floats", "Severity"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""error: a figure cannot be true, or the table contradicts itself; warning: it is doubtful; note: what readers of the
table should know, and nothing that is wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check has found.

    Attributes:
        check: the check's name.
        severity: see SEVERITIES.
        device: whose figures.
        reason: one sentence.
        index: number of the row in its file, from 0; None where it is about all of them.
        key: the row's name; "" likewise.
    """

    check: str
    severity: Severity
    device: str
    reason: str
    index: int | None = None
    key: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Column:
    """One cost of all rows.

    Attributes:
        name, unit: such as "latency" and "ms".
        values: (n,); NaN where there is none.
    """

    name: str
    unit: str
    values: Floats

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where there is a finite value."""
        return np.isfinite(self.values)


@dataclass(frozen=True, eq=False)
class Figures:
    """One device's part of a table, n rows in the order of the file.

    Attributes:
        source, device: file and device, for people.
        keys: (n,) what each row is about.
        index: (n,) number of each row in its file, from 0.
        latency_ms, energy_mj: (n,) the costs; NaN where there is none.
        deviation_ms: (n,) standard deviation of the latency; count: (n,) how many measurements it rests on.
        low_ms, high_ms: (n,) the interval of the latency.
        macs: (n,) multiply-adds of one run, the whole batch.
        whole: whether rows are whole networks, so that what a device can compute in a second bounds them.
        family: (n,) rows of different families cannot be ordered.
        traits: by name, (n,); within a family, a row with more of one trait and no less of any other is more work.
        contains: (pairs, 2) rows of which the first does all that the second does, and more.
        same_work: (n,) rows with the same number do the same work; -1 for what has no such partner.
        designs: by name, (n, parts): how often a row holds each part; an additive model is fitted to each.
        signed: (n,) where a figure is a difference, so that it may be zero or negative.
        remarks: by position, what is known of a row and explains it.
        illegible: positions with a sentence of what stands where a number should.
        missing_why: by reason, how many rows have no latency for it.
        ordered: whether the rows stand in an order in which they may have been measured.
        device_class: what such a device draws and computes.
        comments: what reading the file has shown, each a sentence.
    """

    source: str
    device: str
    keys: tuple[str, ...]
    index: Integers
    latency_ms: Floats | None = None
    energy_mj: Floats | None = None
    deviation_ms: Floats | None = None
    count: Floats | None = None
    low_ms: Floats | None = None
    high_ms: Floats | None = None
    macs: Floats | None = None
    whole: bool = True
    family: tuple[str, ...] | None = None
    traits: Mapping[str, Floats] = field(default_factory=dict)
    contains: Integers | None = None
    same_work: Integers | None = None
    designs: Mapping[str, Floats] = field(default_factory=dict)
    signed: NDArray[np.bool_] | None = None
    remarks: Mapping[int, str] = field(default_factory=dict)
    illegible: tuple[tuple[int, str], ...] = ()
    missing_why: Mapping[str, int] = field(default_factory=dict)
    ordered: bool = True
    device_class: DeviceClass = UNKNOWN
    comments: tuple[str, ...] = ()

    @property
    def columns(self) -> Iterator[Column]:
        """The costs that the table has."""
        if self.latency_ms is not None:
            yield Column("latency", "ms", self.latency_ms)
        if self.energy_mj is not None:
            yield Column("energy", "mJ", self.energy_mj)

    @property
    def may_be_signed(self) -> NDArray[np.bool_]:
        """(n,) whether a figure may be zero or negative."""
        return np.zeros(len(self.keys), dtype=bool) if self.signed is None else self.signed

    def row(self, check: str, severity: Severity, position: int, reason: str) -> Finding:
        """A finding about the row at a position; what is known of the row is added to the reason."""
        remark = self.remarks.get(position, "")
        text = f"{reason} ({remark})" if remark else reason
        return Finding(check, severity, self.device, text, int(self.index[position]), self.keys[position])

    def whole_table(self, check: str, severity: Severity, reason: str) -> Finding:
        """A finding about all of the device's rows."""
        return Finding(check, severity, self.device, reason)
