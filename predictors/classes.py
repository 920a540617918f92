"""Copies: networks that run the same kernels, whatever their graphs are called, and folds that never part them.

Search spaces hold many architectures that are the same network once dead operators are gone and equal ones merged. One
that is fitted on tells the cost of its copies, so a copy among those held out would flatter every predictor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from profiler.fleet.targets import Precision, Runtime
from profiler.workloads.fusion import cut
from profiler.workloads.graph import Workload

__all__ = ["class_of", "classes_of", "folds_by_class"]


def class_of(workload: Workload, runtime: Runtime, precision: Precision) -> str:
    """A hash of the kernels that a runtime executes, each as often as it does: equal for copies.

    Networks of the same kernels in another arrangement share it too, on purpose: a sum of kernels cannot tell them
    apart either.
    """
    keys = sorted(kernel.key for kernel in cut(workload, runtime, precision))
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:32]


def classes_of(workloads: Sequence[Workload], runtime: Runtime, precision: Precision) -> list[str]:
    """`class_of` of each."""
    return [class_of(workload, runtime, precision) for workload in workloads]


def folds_by_class(classes: Sequence[str], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A fold of 0 ... for each sample, shape (n,), the same for all of one class; about equally many classes each."""
    distinct = sorted(set(classes))
    place = dict(zip(distinct, rng.permutation(len(distinct)) % max(1, min(folds, len(distinct))), strict=True))
    return np.array([place[name] for name in classes], dtype=np.int64)
