"""Ablations: whole searches under other penalties, and scores compared on the very same classes."""

import json

import numpy as np
import pytest

from search.evrsnas.ablations import (
    MUTATIONS,
    PENALTIES,
    guided_regret,
    mutation_ablation,
    penalty_ablation,
    read_variants,
    score_ablation,
)
from search.evrsnas.arrays import arrays_of
from search.evrsnas.costs import SpaceCosts
from search.evrsnas.evolution import EvolutionConfig
from search.evrsnas.judging import Benchmark, macs_and_params
from search.evrsnas.parts import ScoreRow
from search.evrsnas.store import RmiStore
from search.evrsnas.study import Cell, Study, cells_by_quantile
from search.spaces import find_space

SPACE = find_space("nasbench201")


@pytest.fixture(scope="module")
def world():
    arrays = arrays_of(SPACE)
    macs, _ = macs_and_params(arrays)
    accuracy = np.where(arrays.connected, 60 + 30 * np.sqrt(macs / macs.max()), 10.0)[arrays.representatives]
    costs = SpaceCosts(arrays, "board", "ms", macs / 1e7 + np.random.default_rng(0).random(len(arrays)))
    return arrays, macs, Benchmark(arrays, "cifar10", accuracy), costs


def test_the_penalty_is_varied_and_nothing_else(world):
    arrays, macs, benchmark, costs = world
    sizes = EvolutionConfig(None, population=8, generations=6)
    cells = [*cells_by_quantile(costs, "cifar10", (0.5,)), Cell(costs, costs.quantile(0.5), "cifar100")]
    scores = {d: {"macs": macs / macs.max(), "least": -macs} for d in ("cifar10", "cifar100")}
    study = Study(arrays, cells, scores, (0, 1), sizes)
    rows = penalty_ablation(study, benchmark)
    assert len(rows) == len(PENALTIES) == len({row["setting"] for row in rows})
    assert [row["setting"] for row in rows if row["is_default"]] == ["1 max(0, Psi - T) / T"]
    assert all((row["answers"], row["dataset"], row["violations"]) == (2, "cifar10", 0) for row in rows)
    # the default is the study's own search
    alone = Study(arrays, cells[:1], {"cifar10": {"macs": macs / macs.max()}}, (0, 1), sizes, controls=False).run()
    regret = np.mean([benchmark.accuracy[benchmark.optimum(costs, cells[0].budget)] - benchmark.accuracy[r["position"]]
                      for r in alone])  # fmt: skip
    assert next(row["regret"] for row in rows if row["is_default"]) == pytest.approx(regret)


def test_mutation_is_varied_and_the_share_that_found_the_best_score_told(world):
    arrays, macs, benchmark, costs = world
    scores = macs / macs.max()
    cells = cells_by_quantile(costs, "cifar10", (0.3, 0.7))
    study = Study(
        arrays, cells, {"cifar10": {"macs": scores}}, (0, 1), EvolutionConfig(None, population=8, generations=6)
    )
    rows = mutation_ablation(study, benchmark)
    assert [row["setting"] for row in rows] == [f"{rate:g}" for rate in MUTATIONS]
    assert [row["setting"] for row in rows if row["is_default"]] == ["0.1"]
    assert rows[0]["evaluations"] < rows[-1]["evaluations"]
    answers = Study(arrays, cells, {"cifar10": {"macs": scores}}, (0, 1), study.config, controls=False).run()
    best = [np.nanmax(scores[costs.values <= cell.budget]) for cell in cells]
    found = np.mean([scores[row["position"]] == best[row["cell"]] for row in answers])
    assert rows[1]["found_best"] == pytest.approx(found)
    assert max(row["found_best"] for row in rows) > 0


def test_regret_is_within_what_was_scored_and_ties_share(world):
    arrays, _, benchmark, costs = world
    scores = np.full(len(arrays), np.nan)
    members = np.random.default_rng(2).choice(np.flatnonzero(arrays.connected), 200, replace=False)
    scores[members] = benchmark.accuracy[members]
    cells = [Cell(costs, float(costs.values[members].max()))]
    assert guided_regret(scores, cells, benchmark) == (pytest.approx(0, abs=1e-9), 1)
    scores[members] = 1.0
    own = benchmark.accuracy[members]
    assert guided_regret(scores, cells, benchmark) == (pytest.approx(own.max() - own.mean()), 1)
    assert guided_regret(scores, cells, benchmark, least=10_000) == (None, 0)


def fill(folder, world, identities):
    arrays = world[0]
    firsts = np.unique(arrays.representatives[arrays.connected])
    chosen = np.random.default_rng(1).choice(firsts, 40, replace=False)
    store = RmiStore(folder)
    for identity, settings, count in identities:
        store.append(
            [
                ScoreRow(identity, SPACE.canonical(SPACE.at(int(at))), 0, network, step,
                         float(at) / 15_625, 0.1 * network, step / 100, 1.0, False, 0.1)
                for at in chosen[:count] for network in (0, 1) for step in (0, 20)
            ]
        )  # fmt: skip
        (folder / f"settings-{identity}.json").write_text(json.dumps(settings))


def test_steps_networks_reference_and_batch_are_told_from_a_store(world, tmp_path):
    arrays, macs, benchmark, costs = world
    common = {"space": "nasbench201", "macro": {"channels": 8, "cells_per_stage": 1}, "image_size": 32}
    fill(tmp_path / "s", world, [
        ("a" * 32, {**common, "reference": "r", "origin": "public"}, 40),
        ("b" * 32, {**common, "reference": "t", "origin": "trained"}, 20),
        ("c" * 32, {**common, "reference": "r", "origin": "public", "batch_seed": 1, "balanced": True}, 15),
        ("d" * 32, {**common, "reference": "r", "image_size": 16}, 30),
    ])  # fmt: skip
    variants = read_variants(tmp_path / "s", benchmark)
    assert {(v.identity[0], v.step, v.networks) for v in variants} == {
        (i, step, n) for i in "abcd" for step in (0, 20) for n in (1, 2)
    }
    one = next(v for v in variants if (v.identity[0], v.step, v.networks) == ("a", 20, 2))
    scored = np.flatnonzero(np.isfinite(one.scores))[0]
    assert one.scores[scored] == pytest.approx(arrays.representatives[scored] / 15_625 + 0.05 + 0.2)
    rows = score_ablation(variants, macs, cells_by_quantile(costs, "cifar10", (0.5, 0.8)), benchmark)
    told = {(r["what"], r["identity"][0], r["classes"]) for r in rows}
    assert {("steps", "a", 40), ("networks", "d", 30)} <= told
    # what is compared is of the same classes, whichever of the two has more
    assert {t for t in told if t[0] == "reference"} == {("reference", "a", 20), ("reference", "b", 20)}
    assert {t for t in told if t[0] == "batch"} == {("batch", "a", 15), ("batch", "c", 15)}
    assert any("seed 1, class by class" in r["setting"] for r in rows)
    assert all(r["macs"]["classes"] == r["classes"] for r in rows)
