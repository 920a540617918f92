"""Energy over a campaign: rounds put together, and what the sampler itself costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from profiler.measure.energy import COVERAGE, Energy
from profiler.measure.record import Measurement
from profiler.measure.stats import combine_rounds

__all__ = ["CombinedEnergy", "ObserverEffect", "combine", "observer_effect"]

OBSERVED = 0.01
"""Above this effect of the sampler, latency and energy have to be measured in runs of their own, as ours are."""


@dataclass(frozen=True, slots=True)
class CombinedEnergy:
    """One net energy from several rounds.

    Attributes:
        value_mj, u_mj: the median of the rounds and its U (k = 2); None where at least half of the rounds have none.
        upper_mj: where none has one and some have an upper bound: the lowest of these; where a minority has one: the
            highest of its figures with their U and of the bounds.
        scope: of all of them.
        rounds: how many have a figure.
        spread: between the rounds, relative; None with fewer than two.
        issues: all codes that occurred, once each.
    """

    value_mj: float | None
    u_mj: float | None
    upper_mj: float | None
    scope: str
    rounds: int
    spread: float | None
    issues: tuple[str, ...]


def combine(energies: Sequence[Energy]) -> CombinedEnergy:
    """Put the rounds of one workload together.

    What the rounds share (gain, rounding) no number of them reduces: it enters once, as its mean. What each has of its
    own is judged by how much the rounds differ, or by what they say themselves, whichever is more. A figure that most
    rounds could not tell from noise was told by the others because they happened to be high: there is a bound instead.

    Raises:
        ValueError: there is none, or they are of different scopes.
    """
    scopes = {energy.scope for energy in energies}
    if len(scopes) != 1:
        raise ValueError(f"energies of different scopes are never put together: {', '.join(sorted(scopes)) or 'none'}")
    issues = tuple(dict.fromkeys(code for energy in energies for code in energy.issues))
    found = [(energy, energy.net_mj) for energy in energies if energy.net_mj is not None]
    if not rests_on_most(len(found), len(energies)):
        bounds = [energy.upper_mj for energy in energies if energy.upper_mj is not None]
        bound = min(bounds, default=None)
        if bounds and found:
            bound = max(*bounds, *(value + (energy.u_net_mj or 0.0) for energy, value in found))
        return CombinedEnergy(None, None, bound, scopes.pop(), len(found), None, issues)
    own = [math.hypot(*(energy.budget_mj[name] for name in _OWN)) / COVERAGE for energy, _ in found]
    shared = [math.hypot(*(energy.budget_mj[name] for name in _SHARED)) for energy, _ in found]
    combined = combine_rounds([value for _, value in found], own)
    u_mj = math.hypot((combined.high - combined.low) / 2, sum(shared) / len(shared))
    spread = combined.spread if len(found) > 1 else None
    return CombinedEnergy(combined.median, u_mj, None, scopes.pop(), len(found), spread, issues)


def rests_on_most(found: int, rounds: int) -> bool:
    """Whether so many rounds with a figure are more than half of all."""
    return 2 * found > rounds


_OWN = ("noise", "timing", "idle")
_SHARED = ("gain", "lsb")


@dataclass(frozen=True, slots=True)
class ObserverEffect:
    """What reading the sensor costs the board itself: medians over the rounds, relative, each with its U (k = 2).

    Attributes:
        latency, latency_u: of a run.
        power, power_u: under load.
        idle, idle_u: at rest; None where that is not known.
        rounds: how many have told it.
    """

    latency: float
    latency_u: float
    power: float | None
    power_u: float | None
    idle: float | None
    idle_u: float | None
    rounds: int

    @property
    def matters(self) -> bool:
        """Whether any of them is above the limit and its own uncertainty: latencies and energies that were measured in
        one run would not count."""
        pairs = ((self.latency, self.latency_u), (self.power, self.power_u), (self.idle, self.idle_u))
        return any(value is not None and abs(value) > max(OBSERVED, u or 0.0) for value, u in pairs)


def observer_effect(measurements: Iterable[Measurement]) -> ObserverEffect | None:
    """What the first jobs of a campaign's workers tell of the sampler; None where none tells anything."""
    told = [m.env for m in measurements if "sampler_latency" in m.env and "sampler_latency_u" in m.env]
    if not told:
        return None

    def over(name: str) -> float | None:
        found = [env[name] for env in told if isinstance(env.get(name), int | float)]
        return float(median(found)) if found else None

    return ObserverEffect(
        over("sampler_latency") or 0.0, over("sampler_latency_u") or 0.0, over("sampler_power"),
        over("sampler_power_u"), over("sampler_idle"), over("sampler_idle_u"), len(told),
    )  # fmt: skip
