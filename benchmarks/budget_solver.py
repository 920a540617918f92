"""How long it takes to find the largest phi whose network fits a budget, with real models of cost.

    python benchmarks/budget_solver.py

The published M net with squeeze-and-excitation and h-swish to come, published coefficients, phi between -6 and 6, for a
tight, a middling and a wide budget. The figures behind the models are made up (the time is the same): "blocks" is
`NetworkCosts` with table rows and a `BlockRegressor`, "additive" an `AdditiveModel` with kernel regressors, which
prices whole networks. Every solution starts from nothing known, as a command does; fitting is not counted. Figure to
reach: 2 s each. Exit code 1 where it is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from predictors.additive import AdditiveModel
from predictors.blocks import BlockRegressor
from predictors.measured import KernelPoint, Measurements, ModelPoint
from profiler.workloads.fusion import kernels_of
from profiler.workloads.graph import Workload
from search.s3nas.budget import CostOf, solve_budget
from search.s3nas.costs.networks import ModelCosts, NetworkCosts, parts_of
from search.s3nas.postprocess import with_activation, with_se
from search.s3nas.scaling import PUBLISHED, scale
from search.spaces.network import Network, network_workload, read_network

LIMIT_S = 2.0
NETWORK = Path(__file__).parents[1] / "tests/data/s3nas_m.yaml"


def post(network: Network) -> Network:
    return with_activation(with_se(network), "hswish")


def cost_ms(workload: Workload, rng: np.random.Generator) -> float:
    moved = workload.bytes_read + workload.bytes_written
    return (0.01 + workload.macs / 2e8 + moved / 5e6) * rng.normal(1.0, 0.02)


def fitted(network: Network) -> dict[str, Callable[[], CostOf]]:
    rng = np.random.default_rng(0)
    measured = [change(scale(network, phi)) for phi in (-1.0, 0.0, 1.0, 2.0) for change in (lambda n: n, post)]
    parts = {w.key: w for n in measured for part in parts_of(n) if (w := part.build())}
    rows = {key: cost_ms(w, rng) for key, w in parts.items()}
    regressor = BlockRegressor().fit(list(parts.values()), list(rows.values()))
    kernels = kernels_of(parts.values(), "onnxruntime", "fp32")
    points = tuple(KernelPoint(k.key, k.label, k, cost_ms(k.workload, rng), 1e-3, None) for k in kernels)
    whole = tuple(
        ModelPoint(w.key, n.text, w, cost_ms(w, rng), 1e-2) for n in measured if (w := network_workload(n)) is not None
    )
    model = AdditiveModel().fit_measurements(Measurements("made-up", "onnxruntime", "fp32", points, whole))
    return {
        "blocks": lambda: NetworkCosts(rows, regressor),
        "additive": lambda: ModelCosts(model),
    }


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    network = read_network(NETWORK)
    slowest = 0.0
    for name, make in fitted(network).items():
        base = float(make()([post(network)])[0])
        for factor in (0.3, 1.0, 4.0):
            cost_of = make()
            start = time.perf_counter()
            found = solve_budget(network, cost_of, factor * base, PUBLISHED, post)
            seconds = time.perf_counter() - start
            slowest = max(slowest, seconds)
            print(
                f"{name:10} budget {factor * base:9.2f} ms  phi {found.phi:7.4f}  {found.cost:9.2f} ms  "
                f"{found.n_priced:3} of {found.n_networks} networks priced  {seconds:6.2f} s"
            )
    print(f"slowest {slowest:.2f} s   (to reach: {LIMIT_S} s)")
    return 0 if slowest <= LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
