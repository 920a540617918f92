"""Digests are kept beside journals, believed only where they fit, and never stand in the way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import made_up
import pytest

from profiler.errors import StorageError
from profiler.measure import journal, journal_lines
from profiler.measure.journal import encode
from profiler.tables.loading import digest, runs, subjects
from profiler.tables.table import CostTable, Row

Parsed = Callable[[], int]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Parsed]:
    """How many lines of journals were parsed since it was last asked."""
    plain, lines = journal.decode, []

    def decode(line: bytes) -> journal.Measurement:
        lines.append(line)
        return plain(line)

    def since() -> int:
        n = len(lines)
        lines.clear()
        return n

    monkeypatch.setattr(digest.journal, "decode", decode)
    return since


@pytest.fixture
def run(tmp_path: Path) -> Path:
    lines = [made_up.line(key, "kernel", n, r) for key in "ab" for n in (1, 4, 8) for r in range(3)]
    lines.append(made_up.line("m", status="crashed", samples_ns=(), error="signal 11: \ud800"))
    return made_up.write_run(tmp_path, lines, [made_up.subject("a", 4, ["b"]), made_up.subject("b", 4)])


def read(run: Path) -> tuple[Row, ...]:
    runs.forget()
    return CostTable.from_runs([run]).all_rows


def test_what_was_read_once_is_not_parsed_again(run: Path, parsed: Parsed):
    first = read(run)
    assert parsed() == 19
    assert [row.status for row in first] == ["ok", "ok", "crashed"]
    assert first[2].error == "signal 11: ?"
    assert (run / digest.DIGEST_NAME).exists()
    assert repr(read(run)) == repr(first)
    assert parsed() == 0


def test_only_what_came_since_is_parsed(run: Path, parsed: Parsed):
    read(run)
    parsed()
    with (run / "journal.jsonl").open("ab") as file:
        file.write(b"nonsense\n" + encode(made_up.line("m", round_=1)))
    assert [row.status for row in read(run)] == ["ok", "ok", "ok"]
    assert parsed() == 2
    runs.forget()
    assert CostTable.from_runs([run]).corrupt_lines == 1
    assert parsed() == 0


def test_a_journal_written_anew_is_read_anew(run: Path, parsed: Parsed):
    first = read(run)
    path = run / "journal.jsonl"
    text = path.read_bytes()
    lines = [made_up.line(key, "kernel", n, r) for key in "ab" for n in (1, 4, 8) for r in range(3)]
    path.write_bytes(b"".join(map(encode, [made_up.line("m", round_=7), *lines])) + b"\n")
    parsed()
    assert read(run)[2].status != first[2].status
    assert parsed() == 20
    path.write_bytes(text)
    path.write_bytes(text.replace(b"crashed", b"crashee"))  # as long as before
    runs.forget()
    assert CostTable.from_runs([run]).corrupt_lines == 1


def test_the_same_stamp_with_another_end_is_not_believed(run: Path, parsed: Parsed):
    read(run)
    path = run / "journal.jsonl"
    before, text = path.stat(), path.read_bytes()
    with path.open("r+b") as file:
        file.write(text.replace(b"crashed", b"crashee"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    parsed()
    read(run)
    assert parsed() == 19


def test_a_copy_keeps_its_digest(run: Path, parsed: Parsed):
    first = read(run)
    parsed()
    copy = shutil.copytree(run, run.parent / "copy", copy_function=shutil.copyfile)
    assert [row.latency_ns for row in read(copy)[:2]] == [row.latency_ns for row in first[:2]]
    assert parsed() == 0


@pytest.mark.parametrize("name", [digest.DIGEST_NAME, subjects.DIGEST_NAME])
@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_digest_is_thrown_away(run: Path, name: str, damage: bytes | None):
    first = read(run)
    text = (run / name).read_bytes()
    (run / name).write_bytes(text[: len(text) // 2] if damage is None else damage)
    assert repr(read(run)) == repr(first)
    assert len((run / name).read_bytes()) == len(text)


def test_a_flipped_bit_in_a_digest_never_becomes_a_figure(run: Path):
    first = repr(read(run))
    path = run / digest.DIGEST_NAME
    text = path.read_bytes()
    for place in range(0, len(text), 61):
        path.write_bytes(text[:place] + bytes([text[place] ^ 0x10]) + text[place + 1 :])
        assert repr(read(run)) == first
        assert path.read_bytes() == text


def test_another_version_of_the_code_makes_its_own(run: Path, parsed: Parsed, monkeypatch: pytest.MonkeyPatch):
    read(run)
    parsed()
    monkeypatch.setattr(digest, "_maker", lambda: "later")
    read(run)
    assert parsed() == 19


def test_a_folder_that_may_not_be_written_has_none(run: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: Path, chunks: object) -> None:
        raise StorageError("read-only file system")

    monkeypatch.setattr("profiler.tables.loading.kept.write_atomically", refuse)
    assert len(read(run)) == 3
    assert not (run / digest.DIGEST_NAME).exists()


def test_a_whole_record_without_its_newline_counts_and_is_looked_at_again(run: Path, parsed: Parsed):
    path = run / "journal.jsonl"
    path.write_bytes(path.read_bytes() + encode(made_up.line("m", round_=1)).rstrip(b"\n"))
    assert read(run)[2].status == "ok"
    parsed()
    assert read(run)[2].status == "ok"
    assert parsed() == 1
    path.write_bytes(path.read_bytes()[:-40])
    assert read(run)[2].status == "crashed"
    assert CostTable.from_runs([run]).corrupt_lines == 0


def test_a_newer_schema_is_one_sentence_also_behind_a_digest(run: Path):
    read(run)
    with (run / "journal.jsonl").open("ab") as file:
        file.write(encode(made_up.line("m")))
    newer = journal_lines.frame({"schema": 99})
    with (run / "journal.jsonl").open("ab") as file:
        file.write(newer)
    with pytest.raises(StorageError, match=r"journal.jsonl, line 21: schema 99 is newer than .*; update edgecost"):
        read(run)


def test_a_newer_workload_is_one_sentence(run: Path):
    with (run / "workloads.jsonl").open("ab") as file:
        file.write(journal_lines.frame({"schema": 99}))
    with pytest.raises(StorageError, match=r"workloads.jsonl, line 3: schema 99 is newer than .*; update edgecost"):
        read(run)


def test_an_unreadable_number_is_a_corrupt_line(tmp_path: Path):
    lines = [made_up.line(), made_up.line(repeats=2**40), made_up.line(subject="\ud800")]
    table = CostTable.from_runs([made_up.write_run(tmp_path, lines)])
    assert (table.corrupt_lines, len(table.all_rows)) == (2, 1)


# -------------------------------------------------------------------- workloads


def test_workloads_are_read_when_they_are_asked_for(run: Path):
    runs.forget()
    table = CostTable.from_runs([run])
    assert set(table.workloads) == {"a", "b"}
    assert ("m" in table.workloads, "a" in table.workloads, len(table.workloads)) == (False, True, 2)
    path = run / "workloads.jsonl"
    path.write_bytes(b"a line in front\n" + path.read_bytes())
    assert table.workloads["a"].to_dict() == made_up.GRAPH, "the file has changed since"
    path.write_bytes(b"")
    assert table.workloads["a"].to_dict() == made_up.GRAPH, "it is read once"
    with pytest.raises(StorageError, match="has lost the workload b since the table was read"):
        table.workloads["b"]
    path.unlink()
    with pytest.raises(StorageError, match="cannot read .*workloads.jsonl: no such file"):
        table.workloads["b"]


def test_a_graph_that_cannot_be_read_is_one_sentence(tmp_path: Path):
    broken = replace(made_up.subject("b"), workload={"name": "x"})
    path = made_up.write_run(tmp_path, [made_up.line("a"), made_up.line("b")], [made_up.subject("a"), broken])
    table = CostTable.from_runs([path])
    assert table.workloads["a"].to_dict() == made_up.GRAPH
    with pytest.raises(StorageError, match=r"the workload label b in .*workloads.jsonl cannot be read: not a workload"):
        table.workloads["b"]


def test_added_workloads_are_seen(run: Path):
    read(run)
    made_up.RunFolder(run).add_subjects([made_up.subject("m")])
    runs.forget()
    table = CostTable.from_runs([run])
    assert "m" in table.workloads
    assert table.all_rows[2].label == "label m"
