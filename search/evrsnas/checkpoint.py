"""The state of a running evolution on disk, so that it goes on where it was killed and ends the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from profiler.errors import ConfigError, StorageError
from search.evrsnas.records import Evaluation, Generation
from search.files import write_text

__all__ = ["Checkpoint", "read_checkpoint", "write_checkpoint"]

_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that the next generation depends on.

    Attributes:
        identity: what the search is (space, configuration, initial random state); another's state is refused.
        population: the evaluations of the current population.
        archive: every evaluation so far, in order of appearance.
        history: one entry a generation so far.
        rng_state: the state of the random generator's bit generator.
    """

    identity: Mapping[str, Any]
    population: tuple[Evaluation, ...]
    archive: tuple[Evaluation, ...]
    history: tuple[Generation, ...]
    rng_state: Mapping[str, Any]


def write_checkpoint(path: Path, state: Checkpoint) -> None:
    """Replace the checkpoint at `path` by `state`, atomically (StorageError where it cannot be written)."""
    data = {
        "schema": _SCHEMA,
        "identity": state.identity,
        "population": [e.to_dict() for e in state.population],
        "archive": [e.to_dict() for e in state.archive],
        "history": [asdict(g) for g in state.history],
        "rng_state": state.rng_state,
    }
    write_text(path, json.dumps(data, allow_nan=False))


def read_checkpoint(path: Path, identity: Mapping[str, Any]) -> Checkpoint | None:
    """The state stored at `path`, or None where there is none.

    Raises:
        ConfigError: where it belongs to another search.
        StorageError: where it cannot be read.
    """
    if not path.exists():
        return None
    remedy = "remove it to start this search anew"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != _SCHEMA:
            raise StorageError(f"{path} has checkpoint schema {data['schema']}, not {_SCHEMA}: {remedy}")
        if data["identity"] != json.loads(json.dumps(identity)):
            raise ConfigError(f"{path} is the checkpoint of another search: {remedy}, or name another folder")
        return Checkpoint(
            data["identity"],
            tuple(Evaluation.from_dict(e) for e in data["population"]),
            tuple(Evaluation.from_dict(e) for e in data["archive"]),
            tuple(Generation(**g) for g in data["history"]),
            data["rng_state"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"the checkpoint {path} cannot be read ({error}): {remedy}") from None
