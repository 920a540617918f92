"""The score of a search out of a file that knows it beforehand: what `search distilled` and `search scores` write."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from search.evrsnas.beyond.score_names import NamedScore
    from search.spaces.base import Architecture, SearchSpace

__all__ = ["is_scores_file", "score_of_file"]


def is_scores_file(path: Path | None) -> bool:
    """Whether a path names a table of scores, and not the folder of a store."""
    return path is not None and path.suffix.lower() in (".parquet", ".csv") and not path.is_dir()


def score_of_file(path: Path, text: str | None, space: SearchSpace) -> NamedScore:
    """The score that a text names, of every architecture of the space; NaN of those that the file says nothing of.

    Args:
        path: a .parquet or .csv file with a column arch_str and columns of scores, higher better.
        text: names of columns joined by "+", also "macs" and "params", or "distilled_fit" and "live_macs" beside a
            column "distilled"; by default what `edgecost.stages.evrsnas.defaults` prefers.
        space: the space.

    Raises:
        ConfigError: where the file cannot be read, has not that score, or is of another space.
    """
    from edgecost.stages.evrsnas.defaults import default_score, with_fitted
    from edgecost.stages.evrsnas.scores import counted
    from search.evrsnas.arrays import arrays_of
    from search.evrsnas.beyond.score_names import NamedScore
    from search.evrsnas.study_scores import combined, file_scores
    from search.spaces.nasbench201 import NasBench201

    if not path.is_file():
        raise ConfigError(f"there is no file {path}: `edgecost search distilled --out FILE` writes one")
    if not isinstance(space, NasBench201):
        raise ConfigError(
            f"files of scores are for nasbench201, and this search is of {space.name}: leave --scores out"
        )
    arrays = arrays_of(space)
    known = with_fitted({**file_scores(path, arrays), **counted(arrays)}, arrays)
    name = text or default_score(known)
    try:
        whole = combined(name, known)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None

    def function(architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        return whole[arrays.positions(architectures)]

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    facts = {"proxy": name, "file": path.name, "file_sha256": digest, "architectures": int((whole == whole).sum())}
    return NamedScore(function, hashlib.sha256(f"{digest} {name}".encode()).hexdigest()[:32], facts)
