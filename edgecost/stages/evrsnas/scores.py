"""The scores of a study by name: out of stores and files, MACs and parameters, and what is joined of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgecost.stages.evrsnas.options import EvrsnasStudy
    from search.evrsnas.arrays import SpaceArrays

    Scores = dict[str, NDArray[np.float64]]

__all__ = ["WHOLE_FROM", "as_whole", "counted", "final_scores", "known_scores", "named_scores"]

WHOLE_FROM = 0.9
"""A score is a control where it knows at least this share of the classes that the score searched by knows."""


def known_scores(options: EvrsnasStudy, arrays: SpaceArrays) -> Scores:
    """All scores of the space by name, each (n,): of the stores and files, MACs and parameters.

    "phi" is a column of a file that is called so or, of stores, what most classes were scored by, of equals after the
    most steps; nothing else is phi.

    Raises:
        ConfigError: where a store or file has no scores of the space, or two of them share a name.
    """
    from search.evrsnas.study_scores import file_scores, stored_scores

    counts = counted(arrays)
    stored: Scores = {}
    of_files: Scores = {}
    for path in options.scores:
        if not path.exists():
            raise ConfigError(f"there is no {path}: --scores names the folder of a store, or a .csv or .parquet table")
        found = stored_scores(path, arrays) if path.is_dir() else file_scores(path, arrays)
        into = stored if path.is_dir() else of_files
        twice = [name for name in found if name in {**stored, **of_files} and name not in counts]
        if twice:
            raise ConfigError(f"{path} holds a score {twice[0]!r}, which another --scores has as well: leave one out")
        into |= found
    if not stored or "phi" in of_files:
        return {**of_files, **stored, **counts}
    most = max(stored, key=lambda name: (_classes(stored[name]), int(name.rsplit(" ", 1)[1])))
    others = {name: own for name, own in stored.items() if name != most}
    return {"phi": stored[most], **others, **of_files, **counts}


def counted(arrays: SpaceArrays) -> Scores:
    """MACs and parameters, which are known of every architecture."""
    from search.evrsnas.judging import macs_and_params

    macs, params = macs_and_params(arrays)
    return {"macs": arrays.scores(macs), "params": arrays.scores(params)}


def _classes(scores: NDArray[np.float64]) -> int:
    return int((scores == scores).sum())


def named_scores(name: str, known: Scores) -> Scores:
    """The score that is searched by, by its name or those of its parts, then all others.

    Raises:
        ConfigError: for a name that is not there.
    """
    from search.evrsnas.study_scores import combined

    return {name: combined(name, known), **{n: s for n, s in known.items() if n != name}}


def as_whole(named: Scores) -> Scores:
    """The score that is searched by and the controls: the scores that know about as much of the space as it does.

    Of two that order the space alike, such as MACs and parameters may, both stay: each is a control by its name.
    """
    first = _classes(next(iter(named.values())))
    return {name: own for name, own in named.items() if _classes(own) >= WHOLE_FROM * first}


def final_scores(options: EvrsnasStudy, known: Scores) -> NDArray[np.float64] | None:
    """What finalists are ranked by; None where there is no such round."""
    if not options.finalists:
        return None
    from search.evrsnas.study_scores import combined

    return combined(options.final_score, known)
