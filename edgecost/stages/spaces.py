"""From what a user or a study names to a search space and images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.errors import ConfigError

if TYPE_CHECKING:
    from search.spaces.base import SearchSpace
    from search.spaces.mixconv import MixConv

__all__ = ["chosen_space", "image_source", "mixconv_of", "space_of"]


def chosen_space(space: str, supernet: str | None = None) -> SearchSpace:
    """The space of a name; where a supernet is given, bundled or a file, that of the supernet.

    Raises:
        ConfigError: for an unknown space, a supernet that is none, or one beside another space.
    """
    from search.spaces import find_space

    if supernet is None:
        return find_space(space)
    if space != "mixconv":
        raise ConfigError(f"--supernet belongs to the space mixconv, not to {space!r}; leave one of the two out")
    return mixconv_of(supernet)


def image_source(data: Path | None) -> str:
    """What `search.data.load_images` and a study's file call the images: a path, or the bundled digits."""
    return "digits" if data is None else str(data)


def mixconv_of(supernet: str) -> MixConv:
    """The space of a supernet, bundled or a file.

    Raises:
        ConfigError: where there is none, or the file describes choices that cannot be.
    """
    from search.spaces.mixconv import MixConv
    from search.spaces.supernet import read_supernet

    return MixConv(read_supernet(supernet))


def space_of(study: Mapping[str, Any]) -> SearchSpace:
    """The space that a study searched: from the definition that it carries, else by its name.

    Raises:
        ConfigError: where the definition is none, or no space has that name.
    """
    from search.spaces import find_space
    from search.spaces.mixconv import MixConv
    from search.spaces.supernet import supernet_of

    facts = study.get("facts")
    definition = facts.get("space") if isinstance(facts, Mapping) else None
    if isinstance(definition, Mapping) and "supernet" in definition:
        return MixConv(supernet_of(definition["supernet"], "of the study"))
    return find_space(study["space"])
