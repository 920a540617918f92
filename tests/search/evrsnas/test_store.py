import json
import math
import multiprocessing
import os
from dataclasses import replace

import pytest

from profiler.errors import ConfigError, StorageError
from search.evrsnas.parts import ScoreRow, part_bytes, read_part, row_key
from search.evrsnas.store import RmiStore, existing_store

ROW = ScoreRow("identity", "arch-0", 0, 0, 5, 0.25, 0.5, 0.75, 1.5, diverged=False, seconds=0.1)
LOST = replace(ROW, architecture="lost", rmi_1=math.nan, rmi_2=math.nan, rmi_3=math.nan, cross_entropy=math.nan,
               diverged=True)  # fmt: skip


def rows(n, prefix="arch"):
    return [replace(ROW, architecture=f"{prefix}-{i}", rmi_1=i / max(n, 1)) for i in range(n)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store"


def only_part(folder):
    (path,) = folder.glob("part-*.parquet")
    return path


def test_rows_survive_and_are_found_by_what_they_depend_on(folder):
    RmiStore(folder).append([*rows(3), LOST])
    store = RmiStore(folder)
    assert len(store) == 4
    found = store.get(row_key("identity", "arch-2", 0, 0, 5))
    assert found == rows(3)[2]
    assert found.phi == pytest.approx(2 / 3 + 1.25)
    for other in (("x", "arch-2", 0, 0, 5), ("identity", "arch-2", 1, 0, 5), ("identity", "arch-2", 0, 1, 5)):
        assert row_key(*other) not in store
    assert row_key("identity", "arch-2", 0, 0, 20) not in store


def test_a_diverged_network_has_a_row_and_no_score(folder):
    RmiStore(folder).append([LOST])
    (row,) = RmiStore(folder).rows()
    assert row.diverged
    assert math.isnan(row.phi)


def test_a_damaged_row_is_quarantined_and_the_rest_kept(folder, monkeypatch):
    spoilt = rows(5)
    spoilt[2].__dict__["checksum"] = 1  # written with a checksum that is not its own
    RmiStore(folder).append(spoilt)
    original = only_part(folder)
    content = original.read_bytes()
    store = RmiStore(folder)
    assert (store.quarantined, len(store)) == (1, 4)
    assert spoilt[2].key not in store
    assert (folder / "quarantine" / original.name).read_bytes() == content
    again = RmiStore(folder)
    assert (again.quarantined, len(again)) == (0, 4)


@pytest.mark.parametrize("spoil", [{"rmi_1": 1.5}, {"rmi_2": math.nan}, {"cross_entropy": math.inf}])
def test_figures_that_cannot_be_are_no_scores(folder, spoil):
    RmiStore(folder).append([ROW, replace(ROW, architecture="wrong", **spoil)])
    store = RmiStore(folder)
    assert (store.quarantined, len(store)) == (1, 1)


def test_damage_within_a_file_costs_its_group_of_rows_only(folder):
    RmiStore(folder).append(rows(200))
    path = only_part(folder)
    content = bytearray(path.read_bytes())
    for at in range(40, 140):
        content[at] ^= 0xFF
    path.write_bytes(content)
    store = RmiStore(folder)
    assert 0 < store.quarantined <= 64
    assert len(store) == 200 - store.quarantined


@pytest.mark.parametrize("content", [b"", b"PAR1 nothing of the kind PAR1", b"\x00" * 500])
def test_a_file_that_is_no_part_is_quarantined(folder, content):
    RmiStore(folder).append(rows(3))
    (folder / "part-strange.parquet").write_bytes(content)
    store = RmiStore(folder)
    assert (store.quarantined, len(store)) == (1, 3)
    assert (folder / "quarantine" / "part-strange.parquet").read_bytes() == content


def test_a_newer_schema_is_named_and_left_alone(folder, monkeypatch):
    from search.evrsnas import parts

    monkeypatch.setattr(parts, "_SCHEMA", 9)
    RmiStore(folder).append(rows(1))
    monkeypatch.undo()
    with pytest.raises(StorageError, match="newer version"):
        RmiStore(folder)
    assert only_part(folder).exists()


def test_a_full_disk_leaves_nothing_half_written(folder, monkeypatch):
    store = RmiStore(folder)
    store.append(rows(1))

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        store.append(rows(2, "more"))
    monkeypatch.undo()
    assert [p.suffix for p in folder.iterdir() if p.name != ".lock"] == [".parquet"]
    assert len(RmiStore(folder)) == 1


def test_a_store_must_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="not a folder"):
        RmiStore(tmp_path / "file")
    with pytest.raises(ConfigError, match="no score store"):
        existing_store(tmp_path / "nowhere")


def test_stores_of_two_machines_merge_alike_in_either_order(tmp_path):
    shared = replace(ROW, architecture="both")
    a, b = RmiStore(tmp_path / "a"), RmiStore(tmp_path / "b")
    a.append([*rows(3, "a"), shared])
    b.append([*rows(4, "b"), replace(shared, rmi_1=0.2501)])
    b.describe("identity", {"space": "s"})
    one, other = RmiStore(tmp_path / "one"), RmiStore(tmp_path / "other")
    assert one.merge(a) == 4
    assert one.merge(b) in (4, 5)
    other.merge(b)
    other.merge(a)
    assert one.rows() == other.rows()
    assert len(one) == 8
    assert one.merge(a) == one.merge(b) == 0
    assert RmiStore(tmp_path / "one").rows() == one.rows()
    assert one.settings() == {"identity": {"space": "s"}}


def test_compacting_keeps_every_row_and_readers_go_on(folder):
    store = RmiStore(folder)
    for i in range(20):
        store.append(rows(2, f"p{i}"))
    reader = RmiStore(folder)
    store.compact()
    only_part(folder)
    reader.append(rows(1, "late"))
    reader.refresh()
    assert len(reader) == len(RmiStore(folder)) == 41


def _append_many(folder, name):
    store = RmiStore(folder)
    for i in range(20):
        store.append(rows(2, f"{name}{i}"))
        store.compact(8)


def test_two_processes_fill_one_store(folder):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append_many, args=(folder, name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    store = RmiStore(folder)
    assert (len(store), store.quarantined) == (80, 0)


def test_settings_say_what_an_identity_stands_for(folder):
    store = RmiStore(folder)
    store.describe("abc", {"macro": {"channels": 8}})
    store.describe("abc", {"macro": "ignored"})
    assert store.settings() == {"abc": {"macro": {"channels": 8}}}
    json.loads((folder / "settings-abc.json").read_text())


def test_a_part_is_plain_parquet(tmp_path):
    from pyarrow import parquet

    path = tmp_path / "p.parquet"
    path.write_bytes(part_bytes([ROW, LOST]))
    table = parquet.read_table(path)
    assert table.column("rmi_1").to_pylist() == [0.25, None]
    assert read_part(path).damaged == 0
