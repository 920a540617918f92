"""How long it takes to price every NAS-Bench-201 architecture (15,625) from a table, and by the predictor.

    python benchmarks/price_nasbench201.py                                   # costs made up: the time is the same
    python benchmarks/price_nasbench201.py --results results --target rpi5/onnxruntime-fp32-t1

Counting the kernels of all architectures is done once a runtime and precision and kept on disk; pricing is what a
search repeats for every table. The predictor's price holds regressors for kernels without a row, the overhead and the
residual. Figures to reach: <= 0.1 s from the table, <= 1 s by the predictor. Exit code 1 where one is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from predictors.additive import AdditiveModel
from predictors.measured import KernelPoint, Measurements, ModelPoint
from predictors.population import Population, count_matrix, price
from profiler.tables.table import CostTable
from profiler.workloads.graph import Workload
from search.spaces.nasbench201 import NasBench201

TABLE_LIMIT_S = 0.1
PREDICTOR_LIMIT_S = 1.0
REPEATS = 20
FIT_NETWORKS = 40

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def prepare(cells: int, runtime: str, precision: str, folder: Path) -> Population:
    space = NasBench201()

    def workloads() -> Iterator[Workload]:
        return (space.workload(arch, cells_per_stage=cells) for arch in space.all())

    def counts() -> Population:
        space_id = f"{space.name} cells_per_stage={cells}"
        return count_matrix(workloads, runtime, precision, cache=folder, space_id=space_id)

    _, first_s = timed(counts)
    population, cached_s = timed(counts)
    print(f"counts, first time    {first_s:8.2f} s")
    print(f"counts, from cache    {cached_s:8.3f} s")
    print(
        f"{population.counts.shape[0]} architectures, {len(population.kernels)} distinct kernels, "
        f"{population.n_kernels.mean():.1f} kernels an architecture"
    )
    return population


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, help="folder of results to take a table from")
    parser.add_argument("--target", help="target id in that table")
    parser.add_argument("--cells", type=int, default=5, help="cells a stage")
    args = parser.parse_args()
    runtime, precision, model = "onnxruntime", "fp32", None
    if args.results is not None:
        model = AdditiveModel().fit(CostTable.from_results(args.results), args.target)
        runtime, precision = model.runtime_, model.precision_
    with tempfile.TemporaryDirectory() as folder:
        population = prepare(args.cells, runtime, precision, Path(folder))
    model = model or made_up(population, args.cells)
    costs_ms = np.random.default_rng(0).uniform(0.01, 1.0, len(population.kernels))
    met = [
        shown("from the table", TABLE_LIMIT_S, lambda: price(population, costs_ms)),
        shown("by the predictor", PREDICTOR_LIMIT_S, lambda: model.price(population)),
    ]
    return 0 if all(met) else 1


def made_up(population: Population, cells: int) -> AdditiveModel:
    """A predictor fitted on made-up costs of every other kernel and of some networks, its residual switched on."""
    rng = np.random.default_rng(0)
    kernels = [k for k in population.kernels if rng.random() < 0.5]
    points = [KernelPoint(k.key, k.label, k, 0.01 + k.workload.macs / 1e7, 0.0, None) for k in kernels]
    space = NasBench201()
    networks = [space.workload(space.sample(rng), cells_per_stage=cells) for _ in range(FIT_NETWORKS)]
    models = tuple(
        ModelPoint(w.key, w.name, w, (1.0 + 0.3 * (w.macs / 2e8)) * (0.5 + w.macs / 1e7), 0.0)
        for w in {w.key: w for w in networks}.values()
    )
    model = AdditiveModel()
    model.fit_measurements(Measurements("made-up", "onnxruntime", "fp32", tuple(points), models))
    print(f"the residual is {'on' if model.residual_ is not None else 'off'}; {len(kernels)} kernels have a row")
    return model


def shown(name: str, limit_s: float, pricer: Callable[[], NDArray[np.float64]]) -> bool:
    latency_ms, first_s = timed(pricer)
    times = [timed(pricer)[1] for _ in range(REPEATS)]
    print(f"{name:20s} first {first_s:.4f} s, median of {REPEATS} {np.median(times):.4f} s (to reach: {limit_s} s)")
    print(f"{'':20s} priced {np.isfinite(latency_ms).sum()} of {len(latency_ms)}")
    return first_s <= limit_s


if __name__ == "__main__":
    sys.exit(main())
