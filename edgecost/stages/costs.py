"""Tables and predictors: load, fit, validate, predict."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.errors import ConfigError, UnknownWorkload
from profiler.tables.row import ROW_KINDS, SIMULATED

if TYPE_CHECKING:
    from predictors.additive import AdditiveModel
    from profiler.tables.table import CostTable, Row
    from profiler.workloads.ops import Shape

__all__ = [
    "HEADLINE_MODEL",
    "SIMULATED_WORDS",
    "emulated_note",
    "finite",
    "finite_row",
    "fit_and_save",
    "fit_model",
    "is_simulated",
    "load_table",
    "predict_energy",
    "predictor_file",
    "resolve_target",
    "row_dict",
    "table_rows",
    "write_json",
]

HEADLINE_MODEL = "additive"

SIMULATED_WORDS = f" ({SIMULATED}: no figure here is one of any hardware)"
"""What a sentence about figures ends with where no board stood behind them."""


def write_json(path: Path, data: Any) -> Path:
    """Write a JSON file by way of a temporary one, so that a half-written file is never found.

    Raises:
        StorageError: when it cannot be written.
    """
    from search.files import write_text

    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")
    return path


def load_table(results: Path, *, with_emulated: bool = False) -> CostTable:
    """The cost table of all runs below a folder, without those of emulated processors unless they are asked for; or,
    of a name ending in .json or .parquet, the table that was exported or imported there.

    Raises:
        StorageError: when there is no run.
        ConfigError: when some are of simulated boards and others are not, or the file is no table.
    """
    from profiler.tables.table import CostTable

    if results.suffix.lower() in (".json", ".parquet") and not results.is_dir():
        return CostTable.load(results)
    return CostTable.from_results(results, with_emulated=with_emulated)


def emulated_note(table: CostTable) -> str:
    """One sentence where measurements of emulated processors were left out of a table, or let in; else ""."""
    if table.left_out:
        return (
            f"{sum(table.left_out.values())} measurements of {', '.join(sorted(table.left_out))} were left out: the "
            "processor is emulated, and its latencies say nothing about any hardware."
        )
    emulated = sorted({row.target_id for row in table.all_rows if "emulated" in row.issues})
    if emulated:
        return (
            f"The table holds rows of {', '.join(emulated)}, as asked: the processor is emulated, and its latencies "
            "say nothing about any hardware."
        )
    return ""


def resolve_target(table: CostTable, name: str) -> str:
    """The target id that a name means in a table: the id itself, or a device with one target.

    Raises:
        UnknownWorkload: when the table has no rows for it.
    """
    ids = sorted(t.id for t in table.targets)
    found = [i for i in ids if i == name or i.split("/", 1)[0] == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"{name!r} has several targets in the table; say which: {', '.join(found)}")
    if any(i == name or i.split("/", 1)[0] == name for i in table.left_out):
        raise UnknownWorkload(
            f"the table has no rows for {name!r}: its processor is emulated, and such latencies enter no table unless "
            "they are asked for; choose a board"
        )
    raise UnknownWorkload(
        f"the table has no rows for {name!r}; it knows {', '.join(ids) or 'no target'}; "
        f"measure with `edgecost profile --target {name} --space nasbench201`"
    )


def is_simulated(table: CostTable, target_id: str) -> bool:
    """Whether no board stood behind a target's rows."""
    return any(row.emulation == SIMULATED for row in table.rows(target_id))


def table_rows(table: CostTable, target: str | None, kind: str) -> list[Row]:
    """Rows of one target or of all, dearest first."""
    if kind not in (*ROW_KINDS, "all"):
        raise ConfigError(f"--kind is {', '.join(ROW_KINDS)} or all, not {kind!r}")
    target_id = resolve_target(table, target) if target else None
    rows = table.rows(target_id=target_id, kind=None if kind == "all" else kind)  # type: ignore[arg-type]
    return sorted(rows, key=lambda r: (r.target_id, r.kind, -r.latency_ns if math.isfinite(r.latency_ns) else 0.0))


