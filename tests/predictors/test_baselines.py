from __future__ import annotations

import numpy as np
import pytest

from predictors.base import CostModel
from predictors.baselines import LineModel, MacsModel, ParamsModel, RooflineModel
from predictors.measured import Measurements, ModelPoint
from profiler.errors import UnknownWorkload
from profiler.workloads.fusion import cut
from profiler.workloads.graph import Workload
from tests.contracts.simulated_target import TARGET, networks, simulated_table


def fitted_on(model: CostModel, latencies: list[float], workloads: list[Workload]) -> CostModel:
    pairs = zip(workloads, latencies, strict=True)
    points = tuple(ModelPoint(w.key, "net", w, ms, 0.0) for w, ms in pairs)
    return model.fit_measurements(Measurements(TARGET.id, TARGET.runtime, TARGET.precision, (), points))


@pytest.mark.parametrize(("model", "amount"), [(MacsModel(), "macs"), (ParamsModel(), "params")])
def test_a_line_is_recovered(model: LineModel, amount: str) -> None:
    nets = networks(12)
    fitted_on(model, [0.2 + 3e-6 * getattr(w, amount) for w in nets], nets)
    assert model.constant_ms_ == pytest.approx(0.2)
    assert model.slope_ == pytest.approx(3e-6)
    other = networks(3, seed=8)
    np.testing.assert_allclose(model.predict(other), [0.2 + 3e-6 * getattr(w, amount) for w in other])


def test_a_line_never_turns_negative() -> None:
    nets = sorted(networks(12), key=lambda w: w.macs)
    model = MacsModel()
    fitted_on(model, [1e-12 * w.macs**2 for w in nets], nets)
    smallest = model.estimate(nets[0])
    assert smallest.latency_ms > 0.0
    assert smallest.low_ms >= 0.0


def test_the_fit_is_relative() -> None:
    nets = networks(12)
    truth = [1.0 + 1e-5 * w.macs for w in nets]
    model = MacsModel()
    fitted_on(model, truth, nets)
    scaled = MacsModel()
    fitted_on(scaled, [1000.0 * t for t in truth], nets)
    np.testing.assert_allclose(scaled.predict(nets), 1000.0 * model.predict(nets))


def test_the_roofline_of_whole_models_is_recovered() -> None:
    nets = networks(20)
    peak, bandwidth, dispatch = 2e-7, 1e-6, 0.003

    def truth(net: Workload) -> float:
        total = 0.0
        for kernel in cut(net, TARGET.runtime, TARGET.precision):
            w = kernel.workload
            moved = sum(4 * np.prod(w.shapes[i][0]) for i in w.inputs) + sum(4 * np.prod(w.shape(r)) for r in w.outputs)
            moved += 4 * sum(np.prod(s) for i in w.compute_ops for s in w.param_shapes(i).values())
            total += dispatch + max(w.macs * peak, float(moved) * bandwidth)
        return total

    model = RooflineModel()
    fitted_on(model, [truth(n) for n in nets], nets)
    other = networks(10, seed=4)
    np.testing.assert_allclose(model.predict(other), [truth(n) for n in other], rtol=0.03)
    assert model.peak_gmacs == pytest.approx(1e-6 / peak, rel=0.2)
    assert model.bandwidth_gb == pytest.approx(1e-6 / bandwidth, rel=0.2)
    assert len(model.estimate(other[0]).by_op) == len(cut(other[0], TARGET.runtime, TARGET.precision))


@pytest.mark.parametrize(("model", "least"), [(MacsModel(), 3), (RooflineModel(), 4)])
def test_too_few_models_are_refused(model: CostModel, least: int) -> None:
    with pytest.raises(UnknownWorkload, match=f"needs {least} .* has {least - 1}"):
        model.fit(simulated_table(n_fit=least - 1), TARGET.id)
    model.fit(simulated_table(n_fit=least), TARGET.id)
