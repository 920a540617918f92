import errno
import json
import os
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import StorageError
from profiler.measure import journal as module
from profiler.measure import journal_lines
from profiler.measure.journal import CorruptLine, Journal, decode, encode, iter_journal, read_journal
from profiler.measure.journal_lines import frame, unframe
from profiler.measure.record import SCHEMA_VERSION, Measurement, Power, Role

RECORD = Measurement(
    job_key="k0",
    workload_key="w",
    artefact_sha256="a" * 64,
    device_id="rpi5",
    target_id="rpi5/onnxruntime-fp32-t1",
    role=Role("kernel", "s", "chain", 4),
    round=1,
    status="ok",
    issues=("sensor_missing",),
    samples_ns=(10, 12, 11),
    runs_per_batch=3,
    load_ns=5,
    output_error=1e-7,
    error='tab\t "quoted" é',
    env={"load": [0.1, None]},
    started_at="2026-11-21T00:00:00",
)


def records(n: int) -> list[Measurement]:
    return [replace(RECORD, job_key=f"k{i}", samples_ns=(i, i + 1)) for i in range(n)]


def filled(path: Path, n: int = 3) -> bytes:
    with Journal(path) as journal:
        for record in records(n):
            journal.append(record)
    return path.read_bytes()


def test_what_was_appended_is_read_back(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    filled(path)
    with Journal(path) as journal:
        journal.append(RECORD)
    contents = read_journal(path)
    assert contents.measurements == (*records(3), RECORD)
    assert contents.corrupt_lines == 0
    first = json.loads(path.read_bytes().splitlines()[0])
    assert list(first)[:2] == ["crc32", "schema"]
    assert first["schema"] == SCHEMA_VERSION


@pytest.mark.parametrize("kind", ["kernel", "block", "model"])
def test_every_kind_of_role_is_read_back(tmp_path: Path, kind: str):
    path = tmp_path / "journal.jsonl"
    written = replace(RECORD, role=Role(kind, "s", "chain", 4))
    with Journal(path) as journal:
        journal.append(written)
    assert read_journal(path).measurements == (written,)


def test_checksum_can_be_checked_by_others(tmp_path: Path):
    """The rule that results/README.md states."""
    path = tmp_path / "journal.jsonl"
    for line in filled(path).splitlines():
        assert line[:10] == b'{"crc32":"'
        assert int(line[10:18], 16) == zlib.crc32(line[20:])


def test_a_corrupt_line_is_skipped_with_its_number_and_the_rest_kept(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    lines = filled(path, 5).splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"samples_ns":[1,2]', b'"samples_ns":[1,3]')
    lines[3] = b"\xff\xfe garbage\n"
    path.write_bytes(b"".join(lines))
    contents = read_journal(path)
    assert [m.job_key for m in contents.measurements] == ["k0", "k2", "k4"]
    assert [c.number for c in contents.corrupt] == [2, 4]
    assert "checksum" in contents.corrupt[0].reason


@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_no_flipped_byte_passes_as_a_record(place: int, value: int):
    line = bytearray(encode(RECORD)[:-1])
    place %= len(line)
    if line[place] == value or value == 10:
        return
    line[place] = value
    with pytest.raises(ValueError):
        decode(bytes(line))


@pytest.mark.parametrize("keep", [1, 20, -2])
def test_a_torn_last_line_is_ignored_by_readers_and_cut_by_the_next_writer(tmp_path: Path, keep: int):
    path = tmp_path / "journal.jsonl"
    whole = filled(path)
    path.write_bytes(whole + encode(RECORD)[:keep])
    assert read_journal(path).corrupt_lines == 0
    assert len(read_journal(path).measurements) == 3
    with Journal(path) as journal:
        assert path.read_bytes() == whole
        journal.append(RECORD)
    assert read_journal(path).measurements[3:] == (RECORD,)


def test_a_whole_last_line_without_its_newline_is_kept(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    whole = filled(path)
    path.write_bytes(whole[:-1])
    assert len(read_journal(path).measurements) == 3
    with Journal(path) as journal:
        journal.append(RECORD)
    assert [m.job_key for m in read_journal(path).measurements] == ["k0", "k1", "k2", "k0"]


def test_a_torn_line_longer_than_the_reading_block_is_cut(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    whole = filled(path)
    path.write_bytes(whole + b"x" * 200_000)
    Journal(path).close()
    assert path.read_bytes() == whole


def test_a_journal_that_is_one_torn_line_becomes_empty(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"half")
    Journal(path).close()
    assert path.read_bytes() == b""


def test_a_newer_schema_is_refused_and_a_broken_digit_is_only_corrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "journal.jsonl"
    whole = filled(path)
    path.write_bytes(whole.replace(b'"schema":%d' % SCHEMA_VERSION, b'"schema":9', 1))
    assert read_journal(path).corrupt_lines == 1
    monkeypatch.setattr(journal_lines, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    newer = encode(RECORD)
    monkeypatch.undo()
    path.write_bytes(whole + newer)
    with pytest.raises(StorageError, match=rf"journal.jsonl, line 4: schema {SCHEMA_VERSION + 1} is newer.*update"):
        read_journal(path)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "fine"},
        {"samples_ns": [1.5]},
        {"samples_ns": [-1]},
        {"round": "1"},
        {"role": {"kind": "cat"}},
        {"energy_mj": "much"},
        {"env": None},
        {"surplus": 1},
        {"issues": "noisy"},
    ],
)
def test_a_line_with_a_right_checksum_and_wrong_fields_is_corrupt(tmp_path: Path, change: dict):
    body = json.loads(encode(RECORD))
    del body["crc32"], body["schema"]
    path = tmp_path / "journal.jsonl"
    path.write_bytes(frame({**body, **change}) + encode(RECORD))
    items = list(iter_journal(path))
    assert isinstance(items[0], CorruptLine)
    assert items[1] == RECORD


def test_what_json_does_not_hold_is_refused_and_nothing_written(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        with pytest.raises(ValueError):
            journal.append(replace(RECORD, output_error=float("nan")))
        journal.append(RECORD)
    assert read_journal(path).measurements == (RECORD,)


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "journal.jsonl"
    whole = filled(path)
    real = os.pwrite
    room = 25

    def nearly_full(fd: int, data: bytes, offset: int) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part, room = data[:room], 0
        return real(fd, part, offset)

    with Journal(path) as journal:
        monkeypatch.setattr(module.os, "pwrite", nearly_full)
        with pytest.raises(StorageError, match=r"cannot append to journal .*journal.jsonl: no space left.*; free some"):
            journal.append(RECORD)
        assert path.read_bytes() == whole
        monkeypatch.undo()
        journal.append(RECORD)
    assert read_journal(path).measurements == (*records(3), RECORD)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_a_failed_sync_or_an_interrupt_takes_the_line_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
):
    path = tmp_path / "journal.jsonl"
    whole = filled(path)

    def failing(fd: int) -> None:
        raise error

    with Journal(path) as journal:
        monkeypatch.setattr(module.os, "fsync", failing)
        with pytest.raises((StorageError, KeyboardInterrupt)):
            journal.append(RECORD)
        monkeypatch.undo()
    assert path.read_bytes() == whole


def append_until_full(journal: Journal, record: Measurement) -> int:
    """How many records went in before StorageError said that the disk is full; at most 100."""
    for written in range(100):
        try:
            journal.append(record)
        except StorageError:
            return written
    return 100


def test_a_really_full_file_system(tmp_path: Path):
    """On a tmpfs of 64 KiB; where mounting is not allowed, the simulated full disk above has to do."""
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        return
    try:
        path = tmp_path / "journal.jsonl"
        big = replace(RECORD, samples_ns=tuple(range(10**6, 10**6 + 1000)))
        with Journal(path) as journal:
            written = append_until_full(journal, big)
            assert 0 < written < 20
            assert path.read_bytes() == encode(big) * written
            with pytest.raises(StorageError, match="no space left"):
                journal.append(big)
        assert read_journal(path).measurements == (big,) * written
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_an_unwritable_place_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write journal .*: not a directory; .*another results folder"):
        Journal(tmp_path / "file" / "journal.jsonl")
    with pytest.raises(StorageError, match="is a directory"):
        Journal(tmp_path)
    with pytest.raises(StorageError, match="cannot read journal"):
        read_journal(tmp_path / "none.jsonl")


def test_two_writers_are_kept_apart(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    with Journal(path), pytest.raises(StorageError, match="written by another process"):
        Journal(path)
    Journal(path).close()


def test_a_long_journal_is_read_in_constant_memory(tmp_path: Path):
    import tracemalloc

    path = tmp_path / "journal.jsonl"
    line = encode(replace(RECORD, samples_ns=tuple(range(10**6, 10**6 + 100))))
    path.write_bytes(line * 5000)
    tracemalloc.start()
    count = sum(isinstance(item, Measurement) for item in iter_journal(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 5000
    assert peak < len(line) * 500


POWER = Power(
    "hwmon ina3221 VDD_IN", "module-in", "power", (0, 2_000), (5_000_000, 5_100_000), 40, 1_000.0, 0.02, 5e4,
    (0, 1), (1, 2), (2, 3), 50,
)  # fmt: skip


def test_a_power_record_comes_back_as_it_was(tmp_path: Path):
    for power in (POWER, replace(POWER, periodic_uw=250.0)):
        record = replace(RECORD, power=power)
        assert decode(encode(record).removesuffix(b"\n")) == record


def test_a_second_rounding_is_written_where_there_is_one():
    assert b"periodic_uw" not in encode(replace(RECORD, power=POWER)), "as journals from before it was known"
    assert b"periodic_uw" in encode(replace(RECORD, power=replace(POWER, periodic_uw=250.0)))


def test_a_record_of_schema_1_is_read_without_its_gross_energy():
    body = {name: getattr(RECORD, name) for name in journal_lines._NAMES if name != "power"}
    body |= {"role": {name: getattr(RECORD.role, name) for name in journal_lines._ROLE_NAMES}, "energy_mj": 3.0}
    assert decode(frame(body).removesuffix(b"\n")) == replace(RECORD, energy_mj=None, power=None)


@pytest.mark.parametrize(
    "change",
    [
        {"values": [1]},
        {"times_us": [0, 0.5]},
        {"load_us": [1]},
        {"form": "heat"},
        {"runs": "50"},
        {"colour": "red"},
        {"periodic_uw": "1"},
    ],
)
def test_a_malformed_power_record_is_no_record(change: dict[str, object]):
    line = encode(replace(RECORD, power=POWER)).removesuffix(b"\n")
    body = unframe(line)
    body["power"].update(change)
    with pytest.raises(ValueError, match="power record is malformed"):
        decode(frame(body).removesuffix(b"\n"))
