"""Energy of places: medians over the rounds with their uncertainty, as values of models and slopes of the others.

What the rounds share, gain and rounding of the sensor, no number of them reduces (`profiler.measure.energy_rounds`).
A gain errs alike in both stretches of a slope too; all else that is uncertain in two stretches adds in quadrature.
A net figure rests on more than half of the rounds that have a latency, or there is none but a bound: where most rounds
could not tell the energy from noise, the others told it because they were high.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler.measure.energy import COVERAGE
from profiler.tables.loading.outcomes import Outcomes
from profiler.tables.loading.rounds import Floats, Groups, Ints, combine_groups

__all__ = ["PlaceEnergies", "place_energies"]

MIXED = -1
"""The scope of a place whose rounds were measured by several."""


@dataclass(slots=True)
class PlaceEnergies:
    """All of shape (p,), in mJ a run, NaN where there is no figure.

    Attributes:
        net, u, gross, upper: as in `Row`.
        scope: a place in `Outcomes.scopes`; `MIXED` where the rounds have several.
        known: whether there is a net figure or a bound.
    """

    net: Floats
    u: Floats
    gross: Floats
    upper: Floats
    scope: Ints
    known: NDArray[np.bool_]

    @property
    def any(self) -> NDArray[np.bool_]:
        """Whether there is any figure, (p,): also a gross one alone, such as where the idle power has moved."""
        return self.known | np.isfinite(self.gross)


def place_energies(o: Outcomes, of_model: Ints, short: Ints, long: Ints, m: Ints) -> PlaceEnergies:
    """The energies of all places.

    Args:
        o: outcomes.
        of_model: those that models' figures rest on.
        short, long: those that the others rest on, in pairs.
        m: (n,) by how many repetitions the two of a pair differ.
    """
    n_places, step = len(o.place_run), m[short]
    places = np.r_[o.place[of_model], o.place[short]]

    def both(name: str) -> Floats:
        values = o.numbers[name]
        return np.concatenate([values[of_model], (values[long] - values[short]) / step])

    def in_quadrature(name: str) -> Floats:
        values = o.numbers[name]
        return np.concatenate([values[of_model], np.hypot(values[long], values[short]) / step])

    net, gross = both("energy_mj"), both("energy_gross_mj")
    shared = np.hypot(both("energy_gain_mj"), in_quadrature("energy_lsb_mj"))
    own = in_quadrature("energy_own_mj")
    upper = np.r_[o.numbers["energy_upper_mj"][of_model], np.full(len(short), np.nan)]
    figure = np.isfinite(net)
    tried, told = (np.bincount(places[mask], minlength=n_places) for mask in (np.ones_like(figure), figure))
    few = (2 * told <= tried)[places]
    # a minority's figures stay in the bound, and such a bound is the highest of all
    high = net + np.hypot(shared, COVERAGE * own)

    scope = _scopes(o, np.r_[of_model, short, long], n_places)
    empty = np.full((4, n_places), np.nan)
    found = PlaceEnergies(empty[0], empty[1], empty[2], empty[3], scope, np.zeros(n_places, dtype=bool))
    order, groups = _known(places, np.where(few, np.nan, net))
    rounds = combine_groups(groups, net[order], own[order])
    found.net[groups.ids] = rounds.median
    found.u[groups.ids] = np.hypot(rounds.half, groups.sum(shared[order]) / groups.counts)
    order, groups = _known(places, gross)
    found.gross[groups.ids] = groups.median(gross[order])
    order, groups = _known(places, upper)
    found.upper[groups.ids] = groups.least(upper[order])
    bounded = few & np.isfinite(found.upper)[places] & (told > 0)[places]
    order, groups = _known(places, np.where(bounded, np.fmax(upper, high), np.nan))
    found.upper[groups.ids] = -groups.least(-np.fmax(upper, high)[order])
    found.upper[np.isfinite(found.net)] = np.nan
    found.known = np.isfinite(found.net) | np.isfinite(found.upper)
    return found


def _known(places: Ints, values: Floats) -> tuple[Ints, Groups]:
    """The known values in the order of their places, and which belong to the same."""
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(places[known], kind="stable")]
    return order, Groups.of(places[order])


def _scopes(o: Outcomes, good: Ints, n_places: int) -> Ints:
    """The scope of each place's energies, (p,)."""
    good = good[o.has_energy[good]]
    lowest, highest = np.full(n_places, len(o.scopes)), np.full(n_places, -1)
    np.minimum.at(lowest, o.place[good], o.scope[good])
    np.maximum.at(highest, o.place[good], o.scope[good])
    return np.where(highest < 0, 0, np.where(lowest == highest, highest, MIXED))
