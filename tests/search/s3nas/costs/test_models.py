"""Costs of networks by cost models: priced by kernel counts, which are those of the whole networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from predictors.additive import AdditiveModel
from predictors.base import CostModel, Prediction
from predictors.lookup import TableModel
from predictors.measured import KernelPoint, Measurements, ModelPoint
from profiler.errors import ConfigError
from profiler.workloads.fusion import FUSIONS, cut, kernels_of
from profiler.workloads.graph import Workload
from search.s3nas.costs.models import ModelCosts, measured_costs
from search.s3nas.costs.parts import parts_of
from search.s3nas.post.transforms import remove_se, with_activation, with_se
from search.s3nas.scaling import scale
from search.spaces.network import Block, Network, Stage, network_workload
from search.spaces.supernet import Head, Stem

NETWORK = Network(
    "made-up", 16, 4, Stem(8, 3, 1),
    (Stage(8, 1, (Block(((3, 2),)), Block(((3, 2), (5, 2))), Block(((3, 2),)))), Stage(16, 2, (Block(((5, 2),)),))),
    Head(16),
)  # fmt: skip
NETWORKS = [
    NETWORK,
    scale(NETWORK, 2.0),
    with_activation(NETWORK, "hswish"),
    with_activation(remove_se(with_se(NETWORK), [0, 3]), "hswish"),
    with_se(NETWORK),
]


def ms(workload: Workload) -> float:
    return 0.01 + workload.macs / 1e6


def measurements(networks: Sequence[Network]) -> Measurements:
    works = [network_workload(network) for network in networks]
    kernels = tuple(
        KernelPoint(k.key, k.label, k, ms(k.workload), 1e-4, None) for k in kernels_of(works, "onnxruntime", "fp32")
    )
    models = tuple(ModelPoint(w.key, str(i), w, 2.0 + 1.2 * ms(w), 1e-3) for i, w in enumerate(works))
    return Measurements("board/ort", "onnxruntime", "fp32", kernels, models)


@pytest.mark.parametrize(("runtime", "precision"), FUSIONS)
@pytest.mark.parametrize("network", NETWORKS, ids=range(len(NETWORKS)))
def test_the_kernels_of_the_parts_are_those_of_the_network(runtime: Any, precision: Any, network: Network) -> None:
    whole = Counter(k.key for k in cut(network_workload(network), runtime, precision))
    apart = Counter(k.key for part in parts_of(network) for k in cut(part.build(), runtime, precision))
    assert apart == whole


@pytest.mark.parametrize("model", [AdditiveModel(), TableModel()])
def test_costs_are_the_model_s_predictions(model: CostModel) -> None:
    model.fit_measurements(measurements(NETWORKS))
    costs = ModelCosts(model)
    assert costs.target == "board/ort"
    expected = model.predict([network_workload(network) for network in NETWORKS])
    assert costs(NETWORKS[3:]) == pytest.approx(expected[3:], rel=1e-12)
    assert costs(NETWORKS) == pytest.approx(expected, rel=1e-12)
    assert costs([]).shape == (0,)


def test_a_kernel_without_a_cost_makes_its_networks_nan_and_no_other() -> None:
    model = TableModel().fit_measurements(measurements(NETWORKS[:1]))
    known = ModelCosts(model)([NETWORKS[0], NETWORKS[4], NETWORKS[0]])
    assert np.isfinite(known).tolist() == [True, False, True]


class Counting(CostModel):
    """Any other model: one MAC a nanosecond."""

    name = "counting"

    def __init__(self, level: float = 0.9) -> None:
        self.level = level
        self.asked = 0

    def _fit(self, measurements: Measurements) -> None:
        pass

    def _estimate(self, workloads: Sequence[Workload]) -> list[Prediction]:
        self.asked += len(workloads)
        return [Prediction(w.macs / 1e6, 0.0, 1.0) for w in workloads]

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass


def test_any_other_model_prices_whole_networks_and_none_twice() -> None:
    model = Counting().fit_measurements(measurements(NETWORKS))
    costs = ModelCosts(model)
    assert costs([NETWORK, NETWORK])[1] == network_workload(NETWORK).macs / 1e6
    costs(NETWORKS)
    assert model.asked == len(NETWORKS)


def test_a_model_that_is_not_fitted_is_an_error() -> None:
    for model in (AdditiveModel(), Counting()):
        with pytest.raises(ConfigError, match="not fitted"):
            ModelCosts(model)([NETWORK])


def test_measurements_stand_in_for_a_model() -> None:
    assert measured_costs(lambda network: float(network.resolution))(NETWORKS[:2]).tolist() == [16.0, 24.0]
