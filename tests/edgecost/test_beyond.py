"""Searches beyond the plain one as the command line runs them, on a small supernet's table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mixconv_tables
import numpy as np
import pytest

from edgecost.stages import beyond, beyond_costs
from edgecost.stages.beyond import BeyondOptions, search_beyond
from edgecost.stages.beyond_costs import paired_budgets
from edgecost.stages.rmi import RmiOptions, fill_store
from edgecost.stages.searching import SearchOptions
from edgecost.stages.verification import read_study
from profiler.errors import ConfigError
from profiler.tables.table import CostTable
from profiler.workloads.weights import seeded_weights
from search.evrsnas import reference as references
from search.evrsnas.reference import Reference, resnet20
from search.evrsnas.scoring import PRESETS, ScorePreset
from search.evrsnas.store import RmiStore

SLOW = 3.0


def both_targets() -> CostTable:
    """The small supernet's table, and again for a target that takes three times as long."""
    found = mixconv_tables.block_table(mixconv_tables.tiny_space(), n_models=40, kernels=True)
    slow = replace(mixconv_tables.TARGET, threads=4)
    rows = [
        replace(r, target_id=slow.id, latency_ns=SLOW * r.latency_ns, low_ns=SLOW * r.low_ns, high_ns=SLOW * r.high_ns)
        for r in found.all_rows
    ]
    return CostTable([*found.all_rows, *rows], found.workloads, (mixconv_tables.TARGET, slow))


