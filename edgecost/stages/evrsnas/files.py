"""The files of a study."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["FBNET_STUDY", "quarantined", "read_fbnet", "write_answers", "write_study"]

FBNET_STUDY = "study-fbnet.json"


def read_fbnet(folder: Path) -> dict[str, Any] | None:
    """FBNet's study in a folder; None where there is none that can be read."""
    try:
        found = json.loads((folder / FBNET_STUDY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("kind") == "hw-evrsnas-fbnet" else None


def quarantined(scores: Sequence[Path]) -> int:
    """How many damaged rows of score stores are moved away as they are read; files of scores have none.

    Raises:
        ConfigError, StorageError: where a folder is no store, or cannot be read.
    """
    from search.evrsnas.store import existing_store

    return sum(existing_store(path).quarantined for path in scores if path.is_dir())


def write_study(path: Path, answer: Mapping[str, Any]) -> Path:
    """Write a study as JSON, tables with one row a line.

    Raises:
        StorageError: where it cannot be written.
    """
    from search.files import write_text

    parts = []
    for name, value in answer.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n".join(json.dumps(row, allow_nan=False) for row in value)
            parts.append(f'"{name}": [\n{rows}\n]')
        else:
            parts.append(f'"{name}": {json.dumps(value, indent=1, allow_nan=False)}')
    write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")
    return path


def write_answers(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write every answer of a study as a Parquet table, a row a cell, seed and method.

    Raises:
        StorageError: where it cannot be written.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    from search.files import write_bytes

    buffer = io.BytesIO()
    plain = [{name: value for name, value in row.items() if name != "course"} for row in rows]
    names = list(dict.fromkeys(name for row in plain for name in row))
    pq.write_table(pa.table({name: [row.get(name) for row in plain] for name in names}), buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())
    return path
