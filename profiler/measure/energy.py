"""From a power record to energy per run: gross, net of the board's idle power, each with its uncertainty (k = 2).

    idle - load - idle:  gross = mean load power x duration / runs
                         net   = (mean load power - idle power interpolated to the load's middle) x duration / runs

The budget of a net energy, combined in quadrature [measurement.md, 3; the GUM's way]:

    gain     relative, as the maker or a calibration states it
    offset   cancels in the difference of two powers; counts in the gross energy only
    lsb      the sensor's step / sqrt(distinct updates), and the bias that rounding leaves where noise is small
    noise    the means' own standard errors (scatter of pieces of each spell, Student's t)
    timing   one refresh and one poll by which the edges of the load are unknown, as a rectangular distribution
    idle     the idle power may have moved at any time between the two idle spells: half their difference, rectangular;
             or half of how far it may have gone and come back, by how it wanders within them, where that is more

Below three sigma of the power step there is no figure but an upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from profiler.measure.power_trace import BLOCKS, Mean, PowerTrace
from profiler.measure.record import Power

__all__ = ["COVERAGE", "GUARD_S", "NO_FIGURE", "Energy", "energy_of", "judge"]

COVERAGE = 2.0
"""All uncertainties are expanded: so many standard deviations, about 95 %."""

LEAST_UPDATES = 10
"""With fewer periods of the sensor's refresh in the load its edges are a tenth of the figure, and there is none."""

LEAST_IDLE_UPDATES = 3

IDLE_MOVED = 0.03
UNCERTAIN = 0.05
DETECTION = 3.0
"""The limits of the protocol."""

GUARD_S = 0.5
"""So far inside each spell is a meter read that the host has: it sees the board's spells that late at most."""


@dataclass(frozen=True, slots=True)
class Energy:
    """What one record says, per run; U is expanded (k = 2).

    Attributes:
        scope: what the sensor includes; figures of different scopes are never compared.
        net_mj, u_net_mj: with the idle power taken off; None where the record gives no figure.
        gross_mj, u_gross_mj: all that was drawn.
        upper_mj: where the step is below detection: three sigma above what was seen of it.
        budget_mj: of the net energy's uncertainty, by component.
        unknown: components of which neither a maker nor the record says anything, so that U leaves them out.
        idle_mw, load_mw: the two powers; the idle one at the load's middle.
        window_s: the length of the load.
        updates: distinct updates in it.
        refresh_hz: how often the sensor changes; None where that cannot be told.
        issues: codes out of ISSUES.
    """

    scope: str
    net_mj: float | None = None
    u_net_mj: float | None = None
    gross_mj: float | None = None
    u_gross_mj: float | None = None
    upper_mj: float | None = None
    budget_mj: dict[str, float] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    idle_mw: float | None = None
    load_mw: float | None = None
    window_s: float = 0.0
    updates: int = 0
    refresh_hz: float | None = None
    issues: tuple[str, ...] = ()

    def notes(self) -> dict[str, float | str]:
        """What of it belongs beside the figure in a journal, by name."""
        values: dict[str, float | str | None] = {
            "energy_scope": self.scope,
            "energy_u_mj": self.u_net_mj,
            "energy_gross_mj": self.gross_mj,
            "energy_gross_u_mj": self.u_gross_mj,
            "energy_upper_mj": self.upper_mj,
            "energy_idle_mw": self.idle_mw,
            "energy_load_mw": self.load_mw,
            "energy_refresh_hz": self.refresh_hz,
            "energy_unknown": " ".join(self.unknown) or None,
        }
        return {name: value for name, value in values.items() if value is not None}


def energy_of(power: Power) -> Energy:
    """Judge a record; what it cannot give is None, and `issues` says why."""
    window_s = (power.load_us[1] - power.load_us[0]) / 1e6
    if not power.values:
        return Energy(power.scope, window_s=window_s, issues=("sensor_missing",))
    trace = PowerTrace(power)
    refresh_hz = 1 / trace.refresh_s if trace.refresh_s else None
    plain = Energy(power.scope, window_s=window_s, refresh_hz=refresh_hz)
    if trace.is_stuck():
        return _with(plain, "sensor_stuck")
    if trace.is_implausible():
        return _with(plain, "sensor_implausible")
    guard_s = trace.lag_s + (GUARD_S if power.meter == "host" else 0.0)
    spells = [_inside(spell, guard_s) for spell in (power.idle_before_us, power.load_us, power.idle_after_us)]
    period_s = trace.longest_refresh_s
    least_s = [LEAST_IDLE_UPDATES * period_s, LEAST_UPDATES * period_s, LEAST_IDLE_UPDATES * period_s]
    if power.runs < 1 or any(end - begin < least for (begin, end), least in zip(spells, least_s, strict=True)):
        return _with(plain, "energy_window_short")
    before, load, after = (trace.mean(begin, end) for begin, end in spells)
    return _evaluate(power, trace, (before, load, after), window_s, refresh_hz)


