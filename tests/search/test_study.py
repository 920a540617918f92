import json
import math
from dataclasses import replace

import numpy as np
import pytest

from profiler.errors import ConfigError, StorageError
from search import study as module
from search.evrsnas.evolution import EvolutionConfig
from search.evrsnas.scoring import PRESETS, ScorePreset
from search.study import SearchConfig, StudyResult, read_study, run_search


class Progress:
    def __init__(self, kill_at=None):
        self.total, self.steps, self.messages, self.kill_at = 0, [], [], kill_at

    def start(self, total):
        self.total = total

    def advance(self, label):
        self.steps.append(label)
        if len(self.steps) == self.kill_at:
            raise KeyboardInterrupt

    def message(self, text):
        self.messages.append(text)


def costs(archs):
    return np.array([1.0 + sum((0, 0, 2, 5, 1)[c] for c in a.choices) for a in archs])


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    settings = ScorePreset("tiny", channels=2, cells_per_stage=1, image_size=8, steps=0, batch_size=8, pool=24)
    monkeypatch.setitem(PRESETS, "tiny", settings)


@pytest.fixture
def config(toy_weights):
    evolution = EvolutionConfig(9.0, population=6, generations=4, tournament=3)
    return SearchConfig("board/onnxruntime-fp32-t1", evolution, preset="tiny", reference=str(toy_weights))


@pytest.fixture
def search(config, toy_images, tmp_path):
    def run(cost_fn=costs, out=tmp_path / "study.json", **changes):
        progress = changes.pop("progress", None)
        identity = changes.pop("cost_identity", "costs")
        evolution = replace(config.evolution, **changes.pop("evolution", {}))
        space = changes.pop("space_object", None)
        chosen = replace(config, evolution=evolution, **changes)
        return run_search(
            chosen, cost_fn, out, cost_identity=identity, images=toy_images, progress=progress, space=space
        )

    return run


