"""A cost table as one file: .json and .parquet hold all of it and are read back, .csv holds the rows for other eyes."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, fields
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.errors import ConfigError, EdgeCostError, StorageError
from profiler.fleet.targets import Target
from profiler.measure.journal import storage_error
from profiler.measure.runfolder import edgecost_version, write_atomically
from profiler.tables.provenance import Provenance
from profiler.tables.row import NUMBERS, Gates, Row
from profiler.workloads.graph import Workload

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

    from profiler.tables.table import CostTable

__all__ = ["TABLE_SCHEMA_VERSION", "load_contents", "write_table"]

TABLE_SCHEMA_VERSION = 2
"""2 has energies with their uncertainty; what 1 calls energy_mj is what 2 calls energy_gross_mj."""
OLDEST_SCHEMA_VERSION = 1
"""The oldest that is still read."""
_METADATA_KEY = b"edgecost"
_COLUMNS = tuple(f.name for f in fields(Row))


def write_table(table: CostTable, path: Path) -> None:
    """Write a table in the format that the name ends in.

    Raises:
        ConfigError: another ending.
        StorageError: the file cannot be written; one that was there stays.
    """
    rows = [row.to_dict() for row in table.all_rows]
    suffix = path.suffix.lower()
    if suffix == ".json":
        text = json.dumps({**_contents(table), "rows": rows}, indent=1, allow_nan=False)
        write_atomically(path, [text.encode(), b"\n"])
    elif suffix == ".csv":
        write_atomically(path, [_csv(rows).encode()])
    elif suffix == ".parquet":
        write_atomically(path, [_parquet(rows, _contents(table))])
    else:
        raise ConfigError(f"cannot export to {path}: the name must end in .csv, .parquet or .json")


def load_contents(path: Path) -> dict[str, Any]:
    """The arguments of `CostTable` that a .json or .parquet file holds.

    Raises:
        ConfigError: a missing file, another ending, or not a table.
        StorageError: the file cannot be read, or is of a newer schema or of one that is too old.
    """
    suffix = path.suffix.lower()
    if suffix not in (".json", ".parquet"):
        raise ConfigError(f"cannot load a table from {path}: the name must end in .json or .parquet")
    try:
        data = json.loads(path.read_bytes()) if suffix == ".json" else _read_parquet(path)
    except FileNotFoundError:
        raise ConfigError(f"there is no table {path}; make one with `edgecost table export`") from None
    except OSError as error:
        raise storage_error("read table", path, error) from None
    except ValueError:
        raise ConfigError(f"{path} is not a cost table; make one with `edgecost table export`") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if isinstance(schema, int) and schema > TABLE_SCHEMA_VERSION:
        raise StorageError(f"{path} has schema {schema}, newer than {TABLE_SCHEMA_VERSION}; update edgecost to read it")
    if isinstance(data, dict) and "rows" in data and (not isinstance(schema, int) or schema < OLDEST_SCHEMA_VERSION):
        said = f"schema {schema}" if isinstance(schema, int) else "no schema"
        raise StorageError(
            f"{path} has {said}, and tables are read from {OLDEST_SCHEMA_VERSION} on: what older ones mean by their "
            "figures is not known; make it again from its runs with `edgecost table export`"
        )
    try:
        raw = [dict(row) for row in data["rows"]]
        contents = {
            "targets": [Target(**target) for target in data["targets"]],
            "workloads": {str(k): Workload.from_dict(w) for k, w in data["workloads"].items()},
            "gates": Gates(**data["gates"]),
            "corrupt_lines": int(data["corrupt_lines"]),
            "sources": [str(source) for source in data["sources"]],
            "notes": [str(note) for note in data.get("notes", [])],
            # files from before there was any do not say
            "provenance": {str(t): Provenance.from_dict(p) for t, p in data.get("provenance", {}).items()},
            **_emulated(data.get("emulated", {})),
        }
    except (KeyError, TypeError, ValueError, AttributeError, EdgeCostError) as error:
        raise ConfigError(f"{path} is not a cost table ({error!r}); make one with `edgecost table export`") from None
    rows = [_row(row if schema != 1 else _from_first(row), place, path) for place, row in enumerate(raw, start=1)]
    known = {target.id for target in contents["targets"]}
    strange = next((row for row in rows if row.target_id not in known), None)
    if strange is not None:
        raise ConfigError(
            f"{path}: {strange.label!r} is a row of {strange.target_id}, which is none of the table's targets "
            f"({', '.join(sorted(known))}); make a table of each target, or name it among them"
        )
    return {**contents, "rows": rows}


def _row(raw: dict[str, Any], place: int, path: Path) -> Row:
    """One row of a file; ConfigError, naming it, where it is none or holds a figure that nobody can have measured."""
    try:
        row = Row.from_dict(raw)
        infinite = next((name for name in NUMBERS if isinstance(raw.get(name), float) and isinf(raw[name])), None)
        if infinite is not None:
            raise ValueError(f"its {infinite} is infinite")
        if row.kind == "model" and row.has_figure and row.latency_ns <= 0.0:
            raise ValueError(f"a whole network takes {row.latency_ns:g} ns")
    except KeyError as error:
        reason = f"it lacks {error}"
    except (TypeError, ValueError, AttributeError) as error:
        reason = str(error)
    else:
        return row
    raise ConfigError(
        f"{path} is not a cost table: row {place} ({str(raw.get('label', ''))[:60]!r} of {raw.get('target_id')}): "
        f"{reason}; leave it out, or make the table again with `edgecost table export`"
    )


def _contents(table: CostTable) -> dict[str, Any]:
    """All but the rows."""
    return {
        "schema": TABLE_SCHEMA_VERSION,
        "edgecost": edgecost_version(),
        "gates": table.gates.to_dict(),
        "corrupt_lines": table.corrupt_lines,
        "sources": list(table.sources),
        "notes": list(table.notes),
        "emulated": {"included": table.with_emulated, "left_out": dict(table.left_out)},
        "targets": [asdict(target) for target in table.targets],
        "provenance": {target_id: found.to_dict() for target_id, found in table.provenance.items()},
        "workloads": {key: workload.to_dict() for key, workload in table.workloads.items()},
    }


def _from_first(row: dict[str, Any]) -> dict[str, Any]:
    """A row of schema 1, whose energies are those of the whole board, idle power included."""
    return {**row, "energy_mj": None, "energy_gross_mj": row["energy_mj"]}


def _emulated(data: dict[str, Any]) -> dict[str, Any]:
    """What became of figures of emulated processors; files from before there were any do not say."""
    left_out = {str(target): int(number) for target, number in data.get("left_out", {}).items()}
    return {"with_emulated": data.get("included", False) is True, "left_out": left_out}


def _csv(rows: list[dict[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    # an empty cell is a missing value
    writer.writerows({**row, "issues": " ".join(row["issues"])} for row in rows)
    return file.getvalue()


def _arrow_schema() -> pa.Schema:
    import pyarrow as pa

    def kind(name: str) -> pa.DataType:
        if name in NUMBERS:
            return pa.float64()
        if name == "n_rounds":
            return pa.int64()
        return pa.list_(pa.string()) if name == "issues" else pa.string()

    return pa.schema([(name, kind(name)) for name in _COLUMNS])


def _parquet(rows: list[dict[str, Any]], contents: dict[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    metadata = {_METADATA_KEY: json.dumps(contents, allow_nan=False).encode()}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, _arrow_schema()).replace_schema_metadata(metadata), sink)
    return bytes(sink.getvalue())


def _read_parquet(path: Path) -> dict[str, Any]:
    """ValueError (pyarrow's errors are such) where the file is not one of ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(path.read_bytes()))
    contents = (table.schema.metadata or {}).get(_METADATA_KEY)
    if contents is None:
        raise ValueError("no metadata of edgecost")
    data: dict[str, Any] = json.loads(contents)
    return {**data, "rows": table.to_pylist()}
