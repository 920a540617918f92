"""The study: its rows, its controls, exact regret, and that accuracies are not seen by any search."""

import math

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.evrsnas.arrays import arrays_of
from search.evrsnas.costs import SpaceCosts
from search.evrsnas.evolution import EvolutionConfig
from search.evrsnas.finalists_stage import random_finalists, ranked_anew
from search.evrsnas.judging import Benchmark, macs_and_params, rank_correlation
from search.evrsnas.many import Found, Run, shortlist
from search.evrsnas.parts import ScoreRow
from search.evrsnas.store import RmiStore
from search.evrsnas.study import Cell, Study, cells_by_quantile
from search.evrsnas.study_judging import exact_front, judge
from search.evrsnas.study_scores import combined, file_scores, stored_scores
from search.evrsnas.study_table import by_budget, regrets_by_budget, summary
from search.spaces import find_space

SPACE = find_space("nasbench201")


@pytest.fixture(scope="module")
def world():
    arrays = arrays_of(SPACE)
    macs, _ = macs_and_params(arrays)
    rng = np.random.default_rng(0)
    accuracy = (
        60 + 30 * np.sqrt(macs / macs.max())[arrays.representatives] + rng.random(len(arrays))[arrays.representatives]
    )
    accuracy[~arrays.connected] = 10
    costs = SpaceCosts(arrays, "board", "ms", macs / 1e7 + rng.random(len(arrays)))
    return arrays, macs, accuracy, costs


def study(world, quantiles=(0.3, 0.7), **kwargs):
    arrays, macs, accuracy, costs = world
    # a score that ranks as accuracy does: then regret is what the search itself loses
    scores = {"cifar10": {"phi": accuracy / 100, "macs": macs, "least": -macs}}
    sizes = EvolutionConfig(None, population=10, generations=20)
    return Study(arrays, cells_by_quantile(costs, "cifar10", quantiles), scores, (0, 1), sizes, **kwargs)


@pytest.fixture(scope="module")
def made(world):
    own = study(world)
    rows = own.run()
    return own, rows, *judge(rows, own.cells, {"cifar10": Benchmark(world[0], "cifar10", world[2])})


def test_one_row_a_cell_seed_and_method(made):
    own, rows, _, tops = made
    methods = ["hw-evrsnas", "no penalty", "rejection", "by macs", "by least"]
    assert own.methods() == methods
    methods += ["random", "random by macs", "random by least"]
    for method in methods:
        assert [(r["cell"], r["seed"]) for r in rows if r["method"] == method] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for name in ("phi", "macs", "least"):
        assert [r["cell"] for r in rows if r["method"] == f"all by {name}"] == [0, 1]
    assert [t["budget"] for t in tops] == [cell.budget for cell in own.cells]


def test_regret_is_exact(made, world):
    own, _, judged, tops = made
    _, _, accuracy, costs = world
    for top, cell in zip(tops, own.cells, strict=True):
        assert top["optimum"] == accuracy[costs.values <= cell.budget].max()
    for row in judged:
        if row["feasible"]:
            assert costs.values[row["position"]] == row["cost"] <= row["budget"]
            assert row["regret"] == tops[row["cell"]]["optimum"] - accuracy[row["position"]] >= 0
        else:
            assert row["regret"] is None
    # the whole space by a score that ranks as accuracy does loses nothing
    assert [r["regret"] for r in judged if r["method"] == "all by phi"] == [0.0, 0.0]


def test_random_search_has_the_evolutions_evaluations(made):
    _, rows, _, _ = made
    of = {(r["method"], r["cell"], r["seed"]): r["evaluations"] for r in rows}
    for cell in (0, 1):
        for seed in (0, 1):
            for method in ("random", "random by macs", "random by least"):
                assert of[method, cell, seed] == of["hw-evrsnas", cell, seed]


def test_no_search_sees_an_accuracy(made, world):
    """Other accuracies judge the same rows otherwise: what was chosen stays."""
    again = study(world).run()
    chosen = [(r["method"], r["cell"], r["seed"], r["position"]) for r in made[1]]
    assert [(r["method"], r["cell"], r["seed"], r["position"]) for r in again] == chosen
    assert all("accuracy" not in row and "regret" not in row for row in again)


def test_the_summary_counts_and_averages(made):
    _, _, judged, tops = made
    lines = {line["method"]: line for line in summary(judged, tops)}
    own = [r["regret"] for r in judged if r["method"] == "hw-evrsnas" and r["regret"] is not None]
    assert lines["hw-evrsnas"]["regret"] == pytest.approx(np.mean(own))
    assert lines["hw-evrsnas"]["answers"] == 4
    assert all(line["violations"] == 0 for line in lines.values())
    assert lines["random feasible"]["regret"] == pytest.approx(np.mean([t["optimum"] - t["mean_within"] for t in tops]))
    assert lines["hw-evrsnas"]["regret"] < lines["by least"]["regret"]
    assert [line["seeds"] for line in by_budget(judged, tops)] == [2, 2]


