"""One workload in two tables: the ratio of its costs, with an interval, and what the ratio lets one say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import exp, expm1, inf, isfinite, log, nan, sqrt
from typing import Any, Literal

import numpy as np

from profiler.measure.record import ISSUES
from profiler.tables.row import GATE_CODES, Row

__all__ = [
    "LEAST_EFFECT",
    "SHIFTING",
    "VERDICTS",
    "Effect",
    "Quantity",
    "Verdict",
    "effect_of",
    "judge",
    "without_shift",
]

Quantity = Literal["latency", "energy"]
Verdict = Literal["slower", "faster", "more", "less", "same", "undecided", "lost"]
VERDICTS: tuple[Verdict, ...] = ("slower", "faster", "more", "less", "same", "undecided", "lost")
"""slower, faster: of latency; more, less: of energy; same: no effect that could have been seen; undecided: neither can
be said; lost: there was a figure, and now measuring it fails."""

LEAST_EFFECT = 0.01
"""Smaller effects are no verdict, however sure: no two builds or reboots of a board agree better."""

SAME_WITHIN = 0.05
"""Where no smaller effect than this could have been seen, seeing none does not mean that all is the same."""

SHIFTING = GATE_CODES - {"spread_high", "noisy", "few_rounds", "negative_slope"}
"""Issues of figures that may be off by more than their intervals say: those of the board's state. The others widen the
interval, or leave no ratio."""

CONFIDENCE, POWER, FALSE_DISCOVERIES = 0.95, 0.8, 0.05
ENERGY_COVERAGE = 2.0
"""k of the uncertainty that rows give with their energies."""

_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Effect:
    """One cost of one workload in both tables.

    Attributes:
        target_a, target_b, key, kind, label: what is compared.
        quantity: "latency" (a and b in ms) or "energy" (in mJ).
        a, b: the costs.
        ratio, low, high: b / a and its 95 % interval; NaN where it has none.
        p_value, p_adjusted: of no effect; the second such that at most 5 % of what is called an effect are none.
        detectable: the relative effect that would have been found four times of five.
        verdict: one of VERDICTS.
        reason: of undecided and lost: why.
        doubt: what no interval holds and forbids a verdict, such as a board that throttled; "" where there is nothing.
        degrees, error: of freedom, and standard error of log(ratio).
    """

    target_a: str
    target_b: str
    key: str
    kind: str
    label: str
    quantity: Quantity
    a: float
    b: float
    ratio: float = nan
    low: float = nan
    high: float = nan
    p_value: float = nan
    p_adjusted: float = nan
    detectable: float = nan
    verdict: Verdict = "undecided"
    reason: str = ""
    doubt: str = ""
    degrees: float = nan
    error: float = nan

    def to_dict(self) -> dict[str, Any]:
        """The fields by name; None stands for what is not finite."""
        return {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class _Cost:
    """log(cost), its standard error and the degrees of freedom of that; or why there is none."""

    log: float = nan
    error: float = nan
    degrees: float = nan
    reason: str = ""


def effect_of(a: Row, b: Row, quantity: Quantity = "latency") -> Effect:
    """The ratio of a workload's costs with its interval, not yet judged.

    The interval is that of Welch's t test on the log scale: the rows' own intervals give the errors, and their rounds
    the degrees of freedom. Of energies that is on the safe side: a sensor's gain cancels where both were measured by
    the same one, which rows do not say.
    """
    values = [row.latency_ns / _NS_PER_MS if quantity == "latency" else _or_nan(row.energy_mj) for row in (a, b)]
    names = (a.target_id, b.target_id, b.key, b.kind, b.label or a.label)
    plain = Effect(*names, quantity, values[0], values[1], doubt=_doubt(a, b))
    first, second = _cost(a, quantity), _cost(b, quantity)
    for which, cost in (("A", first), ("B", second)):
        if cost.reason:
            ratio = values[1] / values[0] if values[0] > 0 and values[1] > 0 else nan
            return replace(plain, ratio=ratio, reason=f"in {which} {cost.reason}")
    error, degrees = _welch(first, second)
    return _with_interval(plain, second.log - first.log, error, degrees)


def _doubt(a: Row, b: Row) -> str:
    found = [
        f"in {side}: {ISSUES[code]}" for side, row in (("A", a), ("B", b)) for code in row.issues if code in SHIFTING
    ]
    return "; ".join(found)


def _or_nan(value: float | None) -> float:
    return nan if value is None else value


def _cost(row: Row, quantity: Quantity) -> _Cost:
    from scipy.special import stdtrit

    degrees = max(row.n_rounds - 1.0, 1.0)
    if quantity == "latency":
        value, low, high = row.latency_ns, row.low_ns, row.high_ns
        coverage = float(stdtrit(degrees, (1 + CONFIDENCE) / 2))
    else:
        value, spread = _or_nan(row.energy_mj), _or_nan(row.energy_u_mj)
        low, high = value - spread, value + spread
        # what the sensor adds does not shrink with the rounds, and how much of the whole it is a row does not say
        coverage = ENERGY_COVERAGE
    if not value > 0:
        return _Cost(reason="the figure is not above zero, so that there is no ratio")
    if not (isfinite(low) and isfinite(high)):
        return _Cost(reason="the figure has no interval")
    if row.n_rounds < 2:
        return _Cost(reason="the figure is from one round, which does not tell how far rounds differ")
    if low <= 0:
        return _Cost(reason="the interval reaches down to zero")
    return _Cost(log(value), (log(high) - log(low)) / 2 / coverage, degrees)


def _welch(a: _Cost, b: _Cost) -> tuple[float, float]:
    """Standard error of the difference and its degrees of freedom, after Welch and Satterthwaite."""
    variance = a.error**2 + b.error**2
    if variance == 0:
        return 0.0, a.degrees + b.degrees
    return sqrt(variance), variance**2 / (a.error**4 / a.degrees + b.error**4 / b.degrees)


def _with_interval(effect: Effect, difference: float, error: float, degrees: float) -> Effect:
    from scipy.special import stdtr, stdtrit

    half = float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) * error
    seen = half + float(stdtrit(degrees, POWER)) * error
    statistic = abs(difference) / error if error > 0 else (inf if difference else 0.0)
    return replace(
        effect,
        ratio=exp(difference),
        low=exp(difference - half),
        high=exp(difference + half),
        p_value=2 * float(stdtr(degrees, -statistic)) if isfinite(statistic) else 0.0,
        detectable=expm1(seen),
        degrees=degrees,
        error=error,
    )


def without_shift(effect: Effect, shift: float, shift_error: float) -> Effect:
    """The effect less what all workloads have in common.

    Args:
        effect: as `effect_of` gives it.
        shift: log of the common ratio; shift_error: its standard error.
    """
    if not isfinite(effect.error):
        return effect
    error = sqrt(effect.error**2 + shift_error**2)
    return _with_interval(effect, log(effect.ratio) - shift, error, effect.degrees)


def judge(effects: Sequence[Effect]) -> list[Effect]:
    """The effects with p values adjusted for their number and with verdicts.

    An effect is one where the adjusted p value is at most 5 % (Benjamini and Hochberg, 1995), the interval excludes 1,
    and the ratio is further from 1 than 1 % and than what could be detected, unless a doubt stands against it. Where
    the whole interval lies within those, and 5 % could have been detected, all is the same.
    """
    from scipy.stats import false_discovery_control

    tested = [i for i, e in enumerate(effects) if isfinite(e.p_value)]
    adjusted = np.full(len(effects), nan)
    if tested:
        adjusted[tested] = false_discovery_control([effects[i].p_value for i in tested])
    return [_judged(effect, float(p)) for effect, p in zip(effects, adjusted, strict=True)]


def _judged(effect: Effect, adjusted: float) -> Effect:
    if not isfinite(adjusted):
        # one measurement in both tables, however well or badly known
        verdict: Verdict = "same" if effect.verdict == "undecided" and effect.a == effect.b else effect.verdict
        return replace(effect, verdict=verdict, reason="" if verdict == "same" else effect.reason)
    effect = replace(effect, p_adjusted=adjusted)
    least = max(LEAST_EFFECT, effect.detectable)
    away = max(effect.ratio, 1 / effect.ratio) - 1
    excluded = effect.low > 1 or effect.high < 1
    if adjusted <= FALSE_DISCOVERIES and excluded and away > least:
        if effect.doubt:
            return replace(effect, reason=effect.doubt)
        up, down = _WORDS[effect.quantity]
        return replace(effect, verdict=up if effect.ratio > 1 else down)
    if effect.ratio == 1 and effect.a == effect.b:
        return replace(effect, verdict="same")
    if effect.detectable > SAME_WITHIN:
        return replace(effect, reason=f"only effects above {effect.detectable:.1%} could have been seen")
    if effect.low >= 1 / (1 + least) and effect.high <= 1 + least:
        return replace(effect, verdict="same")
    return replace(effect, reason=_why_undecided(effect, adjusted, away, least, excluded))


_WORDS: dict[Quantity, tuple[Verdict, Verdict]] = {"latency": ("slower", "faster"), "energy": ("more", "less")}


def _why_undecided(effect: Effect, adjusted: float, away: float, least: float, excluded: bool) -> str:
    if not excluded:
        return "the interval holds 1 and more than could be the same"
    if adjusted > FALSE_DISCOVERIES:
        return f"among so many workloads chance makes such a ratio (adjusted p {adjusted:.2g})"
    return f"an effect of {away:.1%} is below the {least:.1%} that counts"