def _us(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value / 1000


def row_dict(row: Row) -> dict[str, Any]:
    """One row as people read it, in microseconds."""
    return {
        "target": row.target_id,
        "kind": row.kind,
        "key": row.key,
        "label": row.label,
        "latency_us": _us(row.latency_ns),
        "low_us": _us(row.low_ns),
        "high_us": _us(row.high_ns),
        "isolated_us": _us(row.isolated_ns),
        "spread_pct": None if row.spread is None or not math.isfinite(row.spread) else 100 * row.spread,
        "rounds": row.n_rounds,
        "status": row.status,
        "issues": list(row.issues),
        "split": row.split,
        "energy_mj": row.energy_mj,
        "energy_u_mj": row.energy_u_mj,
        "energy_gross_mj": row.energy_gross_mj,
        "energy_upper_mj": row.energy_upper_mj,
        "energy_scope": row.energy_scope,
        "emulation": row.emulation,
        "gated": row.gated,
    }


def fit_model(table: CostTable, target_id: str) -> AdditiveModel:
    """The network-level predictor of a target, fitted on its kernels and on its networks of split "fit", under the cut
    and isolation that were chosen for it (`edgecost.stages.choices`)."""
    from edgecost.stages.choices import fit_chosen

    return fit_chosen(table, target_id)[0]


def fit_and_save(table: CostTable, target: str, results: Path, out: Path | None) -> dict[str, Any]:
    """Fit and write the predictor as JSON; returns what was fitted."""
    from edgecost.stages.choices import fit_chosen
    from predictors.storage import save_model

    target_id = resolve_target(table, target)
    path = predictor_file(target_id, results, out)
    model, cut = fit_chosen(table, target_id)
    save_model(model, path)
    overhead = model.overhead_
    sentence = (
        f"{target_id}: {overhead.form} overhead of {overhead.constant_ms * 1000:.1f} µs a run"
        f"{'' if overhead.scale == 1 else f', kernels x {overhead.scale:.3f}'}; saved to {path}"
        f"{f'; {cut}' if cut else ''}"
    )
    return {
        "target": target_id,
        "file": str(path),
        "overhead": {
            "form": overhead.form,
            "constant_ms": overhead.constant_ms,
            "dispatch_ms": overhead.dispatch_ms,
            "scale": overhead.scale,
        },
        "cut": cut,
        "left_out": list(model.skipped_),
        "sentence": sentence,
        "simulated": is_simulated(table, target_id),
    }


def predictor_file(target_id: str, results: Path, out: Path | None, suffix: str = "") -> Path:
    """Where a target's predictor goes: where it was said, or into the folder of results.

    Raises:
        ConfigError: nobody said it, and the results are a table's file.
    """
    if out is None and results.is_file():
        raise ConfigError(f"--results {results} is a table and no folder; say with --out where the predictor goes")
    return out or results / "predictors" / f"{target_id.replace('/', '-')}{suffix}.json"


def finite(value: float) -> float | None:
    """The value, or None, as JSON has no word for what is infinite or unknown."""
    return value if math.isfinite(value) else None


def finite_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A flat row with None for every float that is infinite or unknown."""
    return {name: finite(value) if isinstance(value, float) else value for name, value in row.items()}


def predict_energy(
    table: CostTable, path: Path, target: str, input_shapes: Mapping[str, Shape] | None = None
) -> dict[str, Any]:
    """What an ONNX file draws on a target, in mJ a run; unknown operators make it a lower bound.

    Raises:
        UnknownWorkload, ConfigError: as `EnergyModel.fit`.
    """
    from predictors.energy import EnergyModel
    from profiler.workloads.importer import read_onnx

    target_id = resolve_target(table, target)
    read = read_onnx(path, input_shapes)
    found = EnergyModel().fit(table, target_id).estimate(read.workload)
    complete = found.complete and not read.unsupported
    interval = f"{found.low_mj:.3f} to {found.high_mj:.3f} mJ at {found.level:.0%}"
    return {
        "target": target_id,
        "model": str(path),
        "energy_mj": found.energy_mj,
        "low_mj": finite(found.low_mj),
        "high_mj": finite(found.high_mj) if complete else None,
        "scope": found.scope,
        "level": found.level,
        "complete": complete,
        "notes": list(read.notes),
        "not_covered": [*found.missing, *(f"{u.name or u.op_type}: {u.reason}" for u in read.unsupported)],
        "unsupported": [{"name": u.name, "op_type": u.op_type, "reason": u.reason} for u in read.unsupported],
        "sentence": f"{found.energy_mj:.3f} mJ a run above rest ({interval}; {found.scope})"
        if complete
        else f"at least {found.energy_mj:.3f} mJ a run above rest ({found.scope}): parts are not covered",
        "simulated": is_simulated(table, target_id),
    }