def test_an_answer_called_feasible_beyond_its_budget_is_counted(made):
    _, _, judged, tops = made
    broken = [{**r, "cost": r["budget"] * 1.5} if r["method"] == "random" else r for r in judged]
    lines = {line["method"]: line for line in summary(broken, tops)}
    assert lines["random"]["violations"] == 4


def test_what_cannot_be_studied_is_one_sentence(world):
    arrays, macs, _, costs = world
    scores = {"cifar10": {"macs": macs}}
    with pytest.raises(ConfigError, match="below the cheapest"):
        Study(arrays, [Cell(costs, 0.001)], scores)
    with pytest.raises(ConfigError, match="no scores for the data set cifar100"):
        Study(arrays, [Cell(costs, 9.0, "cifar100")], scores)
    with pytest.raises(ConfigError, match="at least one device"):
        Study(arrays, [], scores)


@pytest.fixture(scope="module")
def ranked(world):
    """A study with a finalists' round whose final score is the accuracy, of a search by what says nothing."""
    arrays, macs, accuracy, costs = world
    rng = np.random.default_rng(3)
    scores = {"cifar10": {"noise": rng.random(len(arrays)), "macs": macs}}
    final = arrays.scores(np.where(rng.random(len(arrays)) < 0.8, accuracy, np.nan))
    sizes = EvolutionConfig(None, population=10, generations=20)
    cells = cells_by_quantile(costs, "cifar10", (0.3, 0.7))
    own = Study(arrays, cells, scores, (0, 1), sizes, final={"cifar10": final}, finalists=6)
    return own, final, own.run()


def test_finalists_are_the_best_seen_and_the_final_score_decides(ranked, world):
    own, final, rows = ranked
    _, _, _, costs = world
    of = {(r["method"], r["cell"], r["seed"]): r for r in rows}
    better = 0
    for cell, budget in enumerate(c.budget for c in own.cells):
        for seed in (0, 1):
            plain, anew = (of[m, cell, seed] for m in ("hw-evrsnas, no finalists", "hw-evrsnas"))
            assert anew["evaluations"] == plain["evaluations"]
            assert anew["feasible"]
            assert anew["cost"] == costs.values[anew["position"]] <= budget
            first = np.nan_to_num(final[plain["position"]], nan=-1)
            assert final[anew["position"]] >= first
            better += final[anew["position"]] > first
            assert 0 <= anew["unranked"] <= 6
            assert "course" in anew
            assert "course" not in plain
            # every control has the same round
            for method in ("by macs", "random", "no penalty", "random by macs"):
                assert (f"{method}, finalists", cell, seed) in of
            drawn = of["random finalists", cell, seed]
            assert (drawn["evaluations"], drawn["feasible"]) == (6, True)
    assert better


def test_finalists_are_one_a_class_and_none_without_a_final_score_wins(world):
    arrays, macs, _, costs = world
    fitness = np.where(arrays.connected, macs, -np.inf)
    few = shortlist(arrays, np.arange(len(arrays)), fitness, np.where(costs.values > 3, 1.0, 0.0), 50)
    assert len(few) == len(np.unique(arrays.classes[few])) == 50
    assert (costs.values[few] <= 3).all()
    assert (np.diff(macs[few]) <= 0).all()
    run = Run(macs, costs.values, EvolutionConfig(3.0), 0)
    found = Found(int(few[0]), 1.0, 2.0, 0.0, 9, shortlist=tuple(few[:3].tolist()))
    final = np.full(len(arrays), np.nan)
    assert ranked_anew(found, run, final) == (found, 3)
    final[few[2]] = 0.1
    assert ranked_anew(found, run, final)[0].position == few[2]
    rng = np.random.default_rng(0)
    assert random_finalists(arrays, costs.values, 1e-9, final, 5, rng) is None
    drawn = random_finalists(arrays, costs.values, 3.0, final, 5, rng)
    assert (drawn.evaluations, drawn.score) == (1, 0.1)


def test_a_course_ends_with_the_answer(made, world):
    _, rows, judged, _ = made
    for row, known in zip(rows, judged, strict=True):
        if row["method"] != "hw-evrsnas":
            assert "course" not in row
            continue
        generations, scores, positions = zip(*row["course"], strict=True)
        assert list(generations) == sorted(set(generations))
        assert list(scores) == sorted(set(scores))
        assert (scores[-1], positions[-1]) == (row["score"], row["position"])
        assert known["course"][-1][2] == known["accuracy"] == world[2][row["position"]]


