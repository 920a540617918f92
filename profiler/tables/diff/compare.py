"""Two tables, paired by workload and kind: what has changed, what has not, and what cannot be said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import exp, isfinite, log, nan
from typing import Any

import numpy as np

from profiler.errors import ConfigError
from profiler.tables.diff.effects import Effect, Quantity, Verdict, effect_of, judge, without_shift
from profiler.tables.diff.gates import Mismatch, allow, mismatches
from profiler.tables.diff.origins import Side
from profiler.tables.row import Row, RowKind

__all__ = ["REGRESSIONS", "Shift", "TableDiff", "compare", "compare_rows"]

REGRESSIONS: frozenset[Verdict] = frozenset({"slower", "more", "lost"})
_FEWEST_FOR_SHIFT = 6
"""The interval of a median of fewer values is not bounded at 95 %."""

_NORMAL_QUANTILE = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Shift:
    """What all workloads of one target and quantity have in common: the machine, not a kernel.

    Attributes:
        target_a, target_b, quantity: of what.
        ratio, low, high: median of b / a, and its 95 % interval by order statistics; NaN bounds with few workloads.
        n: workloads.
    """

    target_a: str
    target_b: str
    quantity: Quantity
    ratio: float
    low: float
    high: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """The fields by name; None stands for what is not finite."""
        return {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class TableDiff:
    """What comes of a comparison.

    Attributes:
        effects: target by target, in the order of B's rows; energies behind latencies.
        shifts: common to all workloads of a target.
        mismatches: how the two were measured differently.
        only_a, only_b: rows with a figure on one side that the other side has no row for.
        shift_removed: whether verdicts are about ratios relative to the common shift.
    """

    effects: tuple[Effect, ...]
    shifts: tuple[Shift, ...]
    mismatches: tuple[Mismatch, ...] = ()
    only_a: int = 0
    only_b: int = 0
    shift_removed: bool = False

    @property
    def verdicts(self) -> Mapping[Verdict, int]:
        """How many effects there are of each verdict."""
        return Counter(effect.verdict for effect in self.effects)

    @property
    def has_regression(self) -> bool:
        """Whether anything has become slower, draws more, or no longer runs."""
        return any(effect.verdict in REGRESSIONS for effect in self.effects)


def compare(
    a: Side,
    b: Side,
    targets: Sequence[tuple[str, str]] = (),
    allowed: Iterable[str] = (),
    *,
    remove_shift: bool = False,
    with_gated: bool = False,
) -> TableDiff:
    """Compare two tables.

    Args:
        a, b: before and after.
        targets: pairs of target ids; by default those that both have, or the only one of each.
        allowed: names of gates that are let pass.
        remove_shift: judge workloads by how they have changed more than all of them.
        with_gated: give verdicts also by figures that failed a gate for the state of the board (`SHIFTING`).

    Raises:
        ConfigError: there is nothing to pair, or what was measured cannot be compared: the message says why.
    """
    pairs = tuple(targets) or _pair_targets(a, b)
    found = allow((m for one, other in pairs for m in mismatches(a, b, one, other)), allowed)
    refused = [m for m in found if m.refused and m.about == "all"]
    if refused:
        sentences = "; ".join(dict.fromkeys(f"{m.target}: {m.sentence}" for m in refused))
        names = " ".join(f"--allow {name}" for name in dict.fromkeys(m.name for m in refused))
        raise ConfigError(f"{a.name} and {b.name} cannot be compared: {sentences}; {names} compares them all the same")
    effects: list[Effect] = []
    shifts: list[Shift] = []
    only = Counter[str]()
    for one, other in pairs:
        with_energy = not any(m.refused and m.about == "energy" and m.target == other for m in found)
        part = compare_rows(
            a.table.rows(one, with_failed=True),
            b.table.rows(other, with_failed=True),
            with_energy=with_energy,
            remove_shift=remove_shift,
            with_gated=with_gated,
        )
        effects += part.effects
        shifts += part.shifts
        only.update(a=part.only_a, b=part.only_b)
    if not effects:
        raise ConfigError(f"{a.name} and {b.name} have no workload in common, so there is nothing to compare")
    return TableDiff(tuple(effects), tuple(shifts), tuple(found), only["a"], only["b"], remove_shift)


def _pair_targets(a: Side, b: Side) -> tuple[tuple[str, str], ...]:
    ours, theirs = sorted(a.origins), sorted(b.origins)
    common = [target for target in ours if target in b.origins]
    if common:
        return tuple((target, target) for target in common)
    if len(ours) == len(theirs) == 1:
        return ((ours[0], theirs[0]),)
    raise ConfigError(
        f"{a.name} and {b.name} have no target in common ({', '.join(ours)} against {', '.join(theirs)}); "
        "name one of each with --target-a and --target-b"
    )


def compare_rows(
    a: Iterable[Row],
    b: Iterable[Row],
    *,
    with_energy: bool = True,
    remove_shift: bool = False,
    with_gated: bool = False,
) -> TableDiff:
    """Compare the rows of one target of A with those of one of B, paired by workload and kind.

    False discoveries are controlled among all workloads of a quantity.

    Args:
        a, b: rows, also those without a figure.
        with_energy: whether energies are compared where both sides have them.
        remove_shift, with_gated: see `compare`.
    """

    def effects_of(pairs: Sequence[tuple[Row, Row]], quantity: Quantity) -> list[Effect]:
        found = [effect_of(one, other, quantity) for one, other in pairs]
        return [replace(effect, doubt="") for effect in found] if with_gated else found

    before: dict[tuple[str, RowKind], Row] = {(row.key, row.kind): row for row in a}
    after = {(row.key, row.kind): row for row in b}
    both = [(before[place], row) for place, row in after.items() if place in before]
    lost = [_lost(one, other) for one, other in both if one.has_figure and _failed(other)]
    pairs = [(one, other) for one, other in both if one.has_figure and other.has_figure]
    effects, shifts = _judged(effects_of(pairs, "latency"), remove_shift)
    if with_energy:
        having = [(one, other) for one, other in pairs if one.energy_mj is not None and other.energy_mj is not None]
        more, their_shifts = _judged(effects_of(having, "energy"), remove_shift)
        effects, shifts = effects + more, shifts + their_shifts
    return TableDiff(
        tuple(effects + lost),
        tuple(shifts),
        only_a=sum(row.has_figure for place, row in before.items() if place not in after),
        only_b=sum(row.has_figure for place, row in after.items() if place not in before),
        shift_removed=remove_shift,
    )


def _failed(row: Row) -> bool:
    """Whether measuring failed; what merely has not been measured to the end is no failure."""
    return row.status not in ("ok", "incomplete")


def _lost(a: Row, b: Row) -> Effect:
    reason = f"measuring it fails now: {b.status}{': ' if b.error else ''}{b.error}"
    names = (a.target_id, b.target_id, b.key, b.kind, b.label or a.label)
    return Effect(*names, "latency", a.latency_ns / 1e6, nan, verdict="lost", reason=reason)


def _judged(effects: list[Effect], remove_shift: bool) -> tuple[list[Effect], list[Shift]]:
    shift = _shift(effects)
    if shift is None:
        return judge(effects), []
    if remove_shift and isfinite(shift.low):
        error = (log(shift.high) - log(shift.low)) / (2 * _NORMAL_QUANTILE)
        effects = [without_shift(effect, log(shift.ratio), error) for effect in effects]
    return judge(effects), [shift]


def _shift(effects: Sequence[Effect]) -> Shift | None:
    from scipy.stats import quantile_test

    known = [effect for effect in effects if effect.ratio > 0]
    if not known:
        return None
    logs = np.log([effect.ratio for effect in known])
    low = high = nan
    if len(known) >= _FEWEST_FOR_SHIFT:
        interval: Any = quantile_test(logs, p=0.5).confidence_interval(0.95)  # its type is not in the stubs
        low, high = exp(interval.low), exp(interval.high)
    first = known[0]
    return Shift(first.target_a, first.target_b, first.quantity, exp(float(np.median(logs))), low, high, len(known))
