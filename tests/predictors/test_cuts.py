"""Choosing cut and isolation: what the truth is made of is found; the usual one stays where nothing is better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from contracts.simulated_target import TARGET, networks, true_kernel_ms

from predictors.cuts import USUAL, Combination, CutClosure, compare_cuts
from profiler.errors import UnknownWorkload
from profiler.tables.row import Row
from profiler.tables.table import CostTable
from profiler.workloads.cuts import cut_as, kernels_of_cuts
from profiler.workloads.fusion import Kernel
from profiler.workloads.graph import Workload

OVERHEAD_MS = 0.05


def exported_ms(workload: Workload) -> float:
    return sum(true_kernel_ms(k) for k in cut_as(workload, "exported", "onnxruntime", "fp32"))


def fused_ms(workload: Workload) -> float:
    return sum(true_kernel_ms(k) for k in cut_as(workload, "fused", "onnxruntime", "fp32"))


def table(
    truth: Callable[[Workload], float],
    chained: Callable[[Kernel], float] = true_kernel_ms,
    alone: Callable[[Kernel], float] = lambda k: 2.5 * true_kernel_ms(k) ** 0.8,
    n: int = 24,
    without: str = "",
) -> CostTable:
    """Networks whose cost is `truth`, and kernels under every cut."""
    nets = networks(n)
    rows = []
    workloads = {}
    for kernel in kernels_of_cuts(nets, TARGET.runtime, TARGET.precision):
        if without and kernel.kind == without:
            continue
        ns = chained(kernel) * 1e6
        rows.append(Row(TARGET.id, kernel.key, "kernel", kernel.label, ns, ns, ns, alone(kernel) * 1e6, n_rounds=3))
        workloads[kernel.key] = kernel.workload
    for index, net in enumerate(nets):
        ns = (OVERHEAD_MS + truth(net)) * 1e6
        split = "fit" if index < n // 2 else "held_out"
        rows.append(Row(TARGET.id, net.key, "model", f"net {index}", ns, ns, ns, split=split, n_rounds=3))
        workloads[net.key] = net
    return CostTable(rows, workloads, (TARGET,))


def row(found: tuple[CutClosure, ...], cut: str, isolation: str) -> CutClosure:
    (one,) = (r for r in found if r.combination == Combination(cut, isolation))  # type: ignore[arg-type]
    return one


def test_the_cut_that_the_truth_is_made_of_is_chosen() -> None:
    for truth, expected in ((fused_ms, USUAL), (exported_ms, Combination("exported", "chained"))):
        found = compare_cuts({"chained": table(truth)}, TARGET.id)
        assert found.best == expected
        closed = row(found.rows, expected.cut, expected.isolation)
        assert closed.fit_mape < 1e-6
        assert closed.overhead_ms == pytest.approx(OVERHEAD_MS)
        assert closed.scores is not None
        assert (closed.scores.mape, closed.scores.within_5) == (pytest.approx(0.0, abs=1e-9), 1.0)
        assert closed.sums is not None
        assert closed.sums.mape > 0.01, "without the overhead it does not close"
        assert {(r.combination.cut, r.combination.isolation) for r in found.rows} == {
            (c, i) for c in ("exported", "fused", "optimised") for i in ("alone", "chained")
        }


def test_kernels_alone_are_chosen_where_they_add_up() -> None:
    found = compare_cuts({"chained": table(fused_ms, lambda k: 1.0, true_kernel_ms)}, TARGET.id)
    assert found.best is not None
    assert found.best.isolation == "alone"
    assert found.best.cut in ("fused", "optimised")


def test_the_usual_one_stays_unless_another_is_clearly_better() -> None:
    """The optimised nodes are the fused groups here: equal, and no reason to change."""
    rng = np.random.default_rng(0)
    noise = {}

    def noisy(net: Workload) -> float:
        return fused_ms(net) * noise.setdefault(net.key, 1 + 0.02 * float(rng.standard_normal()))

    found = compare_cuts({"chained": table(noisy)}, TARGET.id)
    usual, own = (row(found.rows, cut, "chained") for cut in ("fused", "optimised"))
    assert own.fit_mape == pytest.approx(usual.fit_mape)
    assert found.best == USUAL


def test_what_lacks_a_part_is_not_judged_and_says_so() -> None:
    found = compare_cuts({"chained": table(fused_ms, without="batch_norm")}, TARGET.id)
    assert found.best == USUAL
    partly = compare_cuts({"chained": table(fused_ms, without="relu")}, TARGET.id)
    exported = row(partly.rows, "exported", "chained")
    assert exported.missing > 0
    assert (exported.scores, math.isnan(exported.fit_mape)) == (None, True)
    assert exported.to_dict()["closed"] is None
    assert partly.best == USUAL


def test_all_are_judged_on_the_networks_that_all_have_costs_for() -> None:
    """What only some networks' cuts need is not measured: these are left out of the comparison of every cut."""
    whole = table(exported_ms, n=30)
    nets = networks(30)
    some = [*nets[:8], *nets[15:22]]
    wanted = {k.key for k in kernels_of_cuts(some, TARGET.runtime, TARGET.precision)}
    wanted |= {k.key for net in nets for k in cut_as(net, "fused", TARGET.runtime, TARGET.precision)}
    rows = [r for r in whole.all_rows if r.kind == "model" or r.key in wanted]
    covered = [
        i for i, net in enumerate(nets)
        if {k.key for k in cut_as(net, "exported", TARGET.runtime, TARGET.precision)} <= wanted
    ]  # fmt: skip
    assert 0 < len([i for i in covered if i >= 15]) < 15, "the sample has to leave something out"
    found = compare_cuts({"chained": CostTable(rows, whole.workloads, (TARGET,))}, TARGET.id)
    judged = [r for r in found.rows if r.scores is not None]
    assert len(judged) == 6
    assert {r.scores.n for r in judged if r.scores} == {len([i for i in covered if i >= 15])}
    assert found.best == Combination("exported", "chained")