NO_FIGURE = frozenset(
    {"sensor_missing", "sensor_lost", "sensor_stuck", "sensor_implausible", "energy_window_short", "energy_undetected",
     "energy_idle_moved"}
)  # fmt: skip
"""With any of these codes there is no net energy."""


def judge(power: Power, codes: Sequence[str]) -> tuple[float | None, tuple[str, ...], dict[str, float | str]]:
    """What a journal holds of a record: net energy per run in mJ, all issue codes, and what stands beside the figure.

    Args:
        power: the record.
        codes: what the board itself found; it may rule a figure out that the record alone would give.
    """
    energy = energy_of(power)
    issues = tuple(dict.fromkeys((*codes, *energy.issues)))
    return None if NO_FIGURE & set(issues) else energy.net_mj, issues, energy.notes()


def _with(energy: Energy, code: str) -> Energy:
    return Energy(energy.scope, window_s=energy.window_s, refresh_hz=energy.refresh_hz, issues=(code,))


def _inside(spell_us: tuple[int, int], guard_s: float) -> tuple[float, float]:
    """A spell without its beginning, in which the sensor may still show what was before; in seconds.

    The end needs no such margin of a sensor on the board, which never shows what is to come; a meter that the host
    reads has its clock's uncertainty on both sides, and `guard_s` at the end costs the others nothing but samples.
    """
    return spell_us[0] / 1e6 + guard_s, spell_us[1] / 1e6 - guard_s


def _evaluate(
    power: Power, trace: PowerTrace, means: tuple[Mean, Mean, Mean], window_s: float, refresh_hz: float | None
) -> Energy:
    before, load, after = means
    share = (load.middle_s - before.middle_s) / (after.middle_s - before.middle_s)
    idle_mw = (1 - share) * before.mw + share * after.mw
    step_mw, moved_mw = load.mw - idle_mw, after.mw - before.mw
    weights = (1 - share, 1.0, share)
    student = _student() / COVERAGE  # a mean of few pieces is known less well than its standard error says
    errors = [weight * mean.error_mw * student for weight, mean in zip(weights, means, strict=True)]
    steps = [weight * mean.step_mw for weight, mean in zip(weights, means, strict=True)]
    timing = COVERAGE / math.sqrt(12) * trace.lag_s / window_s
    idle_errors = COVERAGE * math.hypot(before.error_mw, after.error_mw) * student
    budget_mw = {
        "gain": power.gain_u * abs(step_mw),
        "lsb": math.hypot(*steps),
        "noise": COVERAGE * math.hypot(*errors),
        "timing": timing * abs(step_mw),
        "idle": COVERAGE * max(abs(moved_mw), _wandered_mw(before, after)) / 2 / math.sqrt(3),
    }
    gross_budget_mw = (
        power.gain_u * load.mw,
        power.offset_uw / 1e3,
        load.step_mw,
        COVERAGE * load.error_mw * student,
        timing * abs(step_mw),
    )
    per_run = window_s / power.runs  # mJ for each mW
    # the gain is no part of what decides whether there is a step at all
    sigma_mw = math.hypot(*(value for name, value in budget_mw.items() if name != "gain")) / COVERAGE
    net_mj, u_net_mj = step_mw * per_run, math.hypot(*budget_mw.values()) * per_run
    upper_mj = None
    issues = []
    if step_mw < -DETECTION * sigma_mw:
        issues.append("sensor_implausible")
    elif step_mw < DETECTION * sigma_mw:
        issues.append("energy_undetected")
        upper_mj = (max(step_mw, 0.0) + DETECTION * sigma_mw) * (1 + power.gain_u) * per_run
    else:
        if abs(moved_mw) > IDLE_MOVED * step_mw and abs(moved_mw) > idle_errors:
            issues.append("energy_idle_moved")
        if u_net_mj > UNCERTAIN * net_mj:
            issues.append("energy_uncertain")
    kept = not {"sensor_implausible", "energy_undetected", "energy_idle_moved"} & set(issues)
    return Energy(
        scope=power.scope,
        net_mj=net_mj if kept else None,
        u_net_mj=u_net_mj if kept else None,
        gross_mj=load.mw * per_run,
        u_gross_mj=math.hypot(*gross_budget_mw) * per_run,
        upper_mj=upper_mj,
        budget_mj={name: value * per_run for name, value in budget_mw.items()},
        unknown=tuple(name for name, known in (("gain", power.gain_u), ("lsb", trace.lsb)) if not known),
        idle_mw=idle_mw,
        load_mw=load.mw,
        window_s=window_s,
        updates=load.updates,
        refresh_hz=refresh_hz,
        issues=tuple(issues),
    )


def _wandered_mw(before: Mean, after: Mean) -> float:
    """How far the idle power may have gone and come back between the idle spells, by how it wanders within them."""
    rate = (before.wander_mw2_s + after.wander_mw2_s) / 2
    return math.sqrt(rate * (after.middle_s - before.middle_s))


def _student() -> float:
    """The quantile that holds as much as two standard deviations of a normal distribution."""
    from scipy.special import ndtr, stdtrit

    return float(stdtrit(BLOCKS - 1, ndtr(COVERAGE)))
