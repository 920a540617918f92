"""Filling a store by several processes of this machine, of a Dask cluster and of Ray, one of them killed midway."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from edgecost.stages.rmi import RmiOptions, fill_store
from profiler.workloads.weights import seeded_weights
from search.evrsnas import filling
from search.evrsnas.presets import PRESETS, ScorePreset
from search.evrsnas.reference import resnet20
from search.evrsnas.store import RmiStore

TINY = ScorePreset(
    "tiny", channels=4, cells_per_stage=1, image_size=16, steps=1, networks=2, batch_size=8, pool=24, balanced=True
)


@pytest.fixture
def options(monkeypatch, tmp_path):
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    workload, _ = resnet20()
    weights = seeded_weights(workload)
    named = {f"{workload.ops[i].name}.{n}": array for i, group in weights.items() for n, array in group.items()}
    np.savez(tmp_path / "weights.npz", **named)

    def make(store: str, **changes) -> RmiOptions:
        reference = str(tmp_path / "weights.npz")
        return RmiOptions(tmp_path / store, sample=2, preset="tiny", portion=1, reference=reference, **changes)

    return make


@pytest.fixture
def one_dies(monkeypatch, tmp_path):
    """The first process that scores a second portion is killed instead; the file that says so."""
    died, scored, real, here = tmp_path / "died", tmp_path / "scored", filling.score_portion, os.getpid()

    def mortal(portion):  # a closure: workers get it by value and need not have the tests
        if scored.exists() and not died.exists() and os.getpid() != here:
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        rows = real(portion)
        scored.touch()
        return rows

    monkeypatch.setattr(filling, "score_portion", mortal)
    return died


@pytest.fixture
def dask_address():
    distributed = pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address.replace("tcp://", "dask://")


@pytest.fixture
def engine(request):
    if request.param == "dask":
        return {"engine": request.getfixturevalue("dask_address")}
    if request.param == "ray":
        pytest.importorskip("ray", reason="Ray is not installed")
    return {"engine": request.param, "jobs": 2}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Dask's, Ray's and joblib's own
@pytest.mark.parametrize("engine", ["local", "dask", "ray"], indirect=True)
def test_one_of_two_workers_is_killed_midway_and_nothing_is_lost(options, engine, one_dies):
    answer = fill_store(options("cluster", **engine))
    assert one_dies.exists()
    assert (answer["trained"], answer["rows"], answer["diverged"]) == (4, 8, 0)
    alone = fill_store(options("alone", jobs=1))
    rows, expected = (RmiStore(Path(found["store"])).rows() for found in (answer, alone))
    assert [r.key for r in rows] == [r.key for r in expected]
    assert [r.phi for r in rows] == pytest.approx([r.phi for r in expected], abs=1e-4)