def test_pairs_stand_in_for_the_kernels_that_have_them() -> None:
    """A fan that finds the first layer too dear is corrected by its pair."""
    chained = table(fused_ms, lambda k: true_kernel_ms(k) * (3.0 if "3x16x16" in k.label else 1.0))
    right = table(fused_ms)
    some = [r for r in right.all_rows if r.kind == "kernel" and "3x16x16" in r.label]
    pairs = CostTable(some, right.workloads, (TARGET,))
    found = compare_cuts({"chained": chained, "pairs": pairs}, TARGET.id)
    assert row(found.rows, "fused", "pairs").ratio > 0.5
    assert abs(row(found.rows, "fused", "pairs").overhead_ms - OVERHEAD_MS) < 1e-6


def test_blocks_are_compared_where_they_were_measured() -> None:
    nets = networks(24)
    whole = table(fused_ms)
    blocks = [replace(r, kind="block", split="") for r in whole.rows(kind="model")]
    found = compare_cuts({"chained": CostTable([*whole.all_rows, *blocks], whole.workloads, (TARGET,))}, TARGET.id)
    closed = row(found.rows, "blocks", "block")
    assert closed.parts == len(nets)
    assert closed.ratio == pytest.approx(1.0)
    assert not any(r.combination.cut == "blocks" for r in compare_cuts({"chained": whole}, TARGET.id).rows)


def test_too_few_networks_are_refused() -> None:
    whole = table(fused_ms)
    with pytest.raises(UnknownWorkload, match="0 to fit on"):
        bare = [replace(r, split="held_out") if r.kind == "model" else r for r in whole.all_rows]
        compare_cuts({"chained": CostTable(bare, whole.workloads, (TARGET,))}, TARGET.id)
    with pytest.raises(UnknownWorkload, match="no rows for target"):
        compare_cuts({"chained": whole}, "other/litert-fp32-t1")
