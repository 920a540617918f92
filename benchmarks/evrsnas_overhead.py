"""What the evolution of HW-EvRSNAS takes itself, without scoring: one search, and a study of searches made together.

    python benchmarks/evrsnas_overhead.py        # scores and costs made up: the time is the same

Figures to reach: <= 1 ms an evaluation of one search; <= 60 s for a study of 6 devices x 9 budgets x 3 seeds with its
controls. Exit code 1 where one is missed.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from search.evrsnas.arrays import arrays_of
from search.evrsnas.costs import SpaceCosts
from search.evrsnas.evolution import EvolutionConfig, evolve
from search.evrsnas.judging import macs_and_params
from search.evrsnas.study import Cell, Study
from search.spaces.nasbench201 import NasBench201

EVALUATION_LIMIT_MS = 1.0
STUDY_LIMIT_S = 60.0


def main() -> int:
    space = NasBench201()
    arrays = arrays_of(space)
    rng = np.random.default_rng(0)
    macs, params = macs_and_params(arrays)
    phi = arrays.scores(rng.random(len(arrays)) * 3)
    devices = [SpaceCosts(arrays, f"d{i}", "ms", macs / 1e7 + rng.random(len(arrays))) for i in range(6)]
    config = EvolutionConfig(devices[0].quantile(0.5))
    started = time.perf_counter()
    result = evolve(space, lambda a: phi[arrays.positions(a)], devices[0], config, np.random.default_rng(0))
    seconds = time.perf_counter() - started
    scored_ms = 1000 * seconds / result.evaluations
    bred_ms = 1000 * seconds / (config.population * (config.generations + 1))
    print(f"one search: {seconds:.2f} s, {scored_ms:.3f} ms a scored architecture, {bred_ms:.3f} ms a bred one")
    cells = [Cell(costs, costs.quantile(q)) for costs in devices for q in np.linspace(0.1, 0.9, 9)]
    scores = {"cifar10": {"phi": phi, "macs": macs, "params": params}}
    started = time.perf_counter()
    rows = Study(arrays, cells, scores).run()
    study_s = time.perf_counter() - started
    print(f"study of 6 devices x 9 budgets x 3 seeds with controls: {study_s:.1f} s, {len(rows)} rows")
    return int(scored_ms > EVALUATION_LIMIT_MS or study_s > STUDY_LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
