"""Training-free scores of a space, from names to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.spaces import chosen_space, image_source
from profiler.errors import ConfigError

if TYPE_CHECKING:
    from profiler.measure.progress import Progress

__all__ = ["score_space"]

_MOST = 100_000
"""Architectures of the largest space that is scored whole."""


def score_space(
    names: tuple[str, ...],
    out: Path,
    space_name: str,
    supernet: str | None,
    sample: int | None,
    data: Path | None,
    jobs: int,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score all isomorphism classes of a space, or `sample` of them, and write them to `out`.

    Raises:
        ConfigError: for unknown names, a sample or number of jobs below one, a space too large to be scored whole, or
            a file of other architectures.
        StorageError: where the file cannot be read or written.
    """
    from search.data import load_images
    from search.evrsnas.beyond.ranks import draw_sample
    from search.evrsnas.proxies.table import classes_of, fill_score_file

    if jobs < 1 or (sample is not None and sample < 1):
        raise ConfigError("--jobs and --sample are at least 1")
    space = chosen_space(space_name, supernet)
    if sample is None and space.size > _MOST:
        raise ConfigError(f"{space.name} has {space.size} architectures, too many to score all: give --sample N")
    archs = classes_of(space) if sample is None else draw_sample(space, sample, seed)
    images = load_images(image_source(data))
    told = progress.message if progress else lambda line: None
    missing = fill_score_file(out, space, archs, names, images, seed, jobs=jobs, told=told)
    without = ", ".join(f"{n} for {count}" for n, count in missing.items() if count) or "none"
    return {
        "sentence": f"{len(archs)} architectures of {space.name} scored by {', '.join(names)} (no score: {without}; "
        f"{images.note}); in {out}",
        "architectures": len(archs),
        "missing": missing,
        "data": images.note,
        "file": str(out),
    }
