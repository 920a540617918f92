"""What a model file needs in memory on a target: counted, since no board reports it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import resolve_target

if TYPE_CHECKING:
    from profiler.tables.table import CostTable
    from profiler.workloads.ops import Shape

__all__ = ["predict_memory"]

_KIB = 1024


def predict_memory(
    table: CostTable, path: Path, target: str, input_shapes: Mapping[str, Shape] | None = None
) -> dict[str, Any]:
    """The least that an ONNX file needs at its peak on a target, and of what it is made.

    Raises:
        UnknownWorkload: the table does not know the target.
        ConfigError: the file cannot be read.
    """
    from predictors.memory import MemoryModel
    from profiler.workloads.importer import read_onnx

    target_id = resolve_target(table, target)
    read = read_onnx(path, input_shapes)
    found = MemoryModel().fit(table, target_id).estimate(read.workload)
    parts = ", ".join(f"{part.label} {part.peak_bytes / _KIB:,.0f} KiB" for part in found.by_op)
    return {
        "target": target_id,
        "model": str(path),
        **found.to_dict(),
        "complete": False,
        "notes": list(read.notes),
        "not_covered": [f"{u.name or u.op_type}: {u.reason}" for u in read.unsupported],
        "unsupported": [{"name": u.name, "op_type": u.op_type, "reason": u.reason} for u in read.unsupported],
        "sentence": f"at least {found.peak_bytes / _KIB:,.0f} KiB at its peak ({parts}); {found.interval}",
    }
