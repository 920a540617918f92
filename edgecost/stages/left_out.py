"""Validation by leaving out: kernels, kinds, families and networks in turn; RESULTS/left_out.json and its reading."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import load_table, resolve_target, write_json
from profiler.errors import StorageError, UnknownWorkload

if TYPE_CHECKING:
    from predictors.left_out import LeftOut, Point
    from profiler.tables.table import CostTable

__all__ = ["COMMAND", "FILE", "WHAT", "leave_out", "read_left_out", "read_left_out_file"]

FILE = "left_out.json"
SCHEMA = 1

WHAT = "validation by leaving out"
COMMAND = "edgecost validate --left-out"
"""What a sentence calls such a file, and what writes it."""


def leave_out(results: Path, targets: Sequence[str], seeds: int, out: Path | None = None) -> dict[str, Any]:
    """Leave kernels and networks of every target out in turn, and write RESULTS/left_out.json, or `out`.

    Args:
        results: the folder of runs.
        targets: only these; all of the table otherwise.
        seeds: so many draws of folds.
        out: another file to write.

    Raises:
        UnknownWorkload: no target has kernels or networks enough.
        StorageError: the file cannot be written.
    """
    table = load_table(results)
    ids = [resolve_target(table, name) for name in targets] or sorted(t.id for t in table.targets)
    found = [_of_target(table, target_id, seeds) for target_id in ids]
    if not any(target["rows"] for target in found):
        raise UnknownWorkload(" ".join(note for target in found for note in target["notes"]))
    path = results / FILE if out is None else out
    write_json(path, {"schema": SCHEMA, "seeds": seeds, "targets": found})
    return {"file": str(path), "seeds": seeds, "targets": found}


_DIGITS = 5


def _measured(table: CostTable, target_id: str) -> list[dict[str, Any]]:
    """The runs that a target's figures come from: when each began, and on what."""
    run_ids = {row.run_id for row in table.rows(target_id)}
    found = []
    for source in sorted(Path(source) for source in table.sources):
        if source.name in run_ids and (source / "run.json").is_file():
            run = json.loads((source / "run.json").read_text(encoding="utf-8"))
            facts = run.get("facts", {})
            found.append(
                {
                    "run": source.name,
                    "started": run.get("started", ""),
                    "board": run.get("device", {}).get("description", ""),
                    "processor": facts.get("cpu_model", ""),
                    "cores": facts.get("logical_cores"),
                    "runtimes": facts.get("runtimes", {}),
                }
            )
    return found


def _of_target(table: CostTable, target_id: str, seeds: int) -> dict[str, Any]:
    from predictors.left_out import kernels_left_out, networks_left_out
    from predictors.measured import Measurements, model_points
    from predictors.models import standard_models

    measurements = Measurements.from_table(table, target_id)
    networks = [p for split in ("fit", "held_out") for p in model_points(table, target_id, split)]
    rows: list[LeftOut] = []
    notes: list[str] = []
    points: dict[str, list[Point]] = {}
    try:
        found, points["kernels"] = kernels_left_out(measurements.kernels, range(seeds))
        rows += found
    except UnknownWorkload as error:
        notes.append(f"{target_id}: {error}")
    try:
        found, points["networks"] = networks_left_out(
            lambda: standard_models(measurements), measurements, networks, range(seeds)
        )
        rows += found
    except UnknownWorkload as error:
        notes.append(f"{target_id}: {error}")
    emulation = next((row.emulation for row in table.rows(target_id)), "")
    return {
        "target": target_id,
        "emulation": emulation,
        "measured": _measured(table, target_id),
        "rows": [_rounded(row.to_dict()) for row in rows],
        "points": {name: [_plain(p) for p in of] for name, of in points.items()},
        "notes": notes,
    }


def _plain(point: Point) -> dict[str, Any]:
    return _rounded(asdict(point))


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Plain values, None for what is not finite; no more digits than a figure is worth, as there are thousands."""
    return {k: _plain_value(v) if isinstance(v, float) else v for k, v in values.items()}


def _plain_value(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def read_left_out(results: Path) -> list[dict[str, Any]]:
    """The targets of RESULTS/left_out.json; none where nothing was left out.

    Raises:
        StorageError: the file cannot be read, or is no such file.
    """
    path = results / FILE
    return read_left_out_file(path) if path.exists() else []


def read_left_out_file(path: Path) -> list[dict[str, Any]]:
    """The targets of a file that `leave_out` wrote.

    Raises:
        StorageError: it cannot be read, or is no such file.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] > SCHEMA:
            raise StorageError(f"{path} has schema {data['schema']}, newer than {SCHEMA}; update edgecost")
        known = ("target", "emulation", "rows", "points", "notes")
        return [{**{n: one[n] for n in known}, "measured": one.get("measured", [])} for one in data["targets"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} is no {WHAT} ({error!r}); `{COMMAND}` writes one") from None