def test_a_study_holds_everything_and_round_trips(search, tmp_path, space):
    progress = Progress()
    result = search(progress=progress)
    path = tmp_path / "study.json"
    data = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert (data["space"], data["target"], data["budget_ms"]) == ("nasbench201", "board/onnxruntime-fp32-t1", 9.0)
    assert data["feasible"] is True
    assert data["best"]["cost_ms"] <= 9.0
    assert data["best"]["label"] == space.describe(space.architecture(tuple(data["best"]["choices"])))
    assert [g["generation"] for g in data["course"]] == [0, 1, 2, 3, 4]
    assert data["n_evaluations"] == result.result.evaluations <= len(data["evaluations"])
    assert data["facts"]["scores_computed"] == data["n_evaluations"]
    assert data["config"]["seed"] == data["seed"] == 0
    assert data["wall_s"] > 0
    assert progress.total == len(progress.steps) == 5
    again = read_study(path)
    assert again == replace(result, wall_s=round(result.wall_s, 2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "study.json"]


def test_a_complete_study_is_not_searched_again(search):
    first = search()
    asked = []
    second = search(cost_fn=lambda archs: asked.append(archs))
    assert asked == []
    assert second.result == first.result


@pytest.mark.parametrize("change", [{"seed": 1}, {"cost_identity": "other"}, {"evolution": {"budget_ms": 8.0}}])
def test_anything_else_is_another_study(search, change):
    first = search()
    asked = []

    def cost_fn(archs):
        asked.extend(archs)
        return costs(archs)

    second = search(cost_fn=cost_fn, **change)
    assert asked
    assert second.identity != first.identity


def test_a_killed_study_continues_and_ends_the_same(search, tmp_path):
    whole = search(out=tmp_path / "whole.json")
    with pytest.raises(KeyboardInterrupt):
        search(progress=Progress(kill_at=2))
    assert not (tmp_path / "study.json").exists()
    progress = Progress()
    resumed = search(progress=progress)
    assert resumed.result == whole.result
    assert len(progress.steps) == 3


def test_scores_are_shared_between_studies(search, tmp_path):
    search(out=tmp_path / "one.json")
    second = search(out=tmp_path / "two.json", cost_identity="other board")
    assert second.facts["scores_computed"] == 0


def test_damaged_scores_are_counted_and_scored_again(search, tmp_path):
    search(out=tmp_path / "one.json")
    scores = tmp_path / "cache" / "scores.jsonl"
    lines = scores.read_text().splitlines(keepends=True)
    lines[1] = lines[1][:30] + "\n"
    scores.write_text("".join(lines))
    progress = Progress()
    again = search(out=tmp_path / "two.json", cost_identity="again", progress=progress)
    assert again.facts["quarantined_rows"] == again.facts["scores_computed"] == 1
    assert any("1 damaged rows" in m for m in progress.messages)


def test_a_budget_nobody_can_meet_is_an_answer_and_no_error(search):
    result = search(evolution={"budget_ms": 0.1})
    data = result.to_dict()
    assert data["feasible"] is False
    assert data["sentence"].startswith("INFEASIBLE")
    assert data["best"]["violation"] == min(e["violation"] for e in data["evaluations"])


def test_without_a_budget_nothing_violates_it(search):
    data = search(evolution={"budget_ms": None}).to_dict()
    assert data["budget_ms"] is None
    assert data["feasible"] is True
    assert data["sentence"].startswith("best without a budget")


def test_costs_that_are_all_missing_are_a_config_error_and_leave_no_study(search, tmp_path):
    with pytest.raises(ConfigError, match="cost"):
        search(cost_fn=lambda archs: np.full(len(archs), np.nan))
    assert not (tmp_path / "study.json").exists()


def test_architectures_without_a_cost_are_null_in_the_file(search):
    def cost_fn(archs):
        return np.array([math.nan if a.choices[0] < 3 else c for a, c in zip(archs, costs(archs), strict=True)])

    rows = search(cost_fn=cost_fn, evolution={"budget_ms": 30.0}).to_dict()["evaluations"]
    missing = [r for r in rows if r["choices"][0] < 3]
    assert missing
    assert all(r["cost_ms"] is None and r["score"] is None and r["fitness"] is None for r in missing)


def test_unknown_names_are_refused(search, tmp_path):
    for change in ({"preset": "slow"}, {"reference": str(tmp_path / "none.npz")}):
        with pytest.raises(ConfigError):
            search(**change)


def test_unreadable_studies_are_typed(search, tmp_path):
    with pytest.raises(ConfigError, match="no study"):
        read_study(tmp_path / "nothing.json")
    search()
    path = tmp_path / "study.json"
    text = path.read_text()
    path.write_text(text[:200])
    with pytest.raises(StorageError, match=r"study\.json"):
        read_study(path)
    with pytest.raises(StorageError, match="newer"):
        StudyResult.from_dict({**json.loads(text), "schema": module.STUDY_SCHEMA + 1})
    assert search().result.best.candidate  # a damaged study is replaced by a new search


def test_a_reference_is_trained_where_no_weights_are_given(monkeypatch, config, toy_images, toy_reference, tmp_path):
    asked = []

    def train(images, seed, cache_dir):
        asked.append((images.name, seed, cache_dir))
        return toy_reference

    monkeypatch.setattr(module, "trained_reference", train)
    run_search(replace(config, reference=None, seed=5), costs, tmp_path / "s.json", images=toy_images)
    assert asked == [("toy", 5, tmp_path / "cache")]


def test_a_study_of_a_supernet_carries_its_definition(search, tmp_path):
    from search.spaces.mixconv import MixConv
    from search.spaces.supernet import read_supernet, supernet_of

    mine = MixConv(replace(read_supernet("tiny"), name="mine"))

    def macs(archs):
        return np.array([mine.workload(a).macs / 1e5 for a in archs])

    result = search(macs, space_object=mine, space=mine.name)
    data = json.loads((tmp_path / "study.json").read_text())
    assert data["space"] == "mixconv:mine"
    assert data["feasible"]
    assert supernet_of(data["facts"]["space"]["supernet"], "kept") == replace(mine.supernet, description="")
    assert mine.describe(result.result.best.architecture) == data["best"]["label"]
    assert read_study(tmp_path / "study.json").result == result.result
