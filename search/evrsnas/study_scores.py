"""The scores of a whole space for a study: out of the store of RMI scores, or out of any table of architectures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.evrsnas.arrays import SpaceArrays

__all__ = ["combined", "file_scores", "stored_scores"]

Floats = NDArray[np.float64]

_NAMES = ("arch_str", "architecture", "arch")
_NO_SCORES = ("arch_index", "seconds", "images_seen")
"""Columns of numbers that say where a row is from, or what it cost."""


def stored_scores(folder: Path, arrays: SpaceArrays) -> dict[str, Floats]:
    """phi of every architecture whose class is in a store, the mean over its fresh networks, by "phi IDENTITY STEP"
    with the first eight characters of what the scores depend on and the number of training steps.

    A class has a score of an identity and step where as many networks were scored as of most of its others, and none
    diverged.

    Raises:
        ConfigError: where there is no store, none of its classes is of the space, or none has a score.
    """
    from search.evrsnas.store import existing_store

    classes = {arrays.space.canonical(arrays.space.at(int(i))): i for i in np.unique(arrays.representatives)}
    found: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in existing_store(folder).rows():
        if row.architecture in classes:
            found[row.identity, row.step][row.architecture].append(row.phi)
    if not found:
        raise ConfigError(f"the score store {folder} holds no score of an architecture of {arrays.space.name}")
    scores: dict[str, Floats] = {}
    for (identity, step), by_class in sorted(found.items()):
        counts = [len(values) for values in by_class.values()]
        usual = max(set(counts), key=lambda n: (counts.count(n), n))
        own = np.full(len(arrays), np.nan)
        for name, values in by_class.items():
            if len(values) >= usual:
                own[classes[name]] = np.mean(values)
        if np.isfinite(own).any():
            scores[f"phi {identity[:8]} {step}"] = arrays.scores(own)
    if not scores:
        raise ConfigError(
            f"the score store {folder} holds no score: the training of every architecture diverged; score with another "
            "preset"
        )
    return scores


def file_scores(path: Path, arrays: SpaceArrays) -> dict[str, Floats]:
    """Every column of numbers of a .csv or .parquet file with a column arch_str, by name; higher is better.

    Raises:
        ConfigError: where the file cannot be read, names no architectures or those of another space, or holds no
            scores.
    """
    from profiler.tables.formats.columns import read_frame

    frame = read_frame(path)
    names = next((name for name in _NAMES if name in frame.columns), None)
    if names is None:
        raise ConfigError(f"{path} names no architectures: it needs a column {_NAMES[0]}")
    space = arrays.space
    try:
        read = [space.parse(str(text)) for text in frame[names]]  # type: ignore[attr-defined]
    except (AttributeError, ConfigError) as error:
        raise ConfigError(f"{path} holds scores of another space than {space.name}: {error}") from None
    positions = arrays.positions(read)
    if len(np.unique(positions)) != len(positions):
        raise ConfigError(f"{path} holds an architecture twice")
    scores: dict[str, Floats] = {}
    for name in frame.columns:
        if name == names or name in _NO_SCORES or frame[name].dtype.kind not in "iuf":
            continue
        if "_acc" in name or "accuracy" in name:
            raise ConfigError(f"{path}: {name!r} is an accuracy, which judges and never guides; leave it out")
        own = np.full(len(arrays), np.nan)
        own[positions] = frame[name].to_numpy(dtype=np.float64)
        scores[name] = arrays.scores(own)
    if not scores:
        raise ConfigError(f"{path} holds no column of scores")
    return scores


def combined(text: str, scores: Mapping[str, Floats]) -> Floats:
    """The mean rank over scores joined by "+", such as "phi+macs"; phi alone as it is, others alone by their rank.

    The penalty is in units of the score, and counts such as MACs would make nothing of it.

    Raises:
        ConfigError: for a name that is not there.
    """
    from search.evrsnas.beyond.ranks import mean_ranks

    parts = [part.strip() for part in text.split("+")]
    lacking = [part for part in parts if part not in scores]
    if lacking:
        raise ConfigError(f"there is no score {lacking[0]!r}; known are {', '.join(scores)}")
    if len(parts) == 1 and (parts[0] == "phi" or parts[0].startswith("phi ")):
        return scores[parts[0]]
    return mean_ranks([scores[part] for part in parts])
