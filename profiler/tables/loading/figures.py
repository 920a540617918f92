"""Figures of places: medians of whole models, slopes of kernels and blocks before their companions are taken off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler.measure.record import STATUSES
from profiler.tables.loading.outcomes import MODEL, Outcomes
from profiler.tables.loading.powers import PlaceEnergies, place_energies
from profiler.tables.loading.rounds import Floats, Groups, Ints, Rounds, combine_groups

__all__ = ["Figures", "figures_of"]

_OK = STATUSES.index("ok")


@dataclass(slots=True)
class Figures:
    """What the rounds say of each place; all of shape (p,), NaN where there is nothing.

    Attributes:
        median, half, deviation: of latency in ns, as in `Rounds`; n_rounds: 0 where there is no figure.
        isolated, load: medians in ns.
        issues: bits of the outcomes that the figure rests on.
        noisy: the robust coefficient of variation, the larger one of both stretches, median over the rounds.
        energy: of the same rounds.
        step: m of kernels and blocks, 0 where it is not known; 1 for models.
        failure: the outcome that failed first where there is no figure; -1 where none did.
    """

    median: Floats
    half: Floats
    deviation: Floats
    n_rounds: Ints
    isolated: Floats
    load: Floats
    issues: Ints
    noisy: Floats
    energy: PlaceEnergies
    step: Ints
    failure: Ints


def figures_of(o: Outcomes, line_of_place: Ints) -> Figures:
    """The figures of all places.

    Args:
        o: outcomes.
        line_of_place: (p,) the line of each place's subject in the workloads of its run; -1 where there is none.
    """
    n_places = len(o.place_run)
    is_model = o.place_kind == MODEL
    step = np.where(is_model, 1, _steps(o, line_of_place))
    m = step[o.place]
    alone = o.has_samples & (o.repeats == 1)
    of_model = np.flatnonzero(alone & is_model[o.place])
    kernels = o.has_samples & ~is_model[o.place] & (m > 0)
    short, long = _pairs(o, np.flatnonzero(kernels & (o.repeats == m)), np.flatnonzero(kernels & (o.repeats == 2 * m)))

    medians, errors = o.numbers["median_ns"], o.numbers["standard_error_ns"]
    places = np.r_[o.place[of_model], o.place[short]]
    values = np.r_[medians[of_model], (medians[long] - medians[short]) / m[short]]
    within = np.r_[errors[of_model], np.hypot(errors[short], errors[long]) / m[short]]
    order = np.argsort(places, kind="stable")
    groups = Groups.of(places[order])
    rounds = combine_groups(groups, values[order], within[order])

    good = np.r_[of_model, short, long]
    issues = np.zeros(n_places, dtype=np.int64)
    np.bitwise_or.at(issues, o.place[good], o.issues[good])
    cv = o.numbers["robust_cv"]
    noisy = np.fmax(
        _spread(_medians(o.place[np.r_[of_model, short]], cv[np.r_[of_model, short]]), n_places),
        _spread(_medians(o.place[long], cv[long]), n_places),
    )
    loaded = np.r_[of_model, np.flatnonzero(~is_model[o.place] & (o.repeats == 1))]
    loads = o.numbers["load_ns"]
    isolated = np.flatnonzero(alone & ~is_model[o.place])
    found = _at_places(rounds, groups.ids, n_places)
    return Figures(
        *found,
        isolated=_spread(_medians(o.place[isolated], medians[isolated]), n_places),
        load=_spread(_known_medians(o.place[loaded], loads[loaded]), n_places),
        issues=issues,
        noisy=noisy,
        energy=place_energies(o, of_model, short, long, m),
        step=step,
        failure=_failures(o, (found[3] == 0) & (step > 0)),
    )


def _steps(o: Outcomes, line_of_place: Ints) -> Ints:
    """m of each place's subject; 0 where nothing says."""
    found = np.zeros(len(line_of_place), dtype=np.int64)
    for number in np.unique(o.place_run):
        mine = np.flatnonzero((o.place_run == number) & (line_of_place >= 0))
        found[mine] = np.maximum(np.array(o.runs[number].subjects.repeats, dtype=np.int64)[line_of_place[mine]], 0)
    return found


def _pairs(o: Outcomes, short: Ints, long: Ints) -> tuple[Ints, Ints]:
    """The outcomes of both stretches in the rounds that have both."""
    n = o.round.max(initial=0) + 1
    ids = o.place * n + o.round
    _, mine, other = np.intersect1d(ids[short], ids[long], assume_unique=True, return_indices=True)
    return short[mine], long[other]


def _at_places(rounds: Rounds, ids: Ints, n_places: int) -> tuple[Floats, Floats, Floats, Ints]:
    counts = np.zeros(n_places, dtype=np.int64)
    counts[ids] = rounds.counts
    median, half, deviation = (_spread((ids, x), n_places) for x in (rounds.median, rounds.half, rounds.deviation))
    return median, half, deviation, counts


def _spread(found: tuple[Ints, Floats], n_places: int) -> Floats:
    """Values of some places as an array of all."""
    all_of_them = np.full(n_places, np.nan)
    all_of_them[found[0]] = found[1]
    return all_of_them


def _medians(places: Ints, values: Floats) -> tuple[Ints, Floats]:
    order = np.argsort(places, kind="stable")
    groups = Groups.of(places[order])
    return groups.ids, groups.median(values[order])


def _known_medians(places: Ints, values: Floats) -> tuple[Ints, Floats]:
    known = np.isfinite(values)
    return _medians(places[known], values[known])


def _failures(o: Outcomes, wanted: NDArray[np.bool_]) -> Ints:
    """The outcome that says why a place has no figure: the first that failed of the stretch that was tried first."""
    found = np.full(len(wanted), -1)
    failed = wanted[o.place] & (o.status != _OK)
    # only what a model is measured by says why there is none
    failed &= (o.place_kind[o.place] != MODEL) | (o.repeats == 1)
    outcomes = np.flatnonzero(failed)
    stretch = Groups.of(o.place * (o.repeats.max(initial=0) + 1) + o.repeats)
    begun = np.repeat(np.minimum.reduceat(o.first, stretch.starts), stretch.counts) if len(o.first) else o.first
    order = outcomes[np.lexsort((o.first[outcomes], begun[outcomes], o.place[outcomes]))]
    groups = Groups.of(o.place[order])
    found[groups.ids] = order[groups.starts]
    return found
