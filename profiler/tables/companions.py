"""Taking companions off: what stands beside every repetition of a kernel or block has a marginal cost of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import hypot

from profiler.measure.stats import combine_rounds
from profiler.tables.row import Gates, Row, with_gates

__all__ = ["Companions", "Slopes"]


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
