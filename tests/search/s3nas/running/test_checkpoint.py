"""Checkpoints of a search: whole or refused, with a sentence that says why."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import pytest
import torch

from profiler.errors import ConfigError, StorageError
from search.s3nas.running.checkpoint import SearchState, read_state, write_state

IDENTITY = {"supernet": "a", "settings": "b", "costs": "c"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pt"
    tensors = {"w": torch.arange(3.0)}
    write_state(path, SearchState(IDENTITY, 7, 1.5, tensors, tensors, {"state": {0: tensors}}, [{"step": 1}]))
    return path


def test_what_is_written_is_read(path: Path) -> None:
    state = read_state(path, IDENTITY)
    assert state is not None
    assert (state.step, state.seconds, state.course) == (7, 1.5, [{"step": 1}])
    assert torch.equal(state.optimiser["state"][0]["w"], torch.arange(3.0))
    assert list(path.parent.iterdir()) == [path]


def test_there_may_be_none(tmp_path: Path) -> None:
    assert read_state(tmp_path / "checkpoint.pt", IDENTITY) is None


def test_of_another_search_it_says_what_differs(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is the checkpoint of another search \(other supernet, costs\): remove it"):
        read_state(path, {"supernet": "x", "settings": "b", "costs": "y"})


@pytest.mark.parametrize("damage", ["cut", "turned", "empty", "other"])
def test_damage_is_noticed(path: Path, damage: str) -> None:
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(
        {
            "cut": data[:middle],
            "turned": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            "empty": b"",
            "other": b"PK" + data,
        }[damage]
    )
    with pytest.raises(StorageError, match="is damaged or of another version: remove it"):
        read_state(path, IDENTITY)


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


@pytest.mark.parametrize("content", [Hostile(), {"identity": {}}, None])
def test_nothing_but_tensors_and_plain_values_is_read(
    path: Path, content: object, capsys: pytest.CaptureFixture[str]
) -> None:
    buffer = io.BytesIO()
    if content is None:
        buffer.write(pickle.dumps(Hostile(), protocol=2))
    else:
        torch.save(content, buffer)
    mark = path.read_bytes().split(b"sha256 ")[0] + b"sha256 "
    path.write_bytes(mark + hashlib.sha256(buffer.getvalue()).hexdigest().encode() + b"\n" + buffer.getvalue())
    with pytest.raises(StorageError, match="is not one of a supernet search"):
        read_state(path, IDENTITY)
    assert "run" not in capsys.readouterr().out
