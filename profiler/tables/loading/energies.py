"""What a measurement's power record says of energy, as numbers of a digest."""

from __future__ import annotations

from math import hypot, isfinite, nan
from pathlib import Path
from typing import NamedTuple

from profiler.measure import energy, power_trace
from profiler.measure.record import Measurement

__all__ = ["MAKERS", "Energies", "energies_of", "number"]

MAKERS = tuple(Path(str(path)) for path in (__file__, energy.__file__, power_trace.__file__))
"""The source files that decide what `energies_of` says."""

_OWN = ("noise", "timing", "idle")
_JUDGED_ANEW = frozenset({"energy_uncertain", "energy_undetected", "energy_idle_moved"})
"""What the record alone says; all other codes may be the board's own findings."""


class Energies(NamedTuple):
    """In mJ a run; NaN where there is no figure.

    Attributes:
        net: the idle power taken off; gross: with it.
        upper: the bound where the power step could not be told from noise.
        gain, lsb, own: the parts of net's uncertainty: of the sensor's gain, which errs alike in all figures; of its
            step, alike in all rounds; and what each round has of its own. The first two with k = 2, the last is a
            standard error.
        scope: what the sensor includes; "" where that is not known.
        issues: codes of the measurement and of its energy.
    """

    net: float
    gross: float
    upper: float
    gain: float
    lsb: float
    own: float
    scope: str
    issues: tuple[str, ...]


def energies_of(m: Measurement) -> Energies:
    """Made anew of what the sensor showed; without such a record, what the journal says."""
    if m.power is None:
        return Energies(number(m.energy_mj), nan, nan, nan, nan, nan, "", m.issues)
    e = energy.energy_of(m.power)
    codes = [str(code) for code in m.issues if code not in _JUDGED_ANEW]
    issues = tuple(dict.fromkeys((*codes, *e.issues)))
    if energy.NO_FIGURE.intersection(codes):  # the board itself has ruled it out
        return Energies(nan, nan, nan, nan, nan, nan, e.scope, issues)
    gain, lsb, own = nan, nan, nan
    if e.net_mj is not None:
        gain, lsb = e.budget_mj["gain"], e.budget_mj["lsb"]
        own = hypot(*(e.budget_mj[name] for name in _OWN)) / energy.COVERAGE
    return Energies(number(e.net_mj), number(e.gross_mj), number(e.upper_mj), gain, lsb, own, e.scope, issues)


def number(value: object) -> float:
    """A finite number, or NaN."""
    if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
        return float(value)
    return nan
