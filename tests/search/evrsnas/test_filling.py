import math
import operator
import pickle
import socket
from dataclasses import replace

import pytest

from profiler.errors import ConfigError
from search.evrsnas.course import steps_to_record
from search.evrsnas.engines import Engine, parse_engine, run_all
from search.evrsnas.filling import (
    FillingScorer,
    open_networks,
    portions,
    sample_classes,
    score_portion,
    stored_score,
)
from search.evrsnas.scoring import RmiScorer, ScorePreset
from search.evrsnas.store import RmiStore

TINY = ScorePreset(
    "tiny", channels=4, cells_per_stage=1, image_size=16, steps=1, networks=2, batch_size=8, pool=24, balanced=True
)


@pytest.fixture
def make(space, toy_images, toy_reference):
    return lambda **changes: RmiScorer(space, replace(TINY, **changes), toy_reference, toy_images, 0)


def test_a_sample_holds_distinct_connected_classes_and_the_larger_holds_the_smaller(space):
    few, more = sample_classes(space, 20, 0), sample_classes(space, 60, 0)
    assert more[:20] == few
    assert len({space.canonical(a) for a in more}) == 60
    assert all(space.connected(a) and space.representative(a) == a for a in more)
    assert sample_classes(space, 20, 1) != few


def test_what_is_scored_is_stored_and_not_scored_again(make, space, tmp_path):
    scorer, store, at = make(), RmiStore(tmp_path / "s"), steps_to_record(1)
    archs = sample_classes(space, 3, 0)
    todo = open_networks(archs, scorer, store, 2, at)
    assert len(todo) == 6
    first, *rest = portions(scorer, todo, at, 1, 4)
    store.append(score_portion(first))
    assert len(open_networks(archs, scorer, store, 2, at)) == 2
    for portion in rest:
        store.append(score_portion(portion))
    assert open_networks(archs, scorer, RmiStore(tmp_path / "s"), 2, at) == []
    for arch in archs:
        assert stored_score(store, scorer, arch) == pytest.approx(scorer.score(arch), abs=1e-9)
        assert stored_score(store, make(steps=0, networks=1), arch) == pytest.approx(
            make(steps=0, networks=1).score(arch), abs=1e-6
        )
        mixed = make(kind="mixed_loss")
        assert stored_score(store, mixed, arch) == pytest.approx(mixed.score(arch), abs=1e-6)


def test_rows_depend_on_content_and_not_on_names_devices_or_threads(make):
    assert make().course_identity == make(name="other", threads=2, steps=9, networks=1).course_identity
    assert make().course_identity != make(channels=8).course_identity
    assert make().course_identity != make(learning_rate=0.2).course_identity


def test_a_search_finds_what_was_filled_and_fills_what_it_lacks(make, space, tmp_path):
    scorer, store = make(), RmiStore(tmp_path / "s")
    fn = FillingScorer(scorer, store)
    arch = sample_classes(space, 1, 3)[0]
    first = fn([arch, arch])
    assert fn.computed == 2
    assert first[0] == first[1] == pytest.approx(scorer.score(arch), abs=1e-9)
    later = FillingScorer(scorer, RmiStore(tmp_path / "s"))
    assert later([arch])[0] == first[0]
    assert later.computed == 0


def test_a_diverged_network_is_remembered_and_never_a_score(make, space, tmp_path):
    scorer, store = make(learning_rate=1e30, steps=4), RmiStore(tmp_path / "s")
    arch = sample_classes(space, 1, 3)[0]
    fn = FillingScorer(scorer, store)
    assert math.isnan(fn([arch])[0])
    assert math.isnan(fn([arch])[0])
    assert fn.computed == 2
    assert any(r.diverged for r in store.rows())
    assert all(math.isfinite(r.phi) for r in store.rows() if r.step == 0)


def test_work_travels(make, space):
    scorer = pickle.loads(pickle.dumps(make()))
    assert scorer.course_identity == make().course_identity


def test_portions_are_done_by_processes():
    assert sorted(run_all(operator.neg, [1, 2, 3], Engine(jobs=2))) == [-3, -2, -1]
    assert list(run_all(operator.neg, [1, 2], Engine(jobs=1))) == [-1, -2]


@pytest.mark.parametrize("text", ["", "dask", "dask://", "dask://host", "dask://host:0", "spark://h:1", "ray://h:x"])
def test_what_is_no_engine_is_refused(text):
    with pytest.raises(ConfigError, match="dask://HOST:PORT"):
        parse_engine(text)


def test_engines_by_name():
    assert parse_engine("local", 2) == Engine(jobs=2)
    assert parse_engine("dask://a.b:8786") == Engine("dask", "a.b", 8786)
    assert parse_engine("ray") == Engine("ray")


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_an_address_nobody_answers_at(kind):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(ConfigError, match=f"nobody answers at {kind}://127.0.0.1:{port}"):
            list(run_all(operator.neg, [1], parse_engine(f"{kind}://127.0.0.1:{port}")))
