"""What a study searches by where nothing is said, and the scores that are made for it; argued in docs/hw-evrsnas.md."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgecost.stages.evrsnas.options import EvrsnasStudy
    from search.evrsnas.arrays import SpaceArrays

    Scores = dict[str, NDArray[np.float64]]

__all__ = ["with_defaults", "with_fitted"]


def with_fitted(known: Scores, arrays: SpaceArrays) -> Scores:
    """The scores and, where there is a sample of trained phi, the phi of a model fitted to it and the MACs of what
    reaches the output, with which it is combined."""
    from search.evrsnas.surrogate import FITTED, LIVE_MACS, fitted, live_macs, sample_of

    sample = sample_of(known, arrays)
    if sample is None:
        return known
    more = {FITTED: fitted(known[sample], arrays), LIVE_MACS: live_macs(arrays)}
    return {**known, **{name: own for name, own in more.items() if name not in known}}


def with_defaults(options: EvrsnasStudy, known: Container[str]) -> EvrsnasStudy:
    """The options, searching by the fitted phi and MACs where it is known and no score is named.

    Args:
        options: as asked for.
        known: the names of all scores.
    """
    from search.evrsnas.surrogate import FITTED, LIVE_MACS

    if options.score or FITTED not in known:
        return options
    return replace(options, score=f"{FITTED}+{LIVE_MACS}")
