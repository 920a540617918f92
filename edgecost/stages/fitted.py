"""The predictor of a target, fitted once, when it was measured, and kept: a process that asks reads its coefficients.

What is kept holds for the very files that it was fitted on and for the very code that fitted it; where either has
changed it is fitted anew. It is derived, and safe to delete.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.places import predictor_cache
from profiler.errors import ConfigError, EdgeCostError, StorageError
from profiler.workloads.identity import digest

if TYPE_CHECKING:
    from predictors.additive import AdditiveModel

__all__ = ["Fitted", "fitted_predictor", "keep_predictors"]

_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Fitted:
    """A predictor and what people have to know about its table.

    Attributes:
        target_id: what it predicts for.
        model: the predictor.
        kinds: the kinds of kernels of which the table has rows on this target.
        notes: what stays out of the table, or should have, in sentences.
        cut: a sentence on how networks are cut; "" where it is as ever.
        simulated: whether no board stood behind the table.
    """

    target_id: str
    model: AdditiveModel
    kinds: frozenset[str]
    notes: tuple[str, ...] = ()
    cut: str = ""
    simulated: bool = False


def fitted_predictor(results: Path, target: str) -> Fitted:
    """The predictor of a target, fitted on the table of a folder of results, or as it was kept.

    Args:
        results: the folder of runs, or a table's file, as `costs.load_table` takes it.
        target: a target's id, or a device with one target.

    Raises:
        StorageError: there is no run, or one cannot be read.
        UnknownWorkload: the table lacks the target, or rows that a fit needs.
        ConfigError: the target's name means several, or measured and simulated boards are mixed.
    """
    state = _state_of(results)
    kept = _read(_place(results, target), state)
    if kept is not None:
        return kept
    found = _fit(results, target)
    for name in dict.fromkeys((target, found.target_id)):
        _write(_place(results, name), found, state)
    return found


def keep_predictors(results: Path, target_ids: Iterable[str]) -> None:
    """Fit and keep the predictors of targets that were just measured, under their ids and, where that is enough, the
    names of their devices: whoever asks next, from a fresh process, waits for no fit.

    Targets with too few rows for a predictor are passed over; `fitted_predictor` says what they lack.
    """
    for target_id in dict.fromkeys(target_ids):
        for name in (target_id.split("/", 1)[0], target_id):
            with suppress(EdgeCostError):
                fitted_predictor(results, name)


def _place(results: Path, target: str) -> Path:
    return predictor_cache() / f"{digest(results.absolute().as_posix(), target)[:24]}.json"


def _fit(results: Path, target: str) -> Fitted:
    from edgecost.stages.choices import fit_chosen
    from edgecost.stages.costs import emulated_note, is_simulated, load_table, resolve_target
    from predictors.measured import Measurements

    table = load_table(results)
    target_id = resolve_target(table, target)
    model, cut = fit_chosen(table, target_id)
    kinds = frozenset(point.kernel.kind for point in Measurements.from_table(table, target_id).kernels)
    note = emulated_note(table)
    notes = (*((note,) if note else ()), *table.notes)
    return Fitted(target_id, model, kinds, notes, cut, is_simulated(table, target_id))


# -------------------------------------------------------------------- keeping it


def _state_of(results: Path) -> str:
    """What a fit depends on: our own code, and the files below the results, by size and time of their last change."""
    import predictors
    import profiler

    code = (path for package in (predictors, profiler) for path in Path(package.__path__[0]).rglob("*.py"))
    # runs, what was chained in pairs, the choice of a cut; digests beside the journals are made by reading these
    found = (path for depth in ("*", "*/*/*", "*/*/*/*") for path in results.glob(depth))
    runs: Iterator[Path] = found if results.is_dir() else iter((results,))
    return digest(_SCHEMA, _stamps(code), _stamps(path for path in runs if path.suffix in _TRUTH))


_TRUTH = (".json", ".jsonl", ".parquet")


def _stamps(paths: Iterable[Path]) -> list[list[str | int]]:
    found: list[list[str | int]] = []
    for path in sorted(paths):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.append([path.as_posix(), stat.st_ino, stat.st_size, stat.st_mtime_ns])
    return found


def _read(path: Path, state: str) -> Fitted | None:
    """What was kept; None where there is nothing, or nothing of use (it can be fitted again)."""
    from predictors.additive import AdditiveModel
    from predictors.models import find_model

    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
        if data["state"] != state:
            return None
        model = find_model(str(data["model"]["model"])).from_dict(data["model"])
        if not isinstance(model, AdditiveModel):
            return None
        rest = frozenset(data["kinds"]), tuple(data["notes"]), str(data["cut"]), bool(data["simulated"])
        return Fitted(str(data["target_id"]), model, *rest)
    except (OSError, ValueError, KeyError, TypeError, ConfigError, StorageError):
        return None


def _write(path: Path, found: Fitted, state: str) -> None:
    from search.files import write_text

    data = {
        "state": state,
        "target_id": found.target_id,
        "kinds": sorted(found.kinds),
        "notes": list(found.notes),
        "cut": found.cut,
        "simulated": found.simulated,
        "model": found.model.to_dict(),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(data, allow_nan=False))
    except (OSError, StorageError):
        return  # where nothing may be written, every process fits anew
