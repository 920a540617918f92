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

PREFERRED = ("distilled_fit+live_macs", "phi_fit+live_macs", "phi+macs", "macs")
"""What is searched by where nothing is said, the best first: as much as there are scores for. MACs are always known."""


def with_fitted(known: Scores, arrays: SpaceArrays) -> Scores:
    """The scores and what is made of samples of them: models of trained phi and of the score by distillation, and the
    MACs of what reaches the output, with which they are combined."""
    from search.evrsnas.surrogate import (
        DISTILLED,
        DISTILLED_FIT,
        FITTED,
        LIVE_MACS,
        fitted,
        is_sample,
        live_macs,
        sample_of,
        smoothed,
    )

    more: Scores = {}
    if (sample := sample_of(known, arrays)) is not None:
        more[FITTED] = fitted(known[sample], arrays)
    if DISTILLED in known and is_sample(known[DISTILLED], arrays):
        more[DISTILLED_FIT] = smoothed(known[DISTILLED], arrays)
    if more:
        more[LIVE_MACS] = live_macs(arrays)
    return {**known, **{name: own for name, own in more.items() if name not in known}}


def default_score(known: Container[str]) -> str:
    """The first of `PREFERRED` of which all parts are known.

    Args:
        known: the names of all scores.
    """
    return next((name for name in PREFERRED if all(part in known for part in name.split("+"))), "macs")
