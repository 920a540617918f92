"""The files of a study."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from profiler.errors import StorageError

__all__ = [
    "FBNET_KIND",
    "FBNET_STUDY",
    "KIND",
    "STUDY",
    "quarantined",
    "read_fbnet",
    "read_study",
    "write_answers",
    "write_study",
]

STUDY, KIND = "study.json", "hw-evrsnas-study"
FBNET_STUDY, FBNET_KIND = "study-fbnet.json", "hw-evrsnas-fbnet"


def read_study(folder: Path) -> dict[str, Any] | None:
    """The study of NAS-Bench-201 in a folder; None where there is none.

    Raises:
        StorageError: where the file is damaged, or of something else.
    """
    return _read(folder / STUDY, KIND, "edgecost study hw-evrsnas")


def read_fbnet(folder: Path) -> dict[str, Any] | None:
    """FBNet's study in a folder; None where there is none.

    Raises:
        StorageError: where the file is damaged, or of something else.
    """
    return _read(folder / FBNET_STUDY, FBNET_KIND, "edgecost study hw-evrsnas --space fbnet")


def _read(path: Path, kind: str, command: str) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read ({error}); make it again by `{command}`, or remove it") from None
    if not isinstance(found, dict) or found.get("kind") != kind:
        raise StorageError(f"{path} holds no study that `{command}` wrote; make it again, or remove it")
    return found


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
