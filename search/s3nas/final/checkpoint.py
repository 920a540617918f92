"""The state of a final training between two steps, as a file. This module imports torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from search.s3nas.running.plain_files import read_plain, write_plain

__all__ = ["FinalState", "read_state", "write_state"]

_KIND = "final training, schema 1"


@dataclass(frozen=True, slots=True, eq=False)
class FinalState:
    """Everything that the steps to come depend on; random numbers are functions of seed and step.

    Attributes:
        identity: of the training.
        step: steps done.
        seconds: spent on them.
        module, average, optimiser: their states.
        losses: of the steps since the last point of the course.
        course: its points (step, loss, learning rate).
    """

    identity: str
    step: int
    seconds: float
    module: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    losses: list[float]
    course: list[tuple[int, float, float]]


def write_state(path: Path, state: FinalState) -> None:
    """Write a checkpoint over the one before.

    Raises:
        StorageError: where it cannot be written.
    """
    write_plain(path, _KIND, {field.name: getattr(state, field.name) for field in fields(state)})


def read_state(path: Path) -> FinalState | None:
    """The checkpoint at `path`, its tensors on the CPU; None where there is none.

    Raises:
        StorageError: where it cannot be read, is damaged or no such checkpoint.
    """
    values = read_plain(path, _KIND, "delete it and the training starts again")
    return None if values is None else FinalState(**values)
