"""The evolutionary search as the command line runs it, on supernets: search, verify, training, the report's layers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import mixconv_tables
import pytest
import yaml

from edgecost.report import collect
from edgecost.stages import costs, searching, verification
from edgecost.stages.searching import SearchOptions, search_evrsnas, train_finalists
from edgecost.stages.spaces import chosen_space, space_of
from profiler.errors import ConfigError
from profiler.workloads.weights import seeded_weights
from search import study as search_study
from search.evrsnas.reference import Reference, resnet20
from search.evrsnas.scoring import PRESETS, ScorePreset
from search.spaces.supernet import read_supernet, supernet_dict


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch):
    """A table that covers the tiny supernet, in place of that of any results folder; and quick scores."""
    found = mixconv_tables.block_table(mixconv_tables.tiny_space(), kernels=True)
    for module in (searching, costs):
        monkeypatch.setattr(module, "load_table", lambda results: found)
    settings = ScorePreset("fast", image_size=16, steps=0, batch_size=8, pool=16)
    monkeypatch.setitem(PRESETS, "fast", settings)
    workload, taps = resnet20()
    reference = Reference(workload, taps, seeded_weights(workload), 0.1, "drawn from a seed")
    monkeypatch.setattr(search_study, "trained_reference", lambda *given: reference)
    return found


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The tiny supernet under another name, as a file of one's own."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**supernet_dict(read_supernet("tiny")), "name": "mine"}))
    return path


def options(**changes) -> SearchOptions:
    given = {"preset": "fast", "population": 6, "generations": 1, "space": "mixconv", "supernet": "tiny"}
    return SearchOptions("sim", 0.3, **{**given, **changes})


def test_a_supernet_is_searched_verified_reported_and_trained(
    table, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    study = search_evrsnas(options(supernet=str(mine)), tmp_path)
    assert study["space"] == "mixconv:mine"
    assert Path(study["file"]).name == "evrsnas-mixconv-mine-sim-onnxruntime-fp32-t1-0.3ms.json"
    assert study["feasible"]
    mine.unlink()  # from here on the study alone says which space it was
    space = space_of(json.loads(Path(study["file"]).read_text()))
    winner = space.architecture(tuple(study["best"]["choices"]))
    assert study["best"]["label"] == space.describe(winner)
    assert study["best"]["cost_ms"] == pytest.approx(
        mixconv_tables.true_ms(space.workload(winner)) + mixconv_tables.OVERHEAD_MS, rel=0.1
    )

    measured = {}

    def measure(devices, target, workload, effort, results, progress=None, *, energy):
        measured["key"] = workload.key
        assert not energy
        return SimpleNamespace(latency_ns=0.2e6, low_ns=0.19e6, high_ns=0.21e6, issues=(), emulation="")

    monkeypatch.setattr(verification, "measure_workload", measure)
    verdict = verification.verify_study(Path(study["file"]), (), "quick", tmp_path)
    assert verdict["within_budget"]
    assert measured["key"] == space.workload(winner).key

    layers = collect._layers(table, study)
    assert 0.0 < sum(part["latency_ms"] for part in layers) <= study["best"]["cost_ms"]
    assert any("depthwise" in part["label"] for part in layers)

    trained = train_finalists(study, options(), tmp_path, steps=1)
    assert [r["role"] for r in trained["rows"]] == ["winner", "random", "reference"]
    assert "networks of mixconv:mine for images of 32 pixels" in trained["sentence"]
    assert trained["macro"] == {"resolution": 32, "num_classes": 10}


def test_the_cell_space_keeps_its_names():
    assert chosen_space("nasbench201").name == "nasbench201"
    assert space_of({"space": "nasbench201"}).name == "nasbench201"
    assert SearchOptions("sim", 1.0).space == "nasbench201"


def test_a_supernet_belongs_to_its_space():
    assert chosen_space("mixconv", "tiny").name == "mixconv:tiny"
    assert chosen_space("mixconv:tiny").name == "mixconv:tiny"
    with pytest.raises(ConfigError, match="--supernet belongs to the space mixconv, not to 'nasbench201'"):
        chosen_space("nasbench201", "tiny")
    with pytest.raises(ConfigError, match="no supernet 'nothing'"):
        chosen_space("mixconv", "nothing")