def test_the_exact_front_holds_what_nothing_beats(world):
    _, _, accuracy, costs = world
    front = exact_front(costs, accuracy)
    xs, ys = zip(*front, strict=True)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(set(ys))
    for budget in (2.0, 5.0, 20.0):
        best = accuracy[costs.values <= budget].max()
        assert best == max(y for x, y in front if x <= budget)


def test_regrets_by_budget_are_means_over_seeds(made):
    _, _, judged, _ = made
    line = next(r for r in regrets_by_budget(judged) if (r["method"], r["cell"]) == ("random", 1))
    own = [r["regret"] for r in judged if (r["method"], r["cell"]) == ("random", 1)]
    assert (line["regret"], line["least"], line["largest"]) == (pytest.approx(np.mean(own)), min(own), max(own))
    assert not any(r["method"].startswith("all by") for r in regrets_by_budget(judged))


def test_rank_correlation_counts_a_class_once(world):
    arrays, _, accuracy, _ = world
    found = rank_correlation(accuracy, Benchmark(arrays, "cifar10", accuracy))
    assert found == {"kendall_tau": pytest.approx(1), "spearman_rho": pytest.approx(1), "n": 6_466}
    # no class, or one score for all: no correlation, which ends no study
    for scores, n in ((np.full(len(arrays), np.nan), 0), (np.ones(len(arrays)), 6_466)):
        none = rank_correlation(scores, Benchmark(arrays, "cifar10", accuracy))
        assert none == {"kendall_tau": None, "spearman_rho": None, "n": n}


def test_scores_of_a_file(tmp_path, world):
    arrays = world[0]
    path = tmp_path / "s.csv"
    good, other = SPACE.describe(SPACE.at(9_999)), SPACE.describe(SPACE.at(4_000))
    path.write_text(f"arch_str,naswot\n{good},2.5\n{other},1.5\n")
    assert file_scores(path, arrays)["naswot"][9_999] == 2.5
    path.write_text(f"arch_str,naswot,test_accuracy\n{good},2.5,90\n")
    with pytest.raises(ConfigError, match="never guides"):
        file_scores(path, arrays)
    path.write_text("arch_str,naswot\nfbnet,2.5\n")
    with pytest.raises(ConfigError, match="another space"):
        file_scores(path, arrays)
    path.write_text(f"arch_str,naswot\n{good},2.5\n{good},2.6\n")
    with pytest.raises(ConfigError, match="twice"):
        file_scores(path, arrays)


def test_scores_are_combined_by_ranks(world):
    _, macs, accuracy, _ = world
    known = {"phi": accuracy, "macs": macs}
    assert combined("phi", known) is accuracy
    assert combined("macs", known).max() <= 1
    # only phi is on the scale that the penalty is made for
    assert combined("phi abcdefgh 20", {"phi abcdefgh 20": accuracy}) is accuracy
    assert combined("phi_like", {"phi_like": macs}).max() <= 1
    both = combined("phi+macs", known)
    assert both.min() > 0
    assert both.max() <= 1
    with pytest.raises(ConfigError, match="no score 'zen'"):
        combined("phi+zen", known)


def test_scores_of_a_store(tmp_path, world):
    arrays = world[0]
    name = SPACE.canonical(SPACE.at(9_999))
    store = RmiStore(tmp_path / "store")
    store.append([ScoreRow("abcdefghij", name, 0, i, 20, 0.1 * i, 0.5, 0.5, 1.0, False, 0.1) for i in range(2)])
    store.append([ScoreRow("abcdefghij", "of another space", 0, 0, 20, 0.1, 0.5, 0.5, 1.0, False, 0.1)])
    found = stored_scores(tmp_path / "store", arrays)
    assert list(found) == ["phi abcdefgh 20"]
    scored = np.flatnonzero(np.isfinite(found["phi abcdefgh 20"]))
    assert scored.tolist() == np.flatnonzero(arrays.classes == arrays.classes[9_999]).tolist()
    assert found["phi abcdefgh 20"][9_999] == pytest.approx(1.05)
    with pytest.raises(ConfigError, match="there is no score store"):
        stored_scores(tmp_path / "nowhere", arrays)


def test_a_store_of_diverged_trainings_is_no_store_of_scores(world, tmp_path):
    arrays, store = world[0], RmiStore(tmp_path / "store")
    name, nothing = SPACE.canonical(SPACE.at(9_999)), (math.nan,) * 4
    store.append([ScoreRow("a" * 32, name, 0, network, 5, *nothing, True, 0.0) for network in (0, 1)])
    with pytest.raises(ConfigError, match="holds no score: the training of every architecture diverged"):
        stored_scores(store.folder, arrays)
