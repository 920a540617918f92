"""What a study searches by where nothing is said, and the scores that are made for it; argued in docs/hw-evrsnas.md."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from search.evrsnas.arrays import SpaceArrays

    Scores = dict[str, NDArray[np.float64]]

__all__ = ["PREFERRED", "default_score", "with_fitted"]

PREFERRED = ("phi_fit+live_macs", "phi+macs", "macs")
"""What is searched by where nothing is said, the best first: as much as there are scores for. MACs are always known."""


def with_fitted(known: Scores, arrays: SpaceArrays) -> Scores:
    """The scores and, where there is a sample of trained phi, the phi of a model fitted to it and the MACs of what
    reaches the output, with which it is combined."""
    from search.evrsnas.surrogate import FITTED, LIVE_MACS, fitted, live_macs, sample_of

    sample = sample_of(known, arrays)
    if sample is None:
        return known
    more = {FITTED: fitted(known[sample], arrays), LIVE_MACS: live_macs(arrays)}
    return {**known, **{name: own for name, own in more.items() if name not in known}}


def default_score(known: Container[str]) -> str:
    """The first of `PREFERRED` of which all parts are known.

    Args:
        known: the names of all scores.
    """
    return next((name for name in PREFERRED if all(part in known for part in name.split("+"))), "macs")
