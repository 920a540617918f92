"""Published figures beside ours: nothing of them is computed, and what broke its budget is told."""

from search.evrsnas.published import SOURCES, beside_published
from search.evrsnas.study import PAPER_BUDGETS_MS


def top(cell, device, budget, optimum, dataset="cifar100"):
    where = {"cell": cell, "dataset": dataset, "device": device, "unit": "ms", "budget": budget}
    return {**where, "optimum": optimum, "optimum_cost": budget}


def row(cell, seed, accuracy, method="hw-evrsnas"):
    return {"cell": cell, "seed": seed, "method": method, "accuracy": accuracy, "cost": 1.5, "architecture": f"a{seed}"}


def test_the_series_holds_every_published_budget_once():
    tops = [top(i, "fpga", budget, 74.0) for i, budget in enumerate(PAPER_BUDGETS_MS)]
    tops += [top(20, "eyeriss", 7.0, 74.0), top(21, "eyeriss", 7.5, 74.0), top(22, "fpga", 4.0, 94.0, "cifar10")]
    series = beside_published([row(0, 0, 64.0), row(0, 1, 66.0), row(0, 2, 99.0, "random")], tops, "hw-evrsnas")
    assert [(r["device"], r["budget_ms"]) for r in series] == [*(("fpga", b) for b in PAPER_BUDGETS_MS), ("eyeriss", 7)]
    first = series[0]
    assert (first["ours"], first["ours_by_seed"], first["cost_by_seed_ms"]) == (65.0, [64.0, 66.0], [1.5, 1.5])
    assert (first["paper"], first["paper_read_within"], first["paper_reached"]) == (64.5, 0.2, True)
    assert first["help"] is None
    assert series[-1]["paper"] is None
    assert all(r["ours"] is None and r["paper_reached"] is None for r in series[1:-1])
    assert set(SOURCES) == {"paper", "help"}


def test_what_the_optimum_does_not_allow_and_what_broke_its_budget_is_told():
    series = beside_published([], [top(0, "fpga", 4.0, 71.6), top(1, "fpga", 6.0, 73.5)], "hw-evrsnas")
    assert [r["paper_allowed"] for r in series] == [False, True]
    assert [r["help_within"] for r in series] == [True, False]
