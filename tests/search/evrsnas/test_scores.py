import json
import math
import multiprocessing
import os

import numpy as np
import pytest

from profiler.errors import StorageError
from search.evrsnas.scores import ScoreStore, StoredScorer


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "scores.jsonl"


def filled(path, n=5):
    store = ScoreStore(path)
    for i in range(n):
        store.put(f"k{i}", i / 3, architecture=f"a{i}")
    return store


def test_scores_survive_reopening(path):
    filled(path).put("failed", math.nan)
    store = ScoreStore(path)
    assert len(store) == 6
    assert store.get("k2") == 2 / 3
    assert math.isnan(store.get("failed"))
    assert store.get("unknown") is None
    assert store.quarantined == 0


def test_rows_are_strict_json_with_a_checksum(path):
    filled(path).put("failed", math.nan)
    rows = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    assert all({"schema", "key", "score", "crc32"} <= set(row) for row in rows)
    assert rows[-1]["score"] is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line.replace(b"0.333", b"0.999"),
        lambda line: line[:20] + b"\n",
        lambda line: b"\x00\xff garbage\n",
        lambda line: b"[]\n",
        lambda line: b"\n",
        lambda line: b'{"crc32": 0}\n',
    ],
)
def test_damaged_rows_are_moved_aside_and_counted(path, damage):
    filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    spoilt = damage(lines[1])
    path.write_bytes(b"".join([lines[0], spoilt, *lines[2:]]))
    store = ScoreStore(path)
    assert store.quarantined == 1
    assert store.get("k1") is None
    assert [store.get(f"k{i}") for i in (0, 2, 3, 4)] == [0.0, 2 / 3, 1.0, 4 / 3]
    assert path.with_name("scores.jsonl.quarantine").read_bytes() == spoilt
    store.put("k1", 7.0)
    healed = ScoreStore(path)
    assert (healed.quarantined, healed.get("k1"), len(healed)) == (0, 7.0, 5)


def test_a_torn_last_line_is_quarantined(path):
    filled(path)
    path.write_bytes(path.read_bytes()[:-10])
    store = ScoreStore(path)
    assert (store.quarantined, len(store)) == (1, 4)


def test_appending_after_anothers_torn_line_loses_nothing(path):
    store = filled(path)
    with path.open("ab") as file:
        file.write(b'{"schema": 1, "key": "torn')
    store.put("next", 1.5)
    again = ScoreStore(path)
    assert (again.get("next"), again.quarantined, len(again)) == (1.5, 1, 6)


def test_a_newer_schema_is_not_quarantined_but_named(path):
    from search.evrsnas.scores import _checksum

    filled(path)
    row = {"schema": 2, "key": "k", "score": 1.0}
    with path.open("a") as file:
        file.write(json.dumps({**row, "crc32": _checksum(row)}) + "\n")
    before = path.read_bytes()
    with pytest.raises(StorageError, match="newer version"):
        ScoreStore(path)
    assert path.read_bytes() == before


def test_a_full_disk_leaves_nothing_half_written(path, monkeypatch):
    store = filled(path)
    before = path.read_bytes()

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        store.put("lost", 1.0)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert store.get("lost") is None


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(StorageError, match="file"):
        ScoreStore(blocker / "scores.jsonl")


def _append_many(path, name, n):
    store = ScoreStore(path)
    for i in range(n):
        store.put(f"{name}-{i}", float(i), filler="x" * 300)


def test_processes_may_append_together(path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append_many, args=(path, name, 25)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    store = ScoreStore(path)
    assert (len(store), store.quarantined) == (50, 0)


class FakeScorer:
    def __init__(self, identity="i"):
        self.identity = identity
        self.asked = []

    def __call__(self, archs):
        self.asked += archs
        return np.array([float(sum(a.choices)) or math.nan for a in archs])


def test_nothing_is_scored_twice_not_even_in_another_process_or_as_an_isomorph(space, path):
    a = space.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|")
    b = space.parse("|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|")
    scorer = FakeScorer()
    first = StoredScorer(space, scorer, ScoreStore(path))
    values = first([a, b, a])
    assert values[0] == values[1] == values[2]
    assert first.computed == len(scorer.asked) == 1
    assert scorer.asked == [space.representative(a)]
    later = StoredScorer(space, scorer, ScoreStore(path))
    assert later([b]).tolist() == values[:1].tolist()
    assert (later.computed, len(scorer.asked)) == (0, 1)


def test_other_settings_are_other_scores(space, path):
    arch, store = space.at(15_000), ScoreStore(path)
    one, other = FakeScorer("one"), FakeScorer("other")
    StoredScorer(space, one, store)([arch])
    StoredScorer(space, other, store)([arch])
    assert len(one.asked) == len(other.asked) == 1
    assert len(store) == 2


def test_a_failure_is_remembered_as_a_failure(space, path):
    arch, scorer = space.at(0), FakeScorer()
    assert math.isnan(StoredScorer(space, scorer, ScoreStore(path))([arch])[0])
    assert math.isnan(StoredScorer(space, scorer, ScoreStore(path))([arch])[0])
    assert len(scorer.asked) == 1
