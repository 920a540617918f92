"""Files of plain values and tensors: whole, of their kind, and nothing else."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

from profiler.errors import StorageError
from search.s3nas.running.plain_files import _header, read_plain, write_plain


def test_values_are_read_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.pt"
    assert read_plain(path, "state, schema 1", "delete it") is None
    write_plain(path, "state, schema 1", {"n": 3, "words": ["a", "b"], "t": {"w": torch.arange(3.0)}})
    found = read_plain(path, "state, schema 1", "delete it")
    assert found is not None
    assert (found["n"], found["words"], found["t"]["w"].tolist()) == (3, ["a", "b"], [0.0, 1.0, 2.0])


def test_another_kind_or_schema_is_refused(tmp_path: Path) -> None:
    write_plain(tmp_path / "s", "state, schema 1", {})
    for kind in ("state, schema 2", "other, schema 1"):
        with pytest.raises(StorageError, match="is damaged or of another version: delete it"):
            read_plain(tmp_path / "s", kind, "delete it")


@pytest.mark.parametrize("content", [Path("a/b"), None, [1, 2], b"words"])
def test_a_right_hash_of_something_else_is_refused(content: object, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = b"words" if content == b"words" else buffer.getvalue()
    (tmp_path / "s").write_bytes(_header("state, schema 1", data) + data)
    with pytest.raises(StorageError, match="is not one of a state: delete it"):
        read_plain(tmp_path / "s", "state, schema 1", "delete it")
