import json
import math
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecost.cli import app as application
from edgecost.stages.rmi import RmiOptions, fill_store, merge_stores
from profiler.errors import ConfigError, StorageError
from search.evrsnas import engines
from search.evrsnas.presets import PRESETS, ScorePreset
from search.evrsnas.store import RmiStore

TINY = ScorePreset(
    "tiny", channels=4, cells_per_stage=1, image_size=16, steps=1, networks=2, batch_size=8, pool=24, balanced=True
)


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """A preset of seconds, and a ResNet-20 drawn from a seed so that none need be trained."""
    from profiler.workloads.weights import seeded_weights
    from search.evrsnas.reference import resnet20

    monkeypatch.setitem(PRESETS, "tiny", TINY)
    workload, _ = resnet20()
    named = {
        f"{workload.ops[i].name}.{n}": a for i, group in seeded_weights(workload).items() for n, a in group.items()
    }
    np.savez(tmp_path / "weights.npz", **named)


@pytest.fixture
def options(tmp_path):
    def make(**changes):
        usual = {"store": tmp_path / "store", "sample": 3, "preset": "tiny", "jobs": 1}
        return RmiOptions(**{**usual, "reference": str(tmp_path / "weights.npz"), **changes})

    return make


def test_filling_twice_trains_once_and_a_larger_sample_only_what_is_new(options):
    first = fill_store(options())
    assert (first["architectures"], first["trained"], first["found"], first["rows"]) == (3, 6, 0, 12)
    again = fill_store(options())
    assert (again["trained"], again["found"]) == (0, 6)
    more = fill_store(options(sample=4))
    assert (more["trained"], more["found"]) == (2, 6)


def test_several_processes_and_several_in_flight_fill_the_same_rows(options, tmp_path):
    fill_store(options())
    fill_store(options(store=tmp_path / "other", in_flight=3))
    one, other = RmiStore(tmp_path / "store").rows(), RmiStore(tmp_path / "other").rows()
    assert [r.key for r in one] == [r.key for r in other]
    assert [r.phi for r in one if r.step == 0] == pytest.approx([r.phi for r in other if r.step == 0], abs=1e-3)


def test_what_died_with_its_worker_is_done_again(options, monkeypatch, tmp_path):
    real, deaths = engines.run_all, []

    def mortal(function, work, engine):
        for i, result in enumerate(real(function, work, engine)):
            if i == 1 and not deaths:
                deaths.append(1)
                raise engines.WorkersLost("workers died while scoring: killed")
            yield result

    monkeypatch.setattr(engines, "run_all", mortal)
    answer = fill_store(options(portion=1))
    assert (answer["rounds_lost"], answer["rows"]) == (1, 12)
    assert "died 1 times" in answer["sentence"]


def test_workers_that_never_do_anything_are_given_up(options, monkeypatch):
    def dead(function, work, engine):
        raise engines.WorkersLost("workers died while scoring: killed")
        yield

    monkeypatch.setattr(engines, "run_all", dead)
    with pytest.raises(StorageError, match="3 times nothing came back"):
        fill_store(options())


def test_merging(options, tmp_path):
    fill_store(options())
    fill_store(options(store=tmp_path / "b", seed=1))
    answer = merge_stores([tmp_path / "store", tmp_path / "b"], tmp_path / "both")
    assert answer["rows"] == answer["taken"] == 24
    assert merge_stores([tmp_path / "b"], tmp_path / "both")["taken"] == 0
    with pytest.raises(ConfigError, match="no score store"):
        merge_stores([tmp_path / "nowhere"], tmp_path / "both")


def run(capsys, monkeypatch, *args):
    monkeypatch.setattr("sys.argv", ["edgecost", *map(str, args)])
    try:
        application.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_verb(capsys, monkeypatch, tmp_path):
    given = ("--sample", 2, "--preset", "tiny", "--jobs", 1, "--reference", tmp_path / "weights.npz")
    code, out, err = run(capsys, monkeypatch, "rmi", "score", *given, "--store", tmp_path / "s", "--json")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert (answer["rows"], answer["diverged"]) == (8, 0)
    assert all(math.isfinite(r.phi) for r in RmiStore(Path(answer["store"])).rows())


def free_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "--sample N or --all"),
        (("--sample", "1", "--all"), "--sample N or --all"),
        (("--sample", "0"), "--sample is at least 1"),
        (("--sample", "1", "--in-flight", "0"), "--in-flight is at least 1"),
        (("--sample", "1", "--engine", "spark://h:1"), "dask://HOST:PORT"),
        (("--sample", "1", "--device", "nothing"), "cannot compute on 'nothing'"),
        (("--all", "--space", "mixconv"), "score a --sample"),
        (("--sample", "1", "--preset", "slow"), "no score preset 'slow'"),
    ],
)
def test_bad_input_is_a_sentence_and_nothing_is_written(capsys, monkeypatch, tmp_path, args, words):
    code, _, err = run(capsys, monkeypatch, "rmi", "score", *args, "--store", tmp_path / "s")
    assert code == 2
    assert words in err
    assert not (tmp_path / "s").exists()


def test_an_engine_nobody_answers_at(capsys, monkeypatch, tmp_path):
    address = f"dask://127.0.0.1:{free_port()}"
    given = ("--sample", 1, "--preset", "tiny", "--reference", tmp_path / "weights.npz", "--store", tmp_path / "s")
    code, _, err = run(capsys, monkeypatch, "rmi", "score", *given, "--engine", address)
    assert code == 2
    assert f"nobody answers at {address}" in err
    assert err.strip().splitlines()[-1].startswith("edgecost: ")


@pytest.mark.parametrize("reference", ["trained", None])
def test_images_of_one_class_are_refused_before_a_reference_is_trained(options, monkeypatch, tmp_path, reference):
    import pandas as pd

    pixels = np.random.default_rng(0).integers(0, 256, (30, 3072), dtype=np.uint8)
    rows = {"split": ["train"] * 28 + ["test"] * 2, "label": [3] * 30, "image_hwc_uint8": [p.tobytes() for p in pixels]}
    pd.DataFrame(rows).to_parquet(tmp_path / "one.parquet")
    monkeypatch.setattr("search.evrsnas.reference.train_classifier", lambda *args: pytest.fail("was trained"))
    with pytest.raises(ConfigError, match="one class only, so that there is nothing to tell apart"):
        fill_store(options(data=tmp_path / "one.parquet", reference=reference))
    assert not list(tmp_path.rglob("reference-*.npz"))


@pytest.mark.parametrize("in_flight", [1, 3])
def test_trainings_that_diverge_are_rows_without_a_score(options, monkeypatch, in_flight):
    monkeypatch.setitem(PRESETS, "tiny", replace(TINY, learning_rate=1e30, steps=7))
    answer = fill_store(options(in_flight=in_flight))
    assert (answer["diverged"], answer["trained"]) == (6, 6)
    assert "6 networks diverged and have no score" in answer["sentence"]
    again = fill_store(options(in_flight=in_flight))
    assert (again["trained"], again["found"], again["quarantined"]) == (0, 6, 0)
    rows = RmiStore(options().store).rows()
    assert {(row.step, row.diverged) for row in rows} == {(0, False), (5, True), (7, True)}
    assert all(math.isnan(row.phi) == row.diverged for row in rows)
