"""Our own tables as figures, target by target and kind by kind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from profiler.errors import ConfigError
from profiler.tables.audit.classes import UNKNOWN, guess_class
from profiler.tables.audit.figures import Figures, Floats
from profiler.tables.row import Row
from profiler.workloads.graph import Workload

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["figures_of_rows", "is_own", "rows_of_csv"]

_COLUMNS = frozenset({"target_id", "key", "kind", "latency_ns", "low_ns", "high_ns"})
_NS_PER_MS = 1e6
_SIZES = frozenset({"out_channels", "out_features", "shape", "position", "sizes", "bias"})


def is_own(path: Path) -> bool:
    """Whether a file is what `edgecost table export` writes as .json or .parquet, as far as its head tells."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".json":
            data = json.loads(path.read_bytes())
            return isinstance(data, dict) and "rows" in data
        if suffix == ".parquet":
            import pyarrow.parquet as pq  # type: ignore[import-untyped]

            return b"edgecost" in (pq.read_schema(path).metadata or {})
    except (OSError, ValueError):
        return False
    return False


def rows_of_csv(frame: pd.DataFrame, path: Path) -> list[Row] | None:
    """The rows of an exported .csv, which `path` names in complaints; None where a frame is none.

    Raises:
        ConfigError: it has our columns, and a row that is none.
    """
    if not set(frame.columns) >= _COLUMNS:
        return None
    known = [name for name in frame.columns if name in Row.__dataclass_fields__]
    rows = []
    for number, record in enumerate(frame[known].to_dict("records")):
        values: dict[str, Any] = {str(k): None if _empty(v) else v for k, v in record.items()}
        texts = {name: "" if values.get(name) is None else str(values[name]) for name in _texts(values)}
        try:
            rows.append(Row.from_dict({**values, **texts, "issues": str(values.get("issues") or "").split()}))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}: row {number} is not one of an exported table ({error!r})") from None
    return rows


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _texts(values: dict[str, Any]) -> list[str]:
    fields = Row.__dataclass_fields__
    return [name for name in values if name in fields and fields[name].type in ("str", "RowKind", "RowStatus")]


def figures_of_rows(rows: Iterable[Row], workloads: Mapping[str, Workload], source: str) -> list[Figures]:
    """The figures of every target and kind.

    Args:
        rows: of a table, doubled ones too.
        workloads: by key, as far as they are known.
        source: for people.

    Raises:
        ConfigError: there are no rows.
    """
    groups: dict[tuple[str, str], list[tuple[int, Row]]] = {}
    for index, row in enumerate(rows):
        groups.setdefault((row.target_id, row.kind), []).append((index, row))
    if not groups:
        raise ConfigError(f"{source} holds no rows to audit")
    return [_of_group(f"{target} {kind}s", numbered, workloads, source) for (target, kind), numbered in groups.items()]


def _of_group(device: str, numbered: Sequence[tuple[int, Row]], known: Mapping[str, Workload], source: str) -> Figures:
    rows = [row for _, row in numbered]
    kind = rows[0].kind
    latency = _column(rows, "latency_ns") / _NS_PER_MS
    energy = _column(rows, "energy_mj")
    workloads = [known[row.key] for row in rows if row.key in known]
    # an emulated processor keeps to no device's bounds
    real = rows[0].emulation in ("", "loopback")
    codes = Counter(code for row in rows for code in row.issues)
    return Figures(
        source,
        device,
        tuple(f"{row.label or 'unnamed'} [{row.key[:12]}]" for row in rows),
        np.array([index for index, _ in numbered], dtype=np.int64),
        latency_ms=latency,
        energy_mj=energy if np.any(np.isfinite(energy)) else None,
        deviation_ms=np.abs(latency) * _column(rows, "spread"),
        count=np.array([float(row.n_rounds) if row.has_figure else nan for row in rows]),
        low_ms=_column(rows, "low_ns") / _NS_PER_MS,
        high_ms=_column(rows, "high_ns") / _NS_PER_MS,
        whole=kind == "model",
        signed=np.array(["negative_slope" in row.issues for row in rows]),
        missing_why=dict(Counter(row.status for row in rows if not row.has_figure)),
        ordered=False,  # rows stand by key; the journal has the order of measurement
        device_class=guess_class(device) if real else UNKNOWN,
        comments=tuple(f"{n} of {len(rows)} rows carry the code {code}" for code, n in codes.most_common()),
        **(_of_workloads(workloads, kind) if len(workloads) == len(rows) else {}),
    )


def _column(rows: Sequence[Row], name: str) -> Floats:
    values = [getattr(row, name) for row in rows]
    return np.array([nan if value is None else value for value in values], dtype=np.float64)


def _of_workloads(workloads: Sequence[Workload], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {"macs": np.array([w.macs for w in workloads], dtype=np.float64)}
    if kind != "model":
        moved = [w.bytes_read + w.bytes_written for w in workloads]
        found["traits"] = {"multiply-adds": found["macs"], "bytes moved": np.array(moved, dtype=np.float64)}
        found["family"] = tuple(_signature(w) for w in workloads)
    return found


def _signature(workload: Workload) -> str:
    """Kinds of operators with what decides which code runs: all attributes but sizes."""
    found = []
    for op in workload.ops:
        attrs = [f"{name}={value}" for name, value in op.attrs if name not in _SIZES and name != "groups"]
        grouped = [] if dict(op.attrs).get("groups", 1) == 1 else ["grouped"]
        found.append(" ".join([op.kind, *attrs, *grouped]))
    return ", ".join(found)
