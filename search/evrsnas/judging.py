"""What a search's answer is worth, by a benchmark that knows the accuracy of every architecture of a space.

Nothing here is seen by a search: accuracies judge afterwards. Regret is exact, the accuracy of the best architecture
that meets the budget, out of all, less that of the one chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.evrsnas.arrays import SpaceArrays, arrays_of
from search.evrsnas.costs import SpaceCosts
from search.spaces.nasbench201 import NasBench201

__all__ = ["ACCURACY_FILE", "Benchmark", "macs_and_params", "rank_correlation", "read_benchmark"]

Floats = NDArray[np.float64]

ACCURACY_FILE = "nasbench201_accuracy.parquet"
CLASSES = {"cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}
"""Classes of each data set."""


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Accuracies of one data set.

    Attributes:
        arrays: the space.
        dataset: their data set.
        accuracy: (n,) test accuracy after 200 epochs in per cent, the mean over training seeds; none is missing.
    """

    arrays: SpaceArrays
    dataset: str
    accuracy: Floats

    def optimum(self, costs: SpaceCosts, budget: float) -> int:
        """The position of the most accurate architecture whose cost is known and within the budget.

        Raises:
            ConfigError: where nothing meets the budget.
        """
        costs.check_budget(budget)
        return int(np.where(costs.within(budget), self.accuracy, -np.inf).argmax())

    def mean_within(self, costs: SpaceCosts, budget: float) -> float:
        """The mean accuracy of all that meet the budget: what a random feasible architecture is expected to reach."""
        return float(self.accuracy[costs.within(budget)].mean())


def read_benchmark(path: Path, dataset: str) -> Benchmark:
    """Read the accuracies of NAS-Bench-201.

    Args:
        path: the file, or the folder that holds it.
        dataset: cifar10, cifar100 or ImageNet16-120.

    Raises:
        ConfigError: where the file is missing, is another, or lacks architectures.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    path = path / ACCURACY_FILE if path.is_dir() else path
    column = f"{dataset.lower().replace('-', '_')}_test_acc_200ep"
    try:
        table = pq.read_table(pa.BufferReader(path.read_bytes()), columns=["arch_str", column])
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}; it holds the accuracies that searches are judged by") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path} holds no accuracies of {dataset} that can be read ({reason})") from None
    space = NasBench201()
    arrays = arrays_of(space)
    accuracy = np.full(len(arrays), np.nan)
    positions = arrays.positions([space.parse(name) for name in table.column("arch_str").to_pylist()])
    accuracy[positions] = table.column(column).to_numpy()
    if not np.isfinite(accuracy).all():
        raise ConfigError(f"{path} lacks the {dataset} accuracy of {int(np.isnan(accuracy).sum())} architectures")
    return Benchmark(arrays, dataset, accuracy)


def macs_and_params(arrays: SpaceArrays, classes: int = 10) -> tuple[Floats, Floats]:
    """(n,) MACs and (n,) parameters of every network of NAS-Bench-201 in its full size, as its Workloads count them.

    Both are affine in how many convolutions of each kind a cell holds, so four networks fix them all.

    Raises:
        ConfigError: for another space.
    """
    space = arrays.space
    if not isinstance(space, NasBench201):
        raise ConfigError(f"MACs by counting convolutions hold for nasbench201, not for {space.name}")
    ones = (arrays.choices == 2).sum(axis=1)
    threes = (arrays.choices == 3).sum(axis=1)
    probes = [space.workload(space.architecture((first, 0, 0, 0, 0, 1)), num_classes=classes) for first in (1, 2, 3)]

    def affine(base: float, one: float, three: float) -> Floats:
        found: Floats = base + ones * (one - base) + threes * (three - base)
        return found

    macs, params = ([float(v) for v in values] for values in zip(*((w.macs, w.params) for w in probes), strict=True))
    return affine(*macs), affine(*params)


def rank_correlation(scores: Floats, benchmark: Benchmark, above: float = 0.0) -> dict[str, float | int | None]:
    """Kendall's tau-b and Spearman's rho between scores and accuracies, one architecture an isomorphism class; None
    where fewer than three classes are left, or all have one score.

    Args:
        scores: (n,); classes without one are left out, and counted out of n.
        benchmark: the accuracies.
        above: only classes whose accuracy in per cent is at least this.
    """
    from scipy import stats

    arrays = benchmark.arrays
    firsts = np.unique(arrays.representatives)
    firsts = firsts[np.isfinite(scores[firsts]) & (benchmark.accuracy[firsts] >= above)]
    x, y = scores[firsts], benchmark.accuracy[firsts]
    if len(firsts) < 3 or (x == x[0]).all() or (y == y[0]).all():
        return {"kendall_tau": None, "spearman_rho": None, "n": len(firsts)}
    return {
        "kendall_tau": float(stats.kendalltau(x, y).statistic),
        "spearman_rho": float(stats.spearmanr(x, y).statistic),
        "n": len(firsts),
    }
