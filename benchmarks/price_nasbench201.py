"""How long it takes to price every NAS-Bench-201 architecture (15,625) from a table.

    python benchmarks/price_nasbench201.py                                   # costs made up: the time is the same
    python benchmarks/price_nasbench201.py --results results --target rpi5/onnxruntime-fp32-t1

Counting the kernels of all architectures is done once a runtime and precision and kept on disk; pricing is what a
search repeats for every table. Figure to reach: pricing <= 0.1 s. Exit code 1 where it is missed.
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

from predictors.additive import AdditiveModel
from predictors.population import Population, count_matrix, price
from profiler.tables.table import CostTable
from profiler.workloads.graph import Workload
from search.spaces.nasbench201 import NasBench201

LIMIT_S = 0.1
REPEATS = 20

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
    runtime, precision, pricer = "onnxruntime", "fp32", None
    if args.results is not None:
        model = AdditiveModel().fit(CostTable.from_results(args.results), args.target)
        runtime, precision, pricer = model.runtime_, model.precision_, model.price
    with tempfile.TemporaryDirectory() as folder:
        population = prepare(args.cells, runtime, precision, Path(folder))
    if pricer is None:
        costs_ms = np.random.default_rng(0).uniform(0.01, 1.0, len(population.kernels))
        latency_ms, first_s = timed(lambda: price(population, costs_ms))
        times = [timed(lambda: price(population, costs_ms))[1] for _ in range(REPEATS)]
    else:
        latency_ms, first_s = timed(lambda: pricer(population))
        times = [timed(lambda: pricer(population))[1] for _ in range(REPEATS)]
    print(f"pricing, first time   {first_s:8.4f} s")
    print(f"pricing, median of {REPEATS} {np.median(times):8.4f} s   (to reach: {LIMIT_S} s)")
    print(f"priced {np.isfinite(latency_ms).sum()} of {len(latency_ms)}")
    return 0 if first_s <= LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