@pytest.fixture(autouse=True)
def ids(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The two targets; and quick scores with an untrained reference."""
    table = both_targets()
    monkeypatch.setattr(beyond_costs, "load_table", lambda results: table)
    monkeypatch.setitem(PRESETS, "fast", ScorePreset("fast", image_size=16, steps=0, batch_size=8, pool=16))
    workload, taps = resnet20()
    untrained = Reference(workload, taps, seeded_weights(workload), 0.1, "drawn from a seed")
    monkeypatch.setattr(references, "trained_reference", lambda *given: untrained)
    return [target.id for target in table.targets]


@pytest.fixture
def filled(tmp_path: Path) -> tuple[RmiStore, dict]:
    """A store with the scores of three architectures, and the options by which a search finds them."""
    workload, _ = resnet20()
    weights = seeded_weights(workload)
    named = {f"{workload.ops[i].name}.{n}": array for i, group in weights.items() for n, array in group.items()}
    np.savez(tmp_path / "weights.npz", **named)
    given = {"reference": str(tmp_path / "weights.npz")}
    store = tmp_path / "store"
    fill_store(RmiOptions(store, "mixconv", "tiny", sample=3, preset="fast", jobs=1, seed=5, **given))
    return RmiStore(store), {**given, "scores": store, "score_seed": 5}


def options(ids: list[str], *budgets: float, **changes) -> BeyondOptions:
    given = {"preset": "fast", "population": 6, "generations": 2, "space": "mixconv", "supernet": "tiny"}
    return BeyondOptions(tuple(ids), budgets, **{**given, "proxy": "macs", **changes})


def test_a_network_meets_the_budget_on_each_of_two_targets(ids, tmp_path):
    found = search_beyond(options(ids, 0.4, 0.8), tmp_path)
    assert found["feasible"]
    costs = {row["target"]: row for row in found["best"]["costs"]}
    assert all(row["met"] and row["bound_ms"] <= row["budget_ms"] for row in costs.values())
    assert costs[ids[1]]["predicted_ms"] > 2 * costs[ids[0]]["predicted_ms"]
    assert "0.4 ms on" in found["sentence"]
    assert "0.8 ms on" in found["sentence"]
    assert f"(and {found['score']['rank_sample']} that ranks are taken in)" in found["sentence"]
    written = json.loads(Path(found["file"]).read_text())
    assert written["kind"] == "evrsnas-beyond"
    assert Path(found["file"]).parent == tmp_path / "search" / "beyond"  # no report takes it for a plain study


def test_its_winner_is_verified_on_one_target_at_a_time(ids, tmp_path):
    found = search_beyond(options(ids, 1.0, 3.0), tmp_path)
    path = Path(found["file"])
    with pytest.raises(ConfigError, match="the target is one of several; name one with --target"):
        read_study(path)
    with pytest.raises(ConfigError, match="the target is not elsewhere"):
        read_study(path, "elsewhere")
    study = read_study(path, ids[1])
    told = next(c for c in found["best"]["costs"] if c["target"] == ids[1])
    assert (study["target"], study["budget_ms"]) == (ids[1], 3.0)
    assert (study["best"]["cost_ms"], study["best"]["choices"]) == (told["predicted_ms"], found["best"]["choices"])
    path.write_text(json.dumps({**found, "best": {"label": "half a file"}}))
    with pytest.raises(ConfigError, match="damaged study .*'costs'.*; search again"):
        read_study(path, ids[1])
    path.write_text(json.dumps({**found, "best": None}))
    with pytest.raises(ConfigError, match="found no network within its budget"):
        read_study(path, ids[1])


def test_a_budget_on_one_of_them_that_nothing_meets_is_flagged(ids, tmp_path):
    found = search_beyond(options(ids, 5.0, 1e-6), tmp_path)
    assert not found["feasible"]
    assert found["sentence"].startswith("INFEASIBLE")
    assert [row["met"] for row in found["best"]["costs"]] == [True, False]


def test_the_same_search_gives_the_same_file(ids, tmp_path):
    first, second = (search_beyond(options(ids[:1], 0.5), tmp_path / name) for name in ("a", "b"))
    for answer in (first, second):
        answer.pop("search_s")
        answer.pop("file")
    assert first == second


@pytest.mark.parametrize("probability", [0.5, 0.95])
def test_a_probability_keeps_a_distance(ids, tmp_path, probability):
    found = search_beyond(options(ids[:1], 0.5, probability=probability), tmp_path)
    (row,) = found["best"]["costs"]
    assert row["bound_ms"] <= 0.5
    assert (row["bound_ms"] > row["predicted_ms"]) == (probability > 0.5)
    assert f"with probability {probability:g} by normal bounds" in found["sentence"]


def test_a_conformal_bound_comes_of_intervals_of_that_level(ids, tmp_path):
    found = search_beyond(options(ids[:1], 2.0, probability=0.8, bound="conformal"), tmp_path)
    assert found["best"]["costs"][0]["bound_ms"] > found["best"]["costs"][0]["predicted_ms"]


def test_the_front_is_written_whole(ids, tmp_path):
    found = search_beyond(options(ids[:1], 0.5, pareto=True, proxy="phi+macs"), tmp_path)
    costs = [row["costs"][0]["predicted_ms"] for row in found["front"]]
    scores = [row["score"] for row in found["front"]]
    assert costs == sorted(costs)
    assert scores == sorted(scores)
    assert f"from {costs[0]:.3f} to {costs[-1]:.3f} ms" in found["sentence"]
    assert len(found["hypervolume"]["by_generation"]) == 3
    assert set(found["score"]["parts"]) == {"phi", "macs"}
    if found["feasible"]:
        assert found["best"]["costs"][0]["met"]


def test_finalists_are_trained_and_counted(ids, tmp_path):
    found = search_beyond(options(ids[:1], 0.6, finalists=2, epochs=1), tmp_path)
    rows = found["finalists_round"]["finalists"]
    assert 1 <= len(rows) <= 2
    assert found["finalists_round"]["training_forward_macs"] > 0
    assert rows[0]["label"] in found["sentence"]
    assert "on held-out training images" in found["sentence"]


@pytest.mark.parametrize("proxy", ["phi", "phi+macs"])
def test_phi_comes_out_of_a_filled_store_and_what_it_lacks_is_added(ids, tmp_path, filled, proxy):
    store, given = filled
    before = store.rows()
    first = search_beyond(options(ids[:1], 0.5, proxy=proxy, **given), tmp_path / "a")
    store.refresh()
    assert first["phi_networks_trained"] == len(store) - len(before) > 0
    assert {r.identity for r in store.rows()} == {before[0].identity}
    second = search_beyond(options(ids[:1], 0.5, proxy=proxy, **given), tmp_path / "b")
    assert second["phi_networks_trained"] == 0
    assert second["best"] == first["best"]
    assert f"for phi 0 networks were trained, the others found in {store.folder}" in second["sentence"]


def test_a_search_believes_the_store(ids, tmp_path, filled):
    store, given = filled
    honest = search_beyond(options(ids[:1], 1e3, proxy="phi", **given), tmp_path / "a")
    assert honest["best"]["score"] < 2.99
    store.refresh()
    better = RmiStore(tmp_path / "better")
    better.append([replace(row, rmi_1=1.0, rmi_2=1.0, rmi_3=1.0) for row in store.rows()])
    found = search_beyond(options(ids[:1], 1e3, proxy="phi", **{**given, "scores": better.folder}), tmp_path / "b")
    assert found["best"]["score"] == pytest.approx(3.0)


def test_searches_of_other_seeds_share_a_store(ids, tmp_path, filled):
    store, given = filled
    search_beyond(options(ids[:1], 0.5, proxy="phi", seed=1, **given), tmp_path)
    store.refresh()
    assert {row.seed for row in store.rows()} == {5}


def test_a_store_that_is_not_there_is_said_before_anything_is_trained(ids, tmp_path):
    with pytest.raises(ConfigError, match="there is no score store at .*nowhere"):
        search_beyond(options(ids[:1], 0.5, proxy="phi+macs", scores=tmp_path / "nowhere"), tmp_path)
    assert not (tmp_path / "search" / "beyond").exists()
    assert not (tmp_path / "nowhere").exists()


def test_what_is_asked_for_decides_who_searches(ids):
    assert options(ids[:1], 1.0, proxy="phi").plain
    assert not options(ids, 1.0, proxy="phi").plain
    for changes in (
        {"pareto": True}, {"probability": 0.9}, {"proxy": "macs"}, {"finalists": 2}, {"scores": Path("s")},
        {"reference": "r.npz"}, {"score_seed": 0},
    ):  # fmt: skip
        assert not options(ids[:1], 1.0, **{"proxy": "phi", **changes}).plain


def test_the_plain_search_is_told_all_that_was_said(ids):
    asked = options(ids[:1], 2.5, proxy="phi", seed=3, unit="mj", data=Path("images"))
    assert asked.as_plain() == SearchOptions(
        ids[0], 2.5, preset="fast", population=6, generations=2, space="mixconv", supernet="tiny", seed=3, unit="mj",
        data=Path("images"),
    )  # fmt: skip
    assert options(ids[:1], 1.0, proxy="phi", finalists=2).as_plain() is None
    assert options(ids[:1], 1.0, 2.0, proxy="phi").as_plain() is None, "two budgets of one target are for a message"


@pytest.mark.parametrize(
    ("budgets", "changes", "words"),
    [
        ((1.0, 2.0, 3.0), {}, "2 targets take one budget for all or one each"),
        ((1.0,), {"pareto": True}, "--pareto is the front of one target"),
        ((1.0,), {"probability": 1.5}, "probability of meeting a budget"),
        ((1.0,), {"probability": 0.9, "bound": "certain"}, "'normal' or 'conformal'"),
        ((1.0,), {"proxy": "phi+phi"}, "several different ones joined by"),
        ((1.0,), {"proxy": "grasp"}, "no training-free score 'grasp'"),
        ((1.0,), {"finalists": -1}, "--finalists is not negative"),
        ((-1.0,), {}, "positive number"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_nothing(ids, tmp_path, budgets, changes, words):
    with pytest.raises(ConfigError, match=words):
        search_beyond(options(ids, *budgets, **changes), tmp_path)
    assert not (tmp_path / "search" / "beyond").exists()


def test_one_budget_is_for_all():
    assert paired_budgets(["a", "b"], [3.0]) == {"a": 3.0, "b": 3.0}
    with pytest.raises(ConfigError, match="named once"):
        paired_budgets(["a", "a"], [3.0])


def test_the_command_line_hands_over_what_is_asked_for(run, monkeypatch):
    asked = {}

    def search(options, results, out, progress):
        asked["options"] = options
        return {"feasible": True, "sentence": "found", "file": "s.json"}

    monkeypatch.setattr(beyond, "search_beyond", search)
    code, out, _ = run(
        "search", "evrsnas", "-t", "a", "-t", "b", "--budget-ms", "5", "--budget-ms", "6", "--probability", "0.9",
        "--proxy", "phi+macs", "--finalists", "3", "--scores", "store", "--score-seed", "7",
    )  # fmt: skip
    assert (code, out) == (0, "found\n")
    found = asked["options"]
    assert (found.targets, found.budgets, found.probability) == (("a", "b"), (5.0, 6.0), 0.9)
    assert (found.proxy, found.finalists, found.pareto, found.plain) == ("phi+macs", 3, False, False)
    assert (found.scores, found.score_seed, found.reference) == (Path("store"), 7, None)


def test_the_plain_search_stays_the_plain_search(run, monkeypatch):
    from edgecost.stages import searching

    def plain(options, results, out, progress):
        assert (options.target, options.budget) == ("a", 5.0)
        return {"feasible": True, "sentence": "plain", "file": "s.json"}

    monkeypatch.setattr(searching, "search_evrsnas", plain)
    assert run("search", "evrsnas", "-t", "a", "--budget-ms", "5")[:2] == (0, "plain\n")


def test_scores_of_a_space_come_as_a_file(run, tmp_path):
    out = str(tmp_path / "scores.parquet")
    code, text, _ = run("search", "scores", "--proxy", "macs", "--proxy", "params", "--sample", "12", "--out", out)
    assert code == 0
    assert text.startswith("12 architectures of nasbench201 scored by macs, params (no score: none")
    code, _, err = run("search", "scores", "--proxy", "macs", "--space", "fbnet", "--out", out)
    assert code == 2
    assert "too many to score all: give --sample N" in err
