"""The chosen cut and isolation are used where a network is measured so, and nowhere else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from contracts.simulated_target import TARGET, networks, true_kernel_ms

from predictors.additive import AdditiveModel
from predictors.chosen import ChosenCutModel
from predictors.measured import Measurements
from predictors.population import count_matrix
from predictors.storage import load_model, save_model
from profiler.errors import ConfigError, UnknownWorkload
from profiler.tables.row import Row
from profiler.tables.table import CostTable
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.cuts import Cut, cut_as, kernels_of_cuts
from profiler.workloads.graph import Workload

OVERHEAD_MS = 0.05
NETS = networks(24)


def exported_ms(workload: Workload) -> float:
    return sum(true_kernel_ms(k) for k in cut_as(workload, "exported", TARGET.runtime, TARGET.precision))


def fused_ms(workload: Workload) -> float:
    return sum(true_kernel_ms(k) for k in cut_as(workload, "fused", TARGET.runtime, TARGET.precision))


def table(nets: list[Workload] = NETS) -> CostTable:
    """Networks that cost what their exported nodes do together; kernels alone cost twice as much."""
    rows, workloads = [], {}
    for kernel in kernels_of_cuts(nets, TARGET.runtime, TARGET.precision):
        ns = true_kernel_ms(kernel) * 1e6
        rows.append(Row(TARGET.id, kernel.key, "kernel", kernel.label, ns, ns, ns, 2 * ns, n_rounds=3))
        workloads[kernel.key] = kernel.workload
    for index, net in enumerate(nets):
        ns = (OVERHEAD_MS + exported_ms(net)) * 1e6
        split = "fit" if index < len(nets) // 2 else "held_out"
        rows.append(Row(TARGET.id, net.key, "model", f"net {index}", ns, ns, ns, split=split, n_rounds=3))
        workloads[net.key] = net
    return CostTable(rows, workloads, (TARGET,))


def stranger() -> Workload:
    """A network with a kernel that nobody has measured, among others that somebody has."""
    b = WorkloadBuilder("stranger")
    x = b.relu(b.batch_norm(b.conv2d(b.input((1, 3, 16, 16)), 8, 3)))
    x = b.relu(b.conv2d(x, 24, 3, bias=True))
    return b.build(b.linear(b.flatten(b.global_avg_pool(x)), 10))


def test_networks_measured_under_the_chosen_cut_are_predicted_by_it() -> None:
    model = ChosenCutModel("exported").fit(table(), TARGET.id)
    held = NETS[12:]
    np.testing.assert_allclose(model.predict(held), [OVERHEAD_MS + exported_ms(net) for net in held])
    assert np.max(np.abs(model.usual_.predict(held) / model.predict(held) - 1)) > 0.01, "the usual cut does not close"
    parts = model.estimate(held[0]).by_op
    assert {p.label for p in parts if p.source == "table"} == {
        k.label for k in cut_as(held[0], "exported", TARGET.runtime, TARGET.precision)
    }


def test_others_are_predicted_as_ever_and_it_is_said() -> None:
    model, net = ChosenCutModel("exported").fit(table(), TARGET.id), stranger()
    usual = AdditiveModel().fit(table(), TARGET.id)
    found, (wanted, known) = model.estimate(net), usual.estimate_many([net, NETS[12]])
    assert found.latency_ms == wanted.latency_ms
    assert found.by_op == wanted.by_op
    assert "by fused kernels, chained, since" in found.interval
    together = model.estimate_many([NETS[12], net])
    assert together[1] == found
    assert together[0].latency_ms != known.latency_ms
    assert "fused kernels" not in together[0].interval


def test_where_the_usual_cut_is_nearer_to_networks_left_out_it_is_used(tmp_path) -> None:
    nets = networks(60, seed=8)
    exported = table(nets)
    fused = CostTable(
        [
            replace(row, **dict.fromkeys(("latency_ns", "low_ns", "high_ns"), 1e6 * (OVERHEAD_MS + fused_ms(net))))
            if (net := next((n for n in nets if n.key == row.key), None)) is not None
            else row
            for row in exported.rows()
        ],
        exported.workloads,
        (TARGET,),
    )
    assert not ChosenCutModel("exported").fit(exported, TARGET.id).outdone_
    model = ChosenCutModel("exported").fit(fused, TARGET.id)
    assert model.outdone_
    assert model.predict(nets).tolist() == model.usual_.predict(nets).tolist()
    assert "nearer to networks left out than exported ones" in model.estimate(nets[-1]).interval
    assert model.cuts == ("fused",)
    population = count_matrix(nets[:3], TARGET.runtime, TARGET.precision)
    assert model.price(population).tolist() == model.usual_.price(population).tolist()
    save_model(model, tmp_path / "model.json")
    assert load_model(tmp_path / "model.json").predict(nets).tolist() == model.predict(nets).tolist()


def test_kernels_alone_are_those_that_ran_alone() -> None:
    whole = table()
    uses = Counter(k.key for net in NETS for k in set(cut_as(net, "fused", TARGET.runtime, TARGET.precision)))
    some = min((k.key for k in cut_as(NETS[12], "fused", TARGET.runtime, TARGET.precision)), key=lambda key: uses[key])
    partly = [replace(r, isolated_ns=None) if r.key == some else r for r in whole.all_rows]
    model = ChosenCutModel("fused", "alone", overhead="constant").fit(whole, TARGET.id)
    kernels = cut_as(NETS[12], "fused", TARGET.runtime, TARGET.precision)
    expected = sum(2 * true_kernel_ms(k) for k in kernels)
    assert model.predict([NETS[12]])[0] - model.overhead_.constant_ms == pytest.approx(expected)
    fewer = ChosenCutModel("fused", "alone").fit(CostTable(partly, whole.workloads, (TARGET,)), TARGET.id)
    assert " kernels were not measured as the target's fused ones, alone" in fewer.estimate(NETS[12]).interval


def test_pairs_come_from_a_table_of_their_own() -> None:
    whole = table()
    first = cut_as(NETS[12], "fused", TARGET.runtime, TARGET.precision)[0]
    dearer = [replace(r, latency_ns=9e6, low_ns=9e6, high_ns=9e6) for r in whole.all_rows if r.key == first.key]
    pairs = CostTable(dearer, whole.workloads, (TARGET,))
    measured = Measurements.from_table(whole, TARGET.id, pairs)
    model = ChosenCutModel("fused", "pairs").fit_measurements(measured)
    parts = {p.label: p.latency_ms for p in model.estimate(NETS[12]).by_op}
    assert parts[first.label] == pytest.approx(9.0)
    assert measured.sha256 != Measurements.from_table(whole, TARGET.id).sha256
    with pytest.raises(UnknownWorkload, match="measured in pairs"):
        ChosenCutModel("fused", "pairs").fit(whole, TARGET.id)


def test_populations_are_priced_by_what_their_kernels_are() -> None:
    population = count_matrix(NETS[12:], TARGET.runtime, TARGET.precision)
    alone = ChosenCutModel("fused", "alone").fit(table(), TARGET.id)
    np.testing.assert_allclose(alone.price(population), alone.predict(NETS[12:]))
    exported = ChosenCutModel("exported").fit(table(), TARGET.id)
    np.testing.assert_allclose(exported.price(population), exported.usual_.predict(NETS[12:]))


@pytest.mark.parametrize("how", ["exported", "optimised"])
def test_a_population_counted_under_both_cuts_is_priced_as_its_networks_are(how: Cut) -> None:
    model = ChosenCutModel(how).fit(table(), TARGET.id)
    some = [*NETS[12:], stranger()]
    assert model.cuts == ("fused", how)
    first, second = (count_matrix(some, TARGET.runtime, TARGET.precision, cut) for cut in model.cuts)
    priced = model.price(first.beside(second))
    np.testing.assert_allclose(priced, model.predict(some), rtol=1e-9)
    if how == "exported":  # under the third cut these networks have the fused kernels
        assert (priced != model.usual_.predict(some)).tolist() == [True] * 12 + [False]


def test_other_kernels_than_those_that_are_added_up_are_refused() -> None:
    exported = count_matrix(NETS[:2], TARGET.runtime, TARGET.precision, "exported")
    for model in (AdditiveModel(), ChosenCutModel("exported")):
        with pytest.raises(ConfigError, match="exported ones were counted"):
            model.fit(table(), TARGET.id).price(exported)


def test_a_saved_one_predicts_the_same(tmp_path) -> None:
    model = ChosenCutModel("exported").fit(table(), TARGET.id)
    save_model(model, tmp_path / "m.json")
    again = load_model(tmp_path / "m.json")
    for net in (NETS[13], stranger()):
        assert again.estimate(net) == model.estimate(net)


def test_what_is_no_cut_into_kernels_is_refused() -> None:
    with pytest.raises(ConfigError, match="'blocks'"):
        ChosenCutModel("blocks", "block").fit(table(), TARGET.id)
