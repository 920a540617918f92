"""The study: its rows, its controls, exact regret, and that accuracies are not seen by any search."""

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.evrsnas.arrays import arrays_of
from search.evrsnas.costs import SpaceCosts
from search.evrsnas.evolution import EvolutionConfig
from search.evrsnas.judging import Benchmark, macs_and_params, rank_correlation
from search.evrsnas.parts import ScoreRow
from search.evrsnas.store import RmiStore
from search.evrsnas.study import Cell, Study, cells_by_quantile, judge
from search.evrsnas.study_scores import combined, file_scores, stored_scores
from search.evrsnas.study_table import by_budget, summary
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
    methods = ["hw-evrsnas", "no penalty", "rejection", "by macs", "by least", "random"]
    assert own.methods() == methods[:-1]
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
            assert of["random", cell, seed] == of["hw-evrsnas", cell, seed]


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
