"""The state of a search between two steps, as a file (see `plain_files`). This module imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from profiler.errors import ConfigError, StorageError
from search.s3nas.running.plain_files import read_plain, write_plain

__all__ = ["SearchState", "read_state", "write_state"]

_KIND = "supernet search, schema 1"
_REMEDY = "remove it to start this search anew, or name another folder"


@dataclass(frozen=True, slots=True, eq=False)
class SearchState:
    """Everything that the steps to come depend on; random numbers are functions of seed and step.

    Attributes:
        identity: what the search is, part by part: what a part is called -> its digest.
        step: steps done.
        seconds: spent on them.
        supernet, average, optimiser: their states.
        course: its points as plain values.
    """

    identity: dict[str, str]
    step: int
    seconds: float
    supernet: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    course: list[dict[str, Any]]


def write_state(path: Path, state: SearchState) -> None:
    """Write a checkpoint over the one before, so that there is always a whole one.

    Raises:
        StorageError: where it cannot be written.
    """
    write_plain(path, _KIND, {field.name: getattr(state, field.name) for field in fields(state)})


def read_state(path: Path, identity: Mapping[str, str]) -> SearchState | None:
    """The checkpoint at `path`, its tensors on the CPU; None where there is none.

    Raises:
        ConfigError: where it belongs to another search; it says what differs.
        StorageError: where it cannot be read, is damaged or no such checkpoint.
    """
    values = read_plain(path, _KIND, _REMEDY)
    if values is None:
        return None
    try:
        state = SearchState(**values)
    except TypeError as error:
        raise StorageError(f"the checkpoint {path} is not one of a supernet search: {_REMEDY}") from error
    other = [part for part in identity if state.identity.get(part) != identity[part]]
    if other:
        raise ConfigError(f"{path} is the checkpoint of another search (other {', '.join(other)}): {_REMEDY}")
    return state
