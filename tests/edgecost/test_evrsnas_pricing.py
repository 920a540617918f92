"""A whole space is priced as its networks are predicted one by one."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from contracts.simulated_target import TARGET, true_kernel_ms, without

from edgecost.stages.evrsnas.pricing import space_costs
from predictors.additive import AdditiveModel
from predictors.base import CostModel
from predictors.chosen import ChosenCutModel
from profiler.tables.row import Row
from profiler.tables.table import CostTable
from profiler.workloads.cuts import Cut, cut_as
from search.spaces.base import Architecture
from search.spaces.nasbench201 import NasBench201

ISOMORPHIC = (
    "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|skip_connect~2|",
    "|skip_connect~0|+|none~0|none~1|+|nor_conv_3x3~0|nor_conv_1x1~1|none~2|",
    "|skip_connect~0|+|none~0|none~1|+|nor_conv_1x1~0|nor_conv_3x3~1|none~2|",
)
"""Two pairs that compute the same by other kernels."""


class Some(NasBench201):
    """Every 800th architecture, some whose networks are those of others, and some that are only isomorphic."""

    def all(self) -> Iterator[Architecture]:
        yield from (self.at(place) for place in (*range(0, self.size, 800), 0, 3, 800, 805))
        yield from map(self.parse, ISOMORPHIC)


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


SPACE = Some()
NETWORKS = [SPACE.workload(arch) for arch in SPACE.all()]
DRAWN = [SPACE.at(int(i)) for i in np.random.default_rng(3).permutation(SPACE.size)[:40]]
FITTED_ON = [SPACE.workload(arch) for arch in DRAWN if SPACE.connected(arch)]


@cache
def table(truth: Cut = "exported") -> CostTable:
    """Networks that cost what their kernels of one cut do, more or less by what they are made of."""
    kernels = {k.key: k for w in (*FITTED_ON, *NETWORKS) for how in ("exported", "fused") for k in parts(w, how)}
    rows, workloads = [], {}
    for kernel in kernels.values():
        ns = 1e6 * true_kernel_ms(kernel)
        rows.append(Row(TARGET.id, kernel.key, "kernel", kernel.label, ns, ns, ns, 2 * ns, n_rounds=3))
        workloads[kernel.key] = kernel.workload
    for net in {net.key: net for net in FITTED_ON}.values():
        own = parts(net, truth)
        pools = sum(k.kind.startswith("avg_pool") for k in own) / len(own)
        ns = 1e6 * (0.05 + sum(true_kernel_ms(k) for k in own)) * (1 + 0.3 * pools)
        rows.append(Row(TARGET.id, net.key, "model", net.name, ns, ns, ns, split="fit", n_rounds=3))
        workloads[net.key] = net
    return CostTable(rows, workloads, (TARGET,))


def parts(workload, how):
    return cut_as(workload, how, TARGET.runtime, TARGET.precision)


def without_some(whole: CostTable) -> CostTable:
    """Lacks the kernels of a pooling, which only some networks have."""
    return without(whole, [r.key for r in whole.all_rows if r.kind == "kernel" and "avg_pool 3x3 16x" in r.label])


@cache
def usual() -> CostModel:
    return AdditiveModel().fit(table("fused"), TARGET.id)


@cache
def lacking() -> CostModel:
    return AdditiveModel(regressors=False, overhead="constant").fit(without_some(table("fused")), TARGET.id)


@cache
def chosen() -> CostModel:
    return ChosenCutModel("exported").fit(table(), TARGET.id)


@cache
def chosen_lacking() -> CostModel:
    return ChosenCutModel("exported").fit(without_some(table()), TARGET.id)


@cache
def outdone() -> CostModel:
    return ChosenCutModel("exported").fit(table("fused"), TARGET.id)


@pytest.mark.parametrize("make", [usual, lacking, chosen, chosen_lacking, outdone])
def test_a_space_costs_what_its_networks_are_predicted_to(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, told = make(), Told()
    found = space_costs(model, SPACE, told)
    np.testing.assert_allclose(found, model.predict(NETWORKS), rtol=1e-9)
    assert len(told.messages) == len(model.cuts) == len(list((tmp_path / ".edgecost" / "kernel-counts").iterdir()))
    assert space_costs(model, SPACE, told).tolist() == pytest.approx(found.tolist(), rel=0, abs=0, nan_ok=True)
    assert len(told.messages) == len(model.cuts), "counted once"


def test_the_models_priced_are_of_every_sort():
    assert None not in (usual().residual_, chosen().residual_)
    assert np.isnan(lacking().predict(NETWORKS)).sum() not in (0, len(NETWORKS))
    whole, partly = chosen(), chosen_lacking()
    assert [whole.outdone_, partly.outdone_, outdone().outdone_] == [False, False, True]
    by_usual = partly.predict(NETWORKS) == partly.usual_.predict(NETWORKS)
    assert by_usual.sum() not in (0, len(NETWORKS))


def test_isomorphic_networks_have_costs_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    once, twice, first, other = space_costs(usual(), SPACE)[-4:]
    assert twice > once
    assert first != other


def test_what_is_predicted_to_cost_nothing_has_no_cost(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = AdditiveModel().from_dict(usual().to_dict())
    model.overhead_ = replace(model.overhead_, constant_ms=-1e6)
    assert np.isnan(space_costs(model, SPACE)).all()
