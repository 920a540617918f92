"""Measurements of a machine that was not itself: other programs or other virtual machines held it up for minutes.

A sentinel is compared with the first one of its process, so a round that began in a slow spell is watched well and is
slow throughout. Over a whole run the sentinels tell (`profiler.measure.level`): what lies between two of them is
*disturbed* where one of the two took `GROSS` times what the sentinel takes at its best. A figure rests on its
undisturbed rounds where it has any; one that has none keeps what it has, and is marked.

A spell may also come and go between two sentinels. So in a run whose sentinels have seen the machine held up, a line is
disturbed too where another one about the same stretch took so much less; in all other runs, lines that differ so much
are states of the board, and stay.

Only gross spells count: to leave out what is a few per cent slower would be to choose the fastest rounds, and a figure
that is chosen for being low is too low. Processes that fall into states and boards that drift stay as they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from profiler.measure.level import BEST, GROSS, LEAST_SENTINELS
from profiler.tables.loading.rounds import Floats, Ints

__all__ = ["disturbed_lines", "held_up_lines", "superseded_lines"]

Mask = NDArray[np.bool_]


def disturbed_lines(is_sentinel: Mask, median_ns: Floats) -> Mask:
    """Which lines of a run were measured in a gross slow spell.

    Args:
        is_sentinel: (n,) in the order of the journal.
        median_ns: (n,) NaN where there is none; a sentinel that failed says nothing.

    Returns:
        (n,), False throughout where there are too few sentinels.
    """
    places = np.flatnonzero(is_sentinel & np.isfinite(median_ns))
    if len(places) < LEAST_SENTINELS:
        return np.zeros(len(median_ns), dtype=bool)
    took = median_ns[places]
    slow = np.r_[False, took > GROSS * np.quantile(took, BEST, method="lower"), False]
    behind = np.searchsorted(places, np.arange(len(median_ns)), side="right")
    found: Mask = (slow[behind] | slow[behind + 1]) & ~is_sentinel
    return found


def held_up_lines(disturbed: Mask, median_ns: Floats, subject: Ints, repeats: Ints) -> Mask:
    """Which lines took `GROSS` times what another one about the same stretch took, in a run with disturbed lines.

    Args:
        disturbed: (n,) by the sentinels.
        median_ns: (n,) NaN where there is none.
        subject, repeats: (n,) what each is about.

    Returns:
        (n,), False throughout where the sentinels saw nothing.
    """
    if not disturbed.any():
        return np.zeros(len(median_ns), dtype=bool)
    _, stretch = np.unique(repeats, return_inverse=True)
    _, of_stretch = np.unique(subject * (stretch.max() + 1) + stretch, return_inverse=True)
    least = np.full(of_stretch.max() + 1, np.inf)
    np.fmin.at(least, of_stretch, median_ns)
    found: Mask = median_ns > GROSS * least[of_stretch]
    return found


def superseded_lines(disturbed: Mask, has_samples: Mask, subject: Ints, repeats: Ints, rounds: Ints) -> Mask:
    """Which of the disturbed lines a figure does better without.

    Of the lines about one stretch in one round, those beside an undisturbed one; then all of a round in which a stretch
    is still disturbed, where the same subject has another round that is complete and undisturbed.

    Args:
        disturbed, has_samples: (n,) of each line.
        subject, repeats, rounds: (n,) what it is about: numbers that are alike where this is.
    """
    found: Mask = np.zeros(len(disturbed), dtype=bool)
    if not disturbed.any():
        return found
    _, stretch = np.unique(repeats, return_inverse=True)
    _, round_ = np.unique(rounds, return_inverse=True)
    _, of_round = np.unique(subject * (round_.max() + 1) + round_, return_inverse=True)
    _, of_stretch = np.unique(of_round * (stretch.max() + 1) + stretch, return_inverse=True)
    _, of_subject = np.unique(subject, return_inverse=True)
    good = has_samples & ~disturbed
    found |= disturbed & _any(of_stretch, good)[of_stretch]

    # a round is complete where all stretches of its subject have an undisturbed line in it
    wanted = _distinct(of_subject, stretch)
    _, first = np.unique(of_round, return_index=True)
    complete = _distinct(of_round[good], stretch[good], len(first)) == wanted[of_subject[first]]
    better = _any(of_subject[first], complete)
    found |= (~complete[of_round] & _any(of_round, disturbed & has_samples)[of_round]) & better[of_subject]
    return found


def _any(groups: Ints, values: Mask) -> Mask:
    """Whether any value of each group is true, (g,)."""
    found = np.zeros(groups.max(initial=-1) + 1, dtype=bool)
    found[groups[values]] = True
    return found


def _distinct(groups: Ints, values: Ints, n: int = 0) -> Ints:
    """How many different values each group has, (g,)."""
    if not len(groups):
        return np.zeros(n, dtype=np.int64)
    pairs = np.unique(groups * (values.max() + 1) + values) // (values.max() + 1)
    found: Ints = np.bincount(pairs, minlength=max(n, int(groups.max()) + 1))
    return found
