"""The board's journal: whole lines, whatever happened to the disk."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from profiler.agent.daemon import journal as module
from profiler.agent.daemon.journal import Journal, decode, encode

Open = Callable[[], Journal]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture
def reopen(path: Path) -> Iterator[Open]:
    opened: list[Journal] = []

    def open_it() -> Journal:
        if opened:
            opened.pop().close()
        opened.append(Journal(str(path)))
        return opened[-1]

    yield open_it
    opened.pop().close()


def entry(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"event": kind, "id": name, **more}


def fill(journal: Journal, *names: str) -> None:
    for name in names:
        journal.add(entry("started", name))
        journal.add(entry("result", name, text="x" * 50))
        assert journal.sync()


def messages(journal: Journal) -> list[dict[str, Any]]:
    lines = [journal.message(seq) for seq in range(len(journal))]
    assert all(line.endswith(b"}\n") for line in lines)
    return [json.loads(line) for line in lines]


def test_entries_are_numbered_and_found_again(reopen: Open) -> None:
    fill(reopen(), "a", "b")
    again = reopen()
    assert [(found["seq"], found["event"], found["id"]) for found in messages(again)] == [
        (0, "started", "a"), (1, "result", "a"), (2, "started", "b"), (3, "result", "b")
    ]  # fmt: skip
    assert again.ended == {"a", "b"}
    assert again.cut_bytes == 0


def test_a_line_is_its_checksum_and_json(reopen: Open, path: Path) -> None:
    fill(reopen(), "a")
    first = path.read_bytes().splitlines()[0]
    assert first == encode({"event": "started", "id": "a", "seq": 0})[:-1]
    assert json.loads(first[9:]) == {"event": "started", "id": "a", "seq": 0}


def test_what_was_only_taken_up_has_not_ended(reopen: Open) -> None:
    journal = reopen()
    fill(journal, "a")
    journal.add(entry("started", "b"))
    assert journal.sync()
    assert reopen().ended == {"a"}


@pytest.mark.parametrize("lost", [1, 2, 30, 100])
def test_a_torn_tail_is_cut_and_the_journal_goes_on(reopen: Open, path: Path, lost: int) -> None:
    fill(reopen(), "a", "b")
    os.truncate(path, path.stat().st_size - lost)
    again = reopen()
    assert len(again) == 3
    assert again.cut_bytes > 0
    fill(again, "c")
    assert [found["seq"] for found in messages(reopen())] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("garbage", [b"\n", b"no line", b"00000000 {}\n", b"zzzzzzzz {}\n", b"\0" * 5000 + b"\n"])
def test_garbage_at_the_end_is_cut(reopen: Open, path: Path, garbage: bytes) -> None:
    fill(reopen(), "a")
    whole = path.read_bytes()
    path.write_bytes(whole + garbage)
    assert len(reopen()) == 2
    assert path.read_bytes() == whole


def test_nothing_behind_a_corrupt_line_is_believed(reopen: Open, path: Path) -> None:
    fill(reopen(), "a", "b", "c")
    data = bytearray(path.read_bytes())
    data[data.index(b'"b"') + 1] ^= 1
    path.write_bytes(data)
    again = reopen()
    assert len(again) == 2
    assert again.ended == {"a"}


def test_a_line_out_of_order_is_not_believed(reopen: Open, path: Path) -> None:
    fill(reopen(), "a")
    with path.open("ab") as file:
        file.write(encode(entry("result", "z", seq=7)))
    assert len(reopen()) == 2


def test_long_entries_are_read_in_pieces(reopen: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(reopen(), "a", "b")
    monkeypatch.setattr(module, "CHUNK_BYTES", 7)
    assert len(reopen()) == 4


def test_what_no_checksum_fits_is_no_entry() -> None:
    assert decode(encode({"a": 1})[:-1]) == {"a": 1}
    assert decode(b"") is None
    assert decode(encode({"a": 1})[:-1].replace(b"1", b"2")) is None


class FullDisk:
    """Takes so many bytes, the last of them of a line that it tears."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.space = 0
        self._write = os.pwrite
        monkeypatch.setattr(os, "pwrite", self.write)

    def write(self, number: int, data: bytes, offset: int) -> int:
        taken = bytes(data)[: self.space]
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.space -= len(taken)
        return self._write(number, taken, offset)


def test_a_full_disk_leaves_entries_in_memory_until_it_takes_them(
    reopen: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = reopen()
    fill(journal, "a")
    disk = FullDisk(monkeypatch)
    disk.space = 20
    journal.add(entry("started", "b"))
    journal.add(entry("result", "b"))
    assert not journal.sync()
    assert not journal.sync()
    assert journal.waiting_bytes > 0
    assert [found["id"] for found in messages(journal)] == ["a", "a", "b", "b"]  # told all the same
    assert "b" in journal.ended
    disk.space = 10_000
    assert journal.sync()
    assert journal.waiting_bytes == 0
    assert [found["seq"] for found in messages(journal)] == [0, 1, 2, 3]
    again = reopen()
    assert again.cut_bytes == 0
    assert messages(again)[3]["id"] == "b"


def test_an_entry_is_on_disk_before_sync_returns(reopen: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    journal = reopen()
    journal.add(entry("started", "a"))
    assert synced == []
    journal.sync()
    assert synced == [journal.number]
    journal.sync()
    assert len(synced) == 1


def test_an_entry_that_the_disk_lost_is_not_told_as_if_it_were_whole(reopen: Open, path: Path) -> None:
    journal = reopen()
    fill(journal, "a")
    data = bytearray(path.read_bytes())
    data[12] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match="entry 0"):
        journal.message(0)
    assert b"result" in journal.message(1)
